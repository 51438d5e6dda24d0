"""What holds for every answer and every request, whatever its route."""

import logging
import threading
from pathlib import Path

import httpx
import pytest

from tests.peers.web_door import PASSWORD, WebDoor, form_of, log_in, opened


@pytest.mark.parametrize(
    "path", ["/login", "/", "/nope", "/health/live", "/metrics", "/dicom-web/studies", "/static/style.css"]
)
def test_every_answer_tells_browsers_what_they_may_do(web_door: WebDoor, path: str) -> None:
    """No script from elsewhere, no frame, no guessing of types, nothing of a patient kept on disk."""
    answer = web_door.browser().get(path)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "server" not in answer.headers
    kept = "immutable" in answer.headers["cache-control"]
    assert kept == path.startswith("/static/")
    assert kept or answer.headers["cache-control"] == "no-store"


def test_pages_hold_no_inline_script_or_style(web_door: WebDoor) -> None:
    """What the policy forbids is not there, so nothing of a page is lost to it."""
    administrator = web_door.logged_in("administrator")
    for path in ("/login", "/", "/studies", "/jobs", "/algorithms", "/users"):
        page = administrator.get(path).text
        assert "<style" not in page
        assert " style=" not in page
        assert " on" not in [attribute[:3] for attribute in page.split('"')]
        assert "<script>" not in page
        assert "http://" not in page
        assert "https://" not in page


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "localhost@evil.example:80"])
def test_a_foreign_host_name_is_refused_on_loopback(web_door: WebDoor, host: str) -> None:
    """A page that points its own name at 127.0.0.1 gets nothing from us."""
    assert web_door.browser(host=host).get("/login").status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"])
def test_the_names_of_loopback_are_ours(web_door: WebDoor, host: str) -> None:
    """However this machine is called by its own programs."""
    assert web_door.browser(host=host).get("/login").status_code == 200


def test_only_the_stated_names_are_answered(database_url: str, tmp_path: Path) -> None:
    """`[web] host_names` is exact; health and metrics are asked by address."""
    with opened(database_url, tmp_path, host_names=["overread.example"]) as door:
        assert door.browser(host="Overread.example:443").get("/login").status_code == 200
        assert door.browser(host="other.example").get("/login").status_code == 421
        assert door.browser(host="10.0.0.7:8080").get("/health/live").status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_change_that_another_site_asks_for_is_refused(web_door: WebDoor, said: dict[str, str]) -> None:
    """Even with cookie, token and password: the browser says where the request comes from."""
    administrator = web_door.logged_in("administrator")
    form = form_of(administrator, "/users")

    assert administrator.post("/users/viewer/disable", data=form, headers=said).status_code == 403
    stored = web_door.browser().post("/dicom-web/studies", auth=("operator", PASSWORD), headers=said)
    assert stored.status_code == 403
    assert log_in(web_door.browser(), "viewer", PASSWORD).status_code == 303


def test_a_proxy_is_believed_and_nobody_else(database_url: str, tmp_path: Path) -> None:
    """Behind a stated proxy, cookies are for TLS only and the audit has the browser's address, not the proxy's."""
    with opened(database_url, tmp_path, behind_proxy=True, proxy_addresses=["127.0.0.1/32"]) as door:
        browser = door.browser(**{"x-forwarded-for": "203.0.113.9, 10.9.9.9", "x-forwarded-proto": "https"})
        page = browser.get("/login")
        cookie = page.headers["set-cookie"]
        assert cookie.startswith("__Host-overread-form=")
        assert "Secure" in cookie
        assert "strict-transport-security" in page.headers
        browser.auth = ("operator", PASSWORD)
        assert browser.get("/metrics").status_code == 200
        auditor = door.browser(**{"x-forwarded-for": "203.0.113.9"})
        answer = _log_in_over_tls(auditor, "auditor")
        rows = auditor.get("/audit", headers={"cookie": answer}).text
        assert "10.9.9.9" in rows, "the last address before the proxy; what stands before it may be invented"
        assert "203.0.113.9" in rows


def _log_in_over_tls(client: httpx.Client, name: str) -> str:
    """Log in as through a proxy that speaks TLS: the cookies are carried by hand, as they are not for plain HTTP."""
    page = client.get("/login")
    form_cookie = page.headers["set-cookie"].split(";")[0]
    proof = form_cookie.partition("=")[2]
    answer = client.post(
        "/login", data={"name": name, "password": PASSWORD, "proof": proof}, headers={"cookie": form_cookie}
    )
    assert answer.status_code == 303, answer.text
    return str(answer.headers["set-cookie"].split(";")[0])


def test_who_passes_by_the_proxy_gets_probes_only(database_url: str, tmp_path: Path) -> None:
    """A direct request, which nothing encrypts, is answered with nothing that needs protection."""
    with opened(database_url, tmp_path, behind_proxy=True, proxy_addresses=["192.0.2.1/32"]) as door:
        direct = door.browser(**{"x-forwarded-for": "192.0.2.1"})
        assert direct.get("/login").status_code == 403
        assert direct.post("/dicom-web/studies", auth=("operator", PASSWORD)).status_code == 403
        assert direct.get("/health/ready").status_code == 200


def test_an_error_of_ours_tells_nothing_of_what_was_received(
    web_door: WebDoor, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is a sentence, the log has type and place; the error's text is in neither."""

    @web_door.door.app.get("/broken")
    def broken() -> None:
        raise RuntimeError("Doe^Jane")

    with caplog.at_level(logging.ERROR):
        answer = web_door.browser().get("/broken")
        pause = threading.Event()
        for _ in range(400):  # the answer leaves before the line is written
            if caplog.text or pause.wait(0.05):
                break

    assert answer.status_code == 500
    assert "fault of ours" in answer.text
    assert "Doe" not in answer.text
    assert "unexpected RuntimeError in broken" in caplog.text
    assert "Doe" not in caplog.text


def test_what_is_not_valid_is_named_and_not_repeated(web_door: WebDoor) -> None:
    """A parameter that is no number is named; what it held may be anything and is not told."""
    operator = web_door.logged_in("operator")
    answer = operator.get("/jobs", params={"before": "Doe^Jane"})

    assert answer.status_code == 422
    assert "before" in answer.text
    assert "Doe" not in answer.text


def test_a_form_has_a_limit(web_door: WebDoor) -> None:
    """A form of megabytes is refused before it is read to its end."""
    browser = web_door.browser()
    proof = form_of(browser, "/login")

    assert browser.post("/login", data=proof | {"name": "x" * 1_000_000}).status_code == 413
