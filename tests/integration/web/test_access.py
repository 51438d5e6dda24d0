"""Who may do what: the page, the code and the answers say the same, for every route and every role."""

import base64
from pathlib import Path

import pytest

from listener.web.access import PERMISSIONS, WEBSOCKET, guards
from listener.web.login import is_for_programs
from storage.domain.account import Role
from tests.peers.web_door import PASSWORD, WebDoor, form_of

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "web-access.md"
COLUMNS = ("anonymous", *Role)


def _documented() -> dict[tuple[str, str], tuple[str, ...]]:
    """Method and path → permission and who passes, as the page has it."""
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3 + len(COLUMNS):
            rows[cells[0].strip("`"), cells[1].strip("`")] = tuple(cells[2:])
    return rows


def _in_code(web_door: WebDoor) -> dict[tuple[str, str], tuple[str, ...]]:
    rows = {}
    for method, path, permission in guards(web_door.door.app):
        passes = ["yes" if permission is None else "no"]
        passes += ["yes" if permission is None or permission in PERMISSIONS[role] else "no" for role in Role]
        rows[method, path] = (str(permission or "–"), *passes)
    return rows


def test_the_page_lists_every_route_with_who_may_use_it(web_door: WebDoor) -> None:
    """docs/reference/web-access.md names each method and path once, with the permission and the roles of the code."""
    documented, in_code = _documented(), _in_code(web_door)

    def line(route: tuple[str, str]) -> str:
        return f"| `{route[0]}` | `{route[1]}` | " + " | ".join(in_code[route]) + " |"

    assert [line(route) for route in in_code if documented.get(route) != in_code[route]] == [], "missing or other"
    assert set(documented) - set(in_code) == set(), "documented, but not served"


def test_the_roles_are_those_of_the_contract() -> None:
    """Only a viewer judges results, and changes nothing else; only an auditor reads the trail, and sees no study."""
    table = {str(role): sorted(map(str, permissions)) for role, permissions in PERMISSIONS.items()}

    viewer = ["view-images", "view-status", "view-studies"]
    operator = sorted([*viewer, "analyze", "operate-jobs", "read-metrics", "store-instances"])
    assert table == {
        "viewer": sorted([*viewer, "give-feedback"]),
        "operator": operator,
        "administrator": sorted([*operator, "manage-users"]),
        "auditor": ["read-audit", "view-status"],
    }


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/login", "/"])
def test_who_watches_need_not_read(web_door: WebDoor, path: str) -> None:
    """HEAD is answered as GET is, without a body."""
    browser = web_door.logged_in("viewer")

    asked, read = browser.head(path), browser.get(path)

    assert (asked.status_code, asked.content) == (read.status_code, b"")
    assert asked.headers["content-type"] == read.headers["content-type"]


@pytest.mark.parametrize("who", COLUMNS)
def test_every_route_answers_as_the_page_says(web_door: WebDoor, who: str) -> None:
    """Each documented route is really asked: with no account it leads to the login, with the wrong role it is refused.

    Who passes may still be told that there is no such study; who does not pass is never told that much.
    """
    column = 1 + COLUMNS.index(who)
    browser = web_door.browser() if who == "anonymous" else web_door.logged_in(who)
    program = web_door.browser() if who == "anonymous" else web_door.browser(authorization=_basic(who))
    form = {} if who == "anonymous" else form_of(browser, "/")
    wrong = []
    for (method, path), row in _documented().items():
        if path in ("/login", "/logout", "/events") or method == WEBSOCKET:
            continue  # asked in tests of their own: they change who asks, or never end
        address = _example(path)
        if is_for_programs(path):
            answer = program.request(method, address)
        else:
            answer = browser.request(method, address, data=form if method == "POST" else None)
        passed = _passed(answer.status_code, answer.headers.get("location", ""))
        if passed != (row[column] == "yes"):
            wrong.append((method, path, who, answer.status_code))

    assert wrong == []


def _passed(status: int, location: str) -> bool:
    if status == 303:
        return not location.startswith("/login")
    return status not in (401, 403)


def _example(path: str) -> str:
    examples = {
        "{study_instance_uid}": "1.2.3",
        "{series_instance_uid}": "1.2.3.1",
        "{sop_instance_uid}": "1.2.3.1.1",
        "{sha256}": "a" * 64,
        "{job_id}": "1",
        "{result_id}": "1",
        "{name}": "viewer",
        "{version}": "1",
    }
    for placeholder, value in examples.items():
        path = path.replace(placeholder, value)
    return path.replace("{", "1").replace("}", "1")


def _basic(name: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()


def test_a_denial_is_an_audit_row(web_door: WebDoor, database_url: str) -> None:
    """Who tried what is kept, with the route and never with the address itself."""
    viewer = web_door.logged_in("viewer")
    assert viewer.get("/audit?actor=somebody").status_code == 403

    auditor = web_door.logged_in("auditor")
    page = auditor.get("/audit?action=access-denied").text

    assert "read-audit" in page
    assert "somebody" not in page.partition("<tbody>")[2]
