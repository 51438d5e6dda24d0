"""Coming in: what a login needs, how long it lasts, and what guessing meets."""

import contextlib
import re

import psycopg2
import pytest

from tests.peers.web_door import PASSWORD, WebDoor, form_of, log_in, without_database


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def test_name_and_password_start_a_session_in_a_locked_cookie(web_door: WebDoor) -> None:
    """Scripts cannot read the cookie and other sites cannot send it; the next page opens with it."""
    browser = web_door.browser()
    answer = log_in(browser, "viewer", PASSWORD)

    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    (cookie,) = [value for value in answer.headers.get_list("set-cookie") if value.startswith("overread=")]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert browser.get("/studies").status_code == 200


def test_the_token_is_nowhere_in_the_database(web_door: WebDoor, database_url: str) -> None:
    """Who reads the rows cannot become somebody who is logged in."""
    browser = web_door.logged_in("viewer")
    token = browser.cookies["overread"]

    ((kept,),) = _rows(database_url, "SELECT web_session::text FROM web_session")
    assert token not in str(kept)


@pytest.mark.parametrize(
    ("name", "password"),
    [("viewer", "wrong password"), ("nobody", PASSWORD), ("viewer", ""), ("' OR 1=1 --", PASSWORD), ("", "")],
)
def test_a_wrong_login_tells_nothing_and_is_audited(
    web_door: WebDoor, database_url: str, name: str, password: str
) -> None:
    """Unknown names and wrong passwords get the same sentence; the row does not repeat what was typed for a name."""
    browser = web_door.browser()
    answer = log_in(browser, name, password)

    assert answer.status_code == 401
    assert "Name or password is not right" in answer.text
    assert "overread" not in browser.cookies
    ((actor, details),) = _rows(database_url, "SELECT actor, details FROM audit_event WHERE action = 'login-failed'")
    assert actor == ("viewer" if name == "viewer" else "unknown")
    assert details == {"address": "127.0.0.1"}


def test_a_disabled_account_gets_the_sentence_of_a_wrong_password(web_door: WebDoor) -> None:
    """Nobody learns from the answer that the account exists."""
    web_door.accounts.disable("viewer", "tester")

    answer = log_in(web_door.browser(), "viewer", PASSWORD)

    assert answer.status_code == 401
    assert "Name or password is not right" in answer.text


def test_guessing_is_stopped(web_door: WebDoor, database_url: str) -> None:
    """After ten failures the right password does not help either, and the answer says when it will."""
    browser = web_door.browser()
    statuses = [log_in(browser, "viewer", f"wrong password {number}").status_code for number in range(10)]
    late = log_in(browser, "viewer", PASSWORD)

    assert statuses == [401] * 10
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) > 800
    assert "overread" not in browser.cookies
    assert web_door.browser().get("/metrics", auth=("viewer", PASSWORD)).status_code == 429


def test_a_login_form_of_another_site_is_refused(web_door: WebDoor) -> None:
    """Without the proof that only our own page sets, nobody is logged in, not even with the right password."""
    browser = web_door.browser()
    browser.get("/login")

    for proof in ("", "guessed"):
        answer = browser.post("/login", data={"name": "viewer", "password": PASSWORD, "proof": proof})
        assert answer.status_code == 403
    assert "overread" not in browser.cookies


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/a\nb"]
)
def test_a_login_leads_nowhere_else(web_door: WebDoor, wanted: str) -> None:
    """A link to the login page cannot send people to another site afterwards."""
    answer = log_in(web_door.browser(), "viewer", PASSWORD, next=wanted)

    assert answer.headers["location"] == "/"


def test_a_login_leads_back_to_the_page_that_was_wanted(web_door: WebDoor) -> None:
    """Who follows a link to a study comes to that study."""
    browser = web_door.browser()
    sent_to = browser.get("/studies/1.2.3").headers["location"]

    assert sent_to == "/login?next=/studies/1.2.3"
    assert 'value="/studies/1.2.3"' in browser.get(sent_to).text


