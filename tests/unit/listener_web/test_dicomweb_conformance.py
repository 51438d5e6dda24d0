"""The conformance statement's tables of DICOMweb are those of the code."""

import re
from pathlib import Path

from listener.web.dicomweb.library import RETRIEVE_STATUSES
from listener.web.dicomweb.search import SEARCH_STATUSES
from listener.web.dicomweb.search_query import KEYS, MAX_RESULTS, STUDY_KEYS
from listener.web.dicomweb.store_response import FAILURE_REASONS, STORE_STATUSES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "conformance-statement.md").read_text(encoding="utf-8")
ACCESS = (ROOT / "docs" / "reference" / "web-access.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """What stands below a heading."""
    return PAGE.split(f"# {heading}\n")[1].split("\n#")[0]


def rows_under(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_status_of_dicomweb_is_in_the_conformance_statement():
    """Status by status, with the same words as the OpenAPI document has."""
    for heading, statuses in (
        ("Statuses of STOW-RS", STORE_STATUSES),
        ("Statuses of QIDO-RS", SEARCH_STATUSES),
        ("Statuses of WADO-RS", RETRIEVE_STATUSES),
    ):
        assert rows_under(heading) == [[str(status), sentence] for status, sentence in statuses.items()], heading


def test_every_failure_reason_is_in_the_conformance_statement():
    """Failure Reason (0008,1197) has no other value."""
    assert rows_under("Failure reasons of STOW-RS") == [
        [str(code), f"0x{code:04X}", status.name] for code, status in FAILURE_REASONS.items()
    ]


def test_every_search_key_is_in_the_conformance_statement():
    """A key that is not listed is refused."""
    assert [[row[0], row[2], row[3]] for row in rows_under("Search keys")] == [
        [f"`{key}`", "yes" if key in STUDY_KEYS else "no", "yes"] for key in KEYS
    ]
    for level, most in MAX_RESULTS.items():
        assert f"{most} {level}" in section("DICOMweb")


def test_every_route_of_dicomweb_is_in_the_conformance_statement():
    """Each address that is served stands in the table of services."""
    services = section("DICOMweb")
    served = re.findall(r"^\| `(\w+)` \| `/dicom-web([^`]+)`", ACCESS, re.MULTILINE)

    assert len(served) > 10
    missing = [
        (method, path) for method, path in served if f"`{method} {path.removesuffix('/metadata')}`" not in services
    ]
    assert missing == []
