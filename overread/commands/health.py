"""`overread health`: whether the role that runs here lives; what a container's health check asks."""

import http.client
import socket
import ssl

import click

from overread.errors import RoleFailed
from overread.pulse import SILENCE_SECONDS, silence
from overread.settings import Settings, load_settings

_ANSWER_SECONDS = 5.0
_ASKED_INSTEAD = ("web",)  # its one sign says that it was started; its answer says the rest
_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a door that is open everywhere is asked


@click.command()
@click.argument("role", required=False)
def health(role: str | None) -> None:
    """Say whether ROLE, or every role that was started here, lives; needs `run_dir`.

    A role that waits for its database lives: starting it again would not help.
    """
    settings = load_settings()
    if not settings.run_dir:
        raise RoleFailed("Roles leave no sign of life here; set run_dir, or OVERREAD_RUN_DIR, and start them again.")
    found = silence(settings.run_dir)
    for name in (role,) if role else found:
        if name not in found:
            raise RoleFailed(f"`overread {name}` was never started here.")
        if found[name] > SILENCE_SECONDS and name not in _ASKED_INSTEAD:
            raise RoleFailed(f"`overread {name}` has left no sign of life for {SILENCE_SECONDS:.0f} s.")
        _ask_its_door(name, settings)
        click.echo(f"{name}: alive.")
    if not found:
        raise RoleFailed(f"No role has left a sign of life in {settings.run_dir}.")


def _ask_its_door(role: str, settings: Settings) -> None:
    try:
        if role == "listen" and settings.listener.port:
            _connect(settings.listener.host, settings.listener.port).close()
        if role == "web" and settings.web.port:
            _get(settings)
    except (OSError, http.client.HTTPException) as error:
        raise RoleFailed(f"`overread {role}` does not answer on its port ({type(error).__name__}).") from None


def _connect(host: str, port: int) -> socket.socket:
    return socket.create_connection((_UNSPECIFIED.get(host, host), port), _ANSWER_SECONDS)


def _get(settings: Settings) -> None:
    """Any answer will do: it is the web door's own business whom it tells what.

    Raises:
        OSError: there is none.
    """
    web = settings.web
    host = _UNSPECIFIED.get(web.host, web.host)
    if web.tls_certificate:
        # We ask our own port and send no secret: whose certificate it is does not matter.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, web.port, timeout=_ANSWER_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, web.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/health/live", headers={"Host": next(iter(web.host_names), host)})
        if connection.getresponse().status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ConnectionError
    finally:
        connection.close()