def test_a_logout_ends_the_session_for_the_server_too(web_door: WebDoor, database_url: str) -> None:
    """A cookie that was copied before is worth nothing afterwards."""
    browser, thief = web_door.logged_in("viewer"), web_door.browser()
    thief.cookies.set("overread", browser.cookies["overread"])
    assert thief.get("/studies").status_code == 200

    assert browser.post("/logout", data=form_of(browser, "/")).status_code == 303

    assert thief.get("/studies").status_code == 303
    assert _rows(database_url, "SELECT actor FROM audit_event WHERE action = 'logged-out'") == [("viewer",)]


@pytest.mark.parametrize("path", ["/logout", "/jobs/1/cancel", "/users/viewer/disable", "/studies"])
def test_a_form_without_its_token_changes_nothing(web_door: WebDoor, path: str) -> None:
    """A cookie alone is not enough to change something, and the token of one session does not fit another."""
    administrator, other = web_door.logged_in("administrator"), web_door.logged_in("administrator")

    assert administrator.post(path).status_code == 403
    assert administrator.post(path, data=form_of(other, "/")).status_code == 403
    assert log_in(web_door.browser(), "viewer", PASSWORD).status_code == 303
    assert administrator.get("/").status_code == 200


def test_an_administrator_disables_others_but_not_themselves(web_door: WebDoor) -> None:
    """The last administrator cannot lock everybody out by a slip."""
    administrator, viewer = web_door.logged_in("administrator"), web_door.logged_in("viewer")
    form = form_of(administrator, "/users")

    assert administrator.post("/users/viewer/disable", data=form).status_code == 303
    assert viewer.get("/").status_code == 303, "ended at once"
    refused = administrator.post("/users/administrator/disable", data=form)
    assert refused.status_code == 409
    assert "another administrator" in refused.text
    assert administrator.post("/users/viewer/enable", data=form).status_code == 303
    assert log_in(web_door.browser(), "viewer", PASSWORD).status_code == 303


def test_a_password_sent_with_each_request_is_checked_once(web_door: WebDoor, database_url: str) -> None:
    """A program's login leaves one audit row, not one per request; a new password or a lockout counts at once."""
    program = web_door.browser()
    program.auth = ("operator", PASSWORD)
    assert [program.get("/metrics").status_code for _ in range(20)] == [200] * 20
    assert _rows(database_url, "SELECT actor, details FROM audit_event WHERE action = 'login-succeeded'") == [
        ("operator", {"address": "127.0.0.1", "by": "password"})
    ]

    web_door.accounts.disable("operator", "tester")
    assert program.get("/metrics").status_code == 401


def test_a_session_is_no_way_into_what_is_for_programs(web_door: WebDoor) -> None:
    """A cookie opens pages only, so that no page of another site can use it against the API."""
    operator = web_door.logged_in("operator")

    assert operator.get("/metrics").status_code == 401
    assert web_door.browser().get("/", auth=("operator", PASSWORD)).status_code == 303


def test_the_first_login_page_says_how_to_make_an_account(web_door: WebDoor) -> None:
    """Without an account there is no way in, and the page says which command makes one."""
    assert "overread users add" not in web_door.browser().get("/login").text
    for name in ("viewer", "operator", "administrator", "auditor"):
        web_door.accounts.disable(name, "tester")

    assert re.search("overread users add NAME --role administrator", web_door.browser().get("/login").text)


def test_a_known_program_is_known_while_the_database_is_away(web_door: WebDoor, database_url: str) -> None:
    """Who was let in a moment ago may go on sending; nobody new is let in, and nobody looks at anything."""
    program, viewer = web_door.browser(), web_door.logged_in("viewer")
    program.auth = ("operator", PASSWORD)
    assert program.get("/metrics").status_code == 200
    with without_database(database_url):
        answer = program.get("/metrics")
        assert answer.status_code == 200
        assert "overread_database_up 0.0" in answer.text
        assert web_door.browser().get("/metrics", auth=("administrator", PASSWORD)).status_code == 503
        assert web_door.browser().get("/metrics", auth=("operator", "wrong password")).status_code == 503
        assert viewer.get("/studies").status_code == 503
    assert viewer.get("/studies").status_code == 200
