"""What our requests show of who we are: a password, a token, or a token had for a secret (RFC 6749 section 4.4).

Secrets are read from their files when they are needed, so that they can be changed there, and stand in no message.
"""

import base64
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote_plus, urlencode

from listener.scu.tls_settings import TlsKeys
from listener.scu.web.line import NoReply, Reply, Stream, Unanswered, WebLine
from listener.scu.web_settings import WebKeys

_MOST_SECRET_BYTES = 1 << 16
_UNTOLD_SECONDS = 60.0  # a token that does not say how long it holds
_EARLY_SECONDS = 60.0  # so long before its end a token is not used any more, or a quarter of its time


class Access(Protocol):
    """One way to be known."""

    def header(self, line: WebLine) -> Mapping[str, str]:
        """What is shown with a request.

        Raises:
            Unanswered: there is nothing to show now.
        """
        ...

    def forget(self) -> bool:
        """What was shown is not believed; whether there may be something else to show."""
        ...


def access_to(place: WebKeys) -> Access:
    """The way that its settings name."""
    if place.username:
        return _Password(place.username, place.password_file)
    if place.token_file:
        return _Token(place.token_file)
    if place.oauth_token_url:
        return _ClientCredentials(place)
    return _Nobody()


class Caller:
    """Requests over a line as whom ``access`` shows us to be."""

    def __init__(self, line: WebLine, access: Access) -> None:
        self._line = line
        self._access = access

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Callable[[], Iterable[bytes]] = lambda: (),
        size: int = 0,
        most_bytes: int = 1 << 20,
    ) -> Reply:
        """As ``WebLine.ask``; when what we show is not believed (401), once more with a new token if we can have one.

        Raises:
            Unanswered: there is no whole answer, or nothing to show.
            OSError: ``content`` could not be read.
        """
        for _ in range(2):
            shown = self._access.header(self._line)
            reply = self._line.ask(method, url, {**headers, **shown}, content() if size else b"", size, most_bytes)
            if reply.status != 401 or not self._access.forget():
                break
        return reply

    @contextmanager
    def reading(self, url: str, headers: Mapping[str, str]) -> Iterator[Stream]:
        """As ``WebLine.reading``; when what we show is not believed (401), once more with a new token if there is one.

        Raises:
            Unanswered: there is no answer, it broke off, or there is nothing to show.
        """
        with ExitStack() as stack:
            stream = self._begun(stack, url, headers)
            if stream.status == 401 and self._access.forget():
                stack.close()
                stream = self._begun(stack, url, headers)
            yield stream

    def _begun(self, stack: ExitStack, url: str, headers: Mapping[str, str]) -> Stream:
        return stack.enter_context(self._line.reading(url, {**headers, **self._access.header(self._line)}))


class _Nobody:
    def header(self, _: WebLine) -> Mapping[str, str]:
        return {}

    def forget(self) -> bool:
        return False


class _Password:
    def __init__(self, username: str, file: str) -> None:
        self._username = username
        self._file = file

    def header(self, _: WebLine) -> Mapping[str, str]:
        return _basic(self._username, read_secret(self._file))

    def forget(self) -> bool:
        return False


class _Token:
    def __init__(self, file: str) -> None:
        self._file = file

    def header(self, _: WebLine) -> Mapping[str, str]:
        token = read_secret(self._file).strip()
        if not _is_token(token):
            raise Unanswered(NoReply.NOTHING_TO_SHOW)
        return {"Authorization": f"Bearer {token}"}

    def forget(self) -> bool:
        return False


class _ClientCredentials:
    """A token is kept until shortly before its end."""

    def __init__(self, place: WebKeys) -> None:
        self._place = place
        self._token = ""
        self._good_until = -math.inf

    def header(self, line: WebLine) -> Mapping[str, str]:
        if not self._token or time.monotonic() >= self._good_until:
            self._token, seconds = self._asked(line)
            self._good_until = time.monotonic() + seconds - min(_EARLY_SECONDS, seconds / 4)
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> bool:
        self._token = ""
        return True

    def _asked(self, line: WebLine) -> tuple[str, float]:
        """A new token, and for how many seconds it holds."""
        place = self._place
        secret = read_secret(place.oauth_client_secret_file)
        form = {"grant_type": "client_credentials"} | ({"scope": place.oauth_scope} if place.oauth_scope else {})
        # RFC 6749 section 2.3.1: both are form-encoded before they become a name and a password.
        headers = {
            **_basic(quote_plus(place.oauth_client_id), quote_plus(secret)),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        with line.beside(_tls_of_the_token_server(place)) as other:
            try:
                content = urlencode(form).encode()
                reply = other.ask("POST", place.oauth_token_url, headers, content, len(content), _MOST_SECRET_BYTES)
            except Unanswered as unanswered:
                stopped = unanswered.why is NoReply.INTERRUPTED
                raise Unanswered(NoReply.INTERRUPTED if stopped else NoReply.NO_GRANTING_SERVER) from None
        if reply.status in (400, 401, 403):
            raise Unanswered(NoReply.NOT_GRANTED)
        if reply.status != 200:
            raise Unanswered(NoReply.NO_GRANTING_SERVER)
        return _token_in(reply.body)


def _tls_of_the_token_server(place: WebKeys) -> TlsKeys:
    return TlsKeys(
        tls=True,
        tls_ca=place.oauth_ca or place.tls_ca,
        tls_certificate=place.tls_certificate,
        tls_key=place.tls_key,
        tls_minimum_version=place.tls_minimum_version,
    )


def _token_in(body: bytes | None) -> tuple[str, float]:
    """The token in an answer, and for how many seconds it holds (RFC 6749 section 5.1)."""
    try:
        found = json.loads(body or b"")
        token, kind = found["access_token"], found["token_type"]
        seconds = float(found.get("expires_in") or _UNTOLD_SECONDS)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, OverflowError):
        raise Unanswered(NoReply.GRANT_UNUSABLE) from None
    bearer = isinstance(kind, str) and kind.lower() == "bearer"
    if not (bearer and isinstance(token, str) and _is_token(token) and math.isfinite(seconds) and seconds > 0):
        raise Unanswered(NoReply.GRANT_UNUSABLE)
    return token, seconds


def _basic(name: str, password: str) -> Mapping[str, str]:
    """RFC 7617, in UTF-8."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode('ascii')}"}


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def read_secret(file: str) -> str:
    """What stands in a file but for the end of its line.

    Raises:
        Unanswered: it cannot be read, or is more than one line.
    """
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_MOST_SECRET_BYTES + 1)
        secret = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError):
        raise Unanswered(NoReply.NOTHING_TO_SHOW) from None
    if not secret or len(content) > _MOST_SECRET_BYTES or not secret.isprintable():
        raise Unanswered(NoReply.NOTHING_TO_SHOW)
    return secret
