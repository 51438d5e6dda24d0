"""What happened to a version of an algorithm, in words, from the rows of the audit trail about it.

`overread algorithms show` and the dashboard say the same.
"""

from collections.abc import Mapping
from typing import Any

Event = Mapping[str, Any]  # as `PostgresAlgorithmCatalog.history` gives it

_WORDS = {
    "algorithm-added": "added",
    "algorithm-shadowed": "put in shadow",
    "algorithm-promoted": "promoted",
    "algorithm-retired": "retired",
    "algorithm-acceptance-run": "tried on its acceptance set",
}


def what_happened(event: Event) -> str:
    """What was done, such as "promoted"."""
    details = event["details"]
    if details.get("decision") == "rollback":
        return "rolled back to"
    word = _WORDS.get(event["action"], str(event["action"]))
    return f"{word} again ({details['again']})" if "again" in details else word


def more_of(event: Event) -> str:
    """What else is known of it; empty where nothing is."""
    details = event["details"]
    if event["action"] == "algorithm-acceptance-run":
        verdict = "passed" if event["outcome"] == "success" else "fell short"
        return f"{verdict}, {details['passed']} of {details['cases']} cases ({details['numbers']})"
    told = []
    if event["action"] == "algorithm-added":
        told.append(f"{'with' if 'acceptance_sha256' in details else 'without'} an acceptance set")
        told.append(f"golden pair: {details.get('golden') or 'none'}")
    if "previous_version" in details:
        told.append(f"in place of {details['previous_version']}")
    if "acceptance_skipped_because" in details:
        told.append(f"acceptance set skipped, because: {details['acceptance_skipped_because']}")
    return "; ".join(told)
