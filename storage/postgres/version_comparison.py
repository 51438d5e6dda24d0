"""Two versions of an algorithm side by side, on the studies that both have been through."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, select

from storage.domain.agreement import (
    Analysis,
    Limits,
    Pair,
    classes,
    disagreements,
    numbers,
    outcomes,
    overlaps,
    quantile,
)
from storage.domain.job_statistics import OVERLAP, overlap_name
from storage.errors import SameVersion, UnknownRecord
from storage.ports.facts import Facts
from storage.postgres.engine import Database
from storage.postgres.statement import statement
from storage.postgres.tables import AlgorithmRow

_GROUPS = ("modality", "scanner", "protocol")


def compare_versions(database: Database, name: str, active: str, shadow: str, limits: Limits) -> Facts:
    """How far two versions agree, on all studies and by modality, scanner and protocol, and where they do not.

    ``limits`` say from which difference on a study is worth a look.

    Raises:
        SameVersion: a version is not compared with itself.
        UnknownRecord: a version is not installed, or no study was analysed by both.
        DatabaseUnavailable: the server does not answer.
    """
    if active == shadow:
        raise SameVersion(f"{name} {active} would be compared with itself; name two versions.")
    with database.transaction() as session:
        ids = {row.version: row.id for row in session.scalars(select(AlgorithmRow).where(AlgorithmRow.name == name))}
        for version in (active, shadow):
            if version not in ids:
                raise UnknownRecord(
                    f"Version {version} of algorithm {name} is not installed; see `overread algorithms list`."
                )
        rows = session.execute(
            statement("compared_results"), {"active_id": ids[active], "shadow_id": ids[shadow]}
        ).all()
    if not rows:
        raise UnknownRecord(
            f"No study has been through versions {active} and {shadow} of algorithm {name}; "
            f"`overread algorithms shadow {name} {shadow}` has it look at what comes."
        )
    pairs = [_pair(row, active) for row in rows]
    return {
        **{"name": name, "active": active, "shadow": shadow, "tolerance": limits.measurement},
        **{"most_probability": limits.probability, "least_dice": limits.dice},
        **_agreement(pairs),
        "subgroups": {kind: _by_group(pairs, kind) for kind in _GROUPS},
        "disagreements": [asdict(one) for one in disagreements(pairs, limits)],
    }


def _agreement(pairs: list[Pair]) -> Facts:
    return {
        "studies": len(pairs),
        "outcomes": [
            {"active": active, "shadow": shadow, "studies": studies}
            for (active, shadow), studies in outcomes(pairs).items()
        ],
        "classes": [
            asdict(one) | {"studies": one.studies, "agreement": one.agreement, "kappa": one.kappa}
            for one in classes(pairs)
        ],
        "numbers": [asdict(one) for one in numbers(pairs)],
        "overlaps": [asdict(one) for one in overlaps(pairs)],
        "seconds": {
            "active": _seconds(pair.active for pair in pairs),
            "shadow": _seconds(pair.shadow for pair in pairs),
        },
    }


def _seconds(analyses: Any) -> Facts:  # noqa: ANN401 - an iterable of Analysis
    taken = [one.seconds for one in analyses if one.seconds is not None]
    return {"p50": quantile(taken, 0.5), "p95": quantile(taken, 0.95)}


def _by_group(pairs: list[Pair], kind: str) -> dict[str, Facts]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.groups[kind], []).append(pair)
    return {group: _agreement(of) for group, of in sorted(groups.items())}


def _pair(row: Row[Any], active: str) -> Pair:
    facts = row._mapping
    return Pair(
        row.study_instance_uid,
        _analysis(facts, "active", active),
        _analysis(facts, "shadow", active),
        {kind: facts[kind] or "unknown" for kind in _GROUPS},
    )


def _analysis(facts: Mapping[Any, Any], which: str, active: str) -> Analysis:
    told = [finding["classification"] for finding in facts[f"{which}_findings"] or () if finding["classification"]]
    stages = facts[f"{which}_stages"]
    scores = facts[f"{which}_scores"] or {}
    ending = overlap_name("", active).removeprefix(OVERLAP)
    return Analysis(
        facts[f"{which}_job_id"],
        facts[f"{which}_outcome"],
        {one["label"]: one["present"] for one in told},
        {name: score for name, score in scores.items() if not name.startswith(OVERLAP)},
        None if stages is None else sum(stages.values()),
        {
            name.removeprefix(OVERLAP).removesuffix(ending): score
            for name, score in scores.items()
            if name.startswith(OVERLAP) and name.endswith(ending)
        },
    )
