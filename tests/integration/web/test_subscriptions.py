"""Subscribers of the worklist: what they are told over a WebSocket, when, and who may listen."""

import base64
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psycopg2
import pytest
from sqlalchemy import text
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from storage.domain.account import Role
from storage.domain.workitem_event import FILTERED_UID, WORKLIST_UID
from storage.housekeeping.perform_workitems import forget_workitems
from storage.postgres.engine import open_database
from storage.workitem_settings import WorkitemSettings
from tests.peers.web_door import PASSWORD, WebDoor
from tests.peers.workitems import STATE, TRANSACTION, new_workitem


def _basic(account: str) -> str:
    return "Basic " + base64.b64encode(f"{account}:{PASSWORD}".encode()).decode()


@contextmanager
def _channel(
    door: WebDoor, title: str = "MANAGER", account: str = "operator", host: str = "127.0.0.1", **headers: str
) -> Iterator[ClientConnection]:
    address = f"ws://{host}:{door.port}/dicom-web/subscribers/{title}"
    with socket.create_connection(("127.0.0.1", door.port)) as peer:
        told = {"Authorization": _basic(account), **headers}
        with connect(address, sock=peer, additional_headers=told, proxy=None) as opened:
            yield opened


def _next(channel: ClientConnection) -> tuple[int, str, str]:
    """The next event: its type, its workitem, and its state, or what else it says."""
    event = json.loads(channel.recv(timeout=60))
    kind, uid = event["00001002"]["Value"][0], event["00001000"]["Value"][0]
    said = event.get(STATE) or event.get("00741238") or event.get("00741002") or {}
    return kind, uid, str(said.get("Value", [""])[0])


@pytest.fixture
def manager(web_door: WebDoor) -> Callable[..., httpx.Response]:
    """Asks the worklist as the operator."""
    http = web_door.browser()
    http.auth = ("operator", PASSWORD)

    def ask(method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        answer = http.request(method, f"/dicom-web{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer

    return ask


def _to(state: str, lock: str = "2.25.7") -> dict[str, Any]:
    return {STATE: {"vr": "CS", "Value": [state]}, TRANSACTION: {"vr": "UI", "Value": [lock]}}


def test_a_subscriber_to_the_worklist_is_told_each_event_in_order(
    web_door: WebDoor, manager: Callable[..., httpx.Response]
) -> None:
    """Creation, claim, progress, a request to cancel and the end; what happened while it was away is told later."""
    where = manager("POST", f"/workitems/{WORKLIST_UID}/subscribers/MANAGER").headers["content-location"]
    assert where == f"ws://127.0.0.1:{web_door.port}/dicom-web/subscribers/MANAGER"
    with _channel(web_door) as channel:
        manager("POST", "/workitems?1.2.1", new_workitem())
        assert _next(channel) == (1, "1.2.1", "SCHEDULED")
        manager("PUT", "/workitems/1.2.1/state", _to("IN PROGRESS"))
        assert _next(channel) == (1, "1.2.1", "IN PROGRESS")
    progress = {"00741002": {"vr": "SQ", "Value": [{"00741004": {"vr": "DS", "Value": [30]}}]}}
    manager("POST", "/workitems/1.2.1?transaction-uid=2.25.7", progress)
    told = manager("POST", "/workitems/1.2.1/cancelrequest", {"00741238": {"vr": "LT", "Value": ["Not now."]}})
    assert told.status_code == 202  # its performer may be listening
    manager("PUT", "/workitems/1.2.1/state", _to("CANCELED"))

    with _channel(web_door) as channel:
        assert _next(channel) == (3, "1.2.1", str({"00741004": {"vr": "DS", "Value": [30]}}))
        assert _next(channel) == (2, "1.2.1", "Not now.")
        assert _next(channel) == (1, "1.2.1", "CANCELED")
        manager("POST", "/workitems?1.2.2", new_workitem())
        assert _next(channel) == (1, "1.2.2", "SCHEDULED")  # and nothing twice


def test_a_subscription_says_what_of_and_can_be_ended(
    web_door: WebDoor, manager: Callable[..., httpx.Response]
) -> None:
    """A filter chooses; what is there already is told at once; suspended and ended subscriptions tell no more."""
    manager("POST", "/workitems?1.2.1", new_workitem(label="CT chest"))
    manager("POST", f"/workitems/{FILTERED_UID}/subscribers/MANAGER?filter=ProcedureStepLabel=CT*")
    manager("POST", "/workitems?1.2.2", new_workitem(label="MR head"))
    manager("POST", "/workitems?1.2.3", new_workitem(label="CT head"))
    manager("POST", "/workitems/1.2.2/subscribers/OTHER")
    manager("POST", f"/workitems/{FILTERED_UID}/subscribers/MANAGER/suspend")
    manager("POST", "/workitems?1.2.4", new_workitem(label="CT neck"))
    manager("PUT", "/workitems/1.2.3/state", _to("IN PROGRESS"))
    manager("DELETE", f"/workitems/{WORKLIST_UID}/subscribers/MANAGER")
    manager("PUT", "/workitems/1.2.3/state", _to("CANCELED"))
    manager("POST", "/workitems/1.2.4/subscribers/MANAGER")

    with _channel(web_door) as channel:
        told = [_next(channel) for _ in range(4)]
    assert told == [
        (1, "1.2.1", "SCHEDULED"),
        (1, "1.2.3", "SCHEDULED"),
        (1, "1.2.3", "IN PROGRESS"),
        (1, "1.2.4", "SCHEDULED"),
    ]
    with _channel(web_door, "OTHER") as channel:
        assert _next(channel) == (1, "1.2.2", "SCHEDULED")


def test_nobody_listens_with_the_title_of_another_account_or_from_another_page(
    web_door: WebDoor, manager: Callable[..., httpx.Response]
) -> None:
    """Without an account 401; with the wrong role, another's AE title or from another site 403; by another name 421."""
    manager("POST", f"/workitems/{WORKLIST_UID}/subscribers/MANAGER")
    refused: dict[str, int] = {}
    for why, how in {
        "anonymous": {"Authorization": ""},
        "auditor": {"account": "auditor"},
        "another's": {"account": "administrator"},
        "another page": {"Origin": "http://elsewhere.example"},
        "another name": {"host": "elsewhere.example"},
    }.items():
        with pytest.raises(InvalidStatus) as refusal, _channel(web_door, **how):
            pass
        refused[why] = refusal.value.response.status_code

    assert refused == {"anonymous": 401, "auditor": 403, "another's": 403, "another page": 403, "another name": 421}


def test_channels_are_few_take_no_messages_and_end_with_the_process(web_door: WebDoor) -> None:
    """The ninth channel of an account is refused, a long message ends a channel, and a stop ends all of them."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(_channel(web_door, f"A{number}")) for number in range(8)]
        with pytest.raises(InvalidStatus), _channel(web_door, "A9"):
            pass
        with contextlib.suppress(ConnectionClosed):
            opened[0].send("x" * 5000)
        with pytest.raises(ConnectionClosed):
            opened[0].recv(timeout=60)
        with _channel(web_door, "A9"):  # its place is free again
            web_door.door.stopping.set()
            with pytest.raises(ConnectionClosed):
                opened[1].recv(timeout=60)


def test_a_deletion_lock_keeps_what_has_ended(
    web_door: WebDoor, manager: Callable[..., httpx.Response], database_url: str
) -> None:
    """What a subscriber has locked stays until he unsubscribes; what he did not fetch in time is not kept for ever."""
    settings = WorkitemSettings(keep_hours=1e-9, event_hours=1e-9)
    database = open_database(database_url, "test")
    manager("POST", "/workitems?1.2.1", new_workitem())
    manager("POST", "/workitems/1.2.1/subscribers/MANAGER?deletionlock=true")
    manager("POST", "/workitems/1.2.1/cancelrequest", {})

    assert forget_workitems(database, settings) == 0
    manager("DELETE", "/workitems/1.2.1/subscribers/MANAGER")
    assert forget_workitems(database, settings) == 1
    with database.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM workitem_event")).scalar_one() == 0
    database.close()


def test_a_channel_ends_with_the_right_to_see_studies(
    web_door: WebDoor, manager: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that has lost its role is told nothing more over a channel that it opened before."""
    monkeypatch.setattr("listener.web.ups.channel._AGAIN_SECONDS", 0.0)
    manager("POST", f"/workitems/{WORKLIST_UID}/subscribers/MANAGER")
    with _channel(web_door) as channel:
        manager("POST", "/workitems?1.2.1", new_workitem())
        assert _next(channel) == (1, "1.2.1", "SCHEDULED")

        web_door.accounts.set_roles("operator", frozenset({Role.AUDITOR}), "tester")

        with pytest.raises(ConnectionClosed) as closed:
            channel.recv(timeout=60)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_a_client_that_takes_nothing_loses_its_place(
    web_door: WebDoor, manager: Callable[..., httpx.Response], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer whose buffers are full and that reads no more is broken off; another channel has its place then."""
    monkeypatch.setattr("listener.web.channel_protocol._STUCK_SECONDS", 0.5)
    manager("POST", f"/workitems/{WORKLIST_UID}/subscribers/DEAF")
    much = (
        "INSERT INTO workitem_event (ae_title, sop_instance_uid, event_type, information) SELECT 'DEAF', '1.2.1', 3, "
        "jsonb_build_object('00741006', repeat('x', 10000)) FROM generate_series(1, 1000)"
    )
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(much)
    key = base64.b64encode(bytes(16)).decode()
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.create_connection(("127.0.0.1", web_door.port)))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            f"GET /dicom-web/subscribers/DEAF HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Authorization: {_basic('operator')}\r\n\r\n".encode()
        )
        assert deaf.recv(12) == b"HTTP/1.1 101"
        for number in range(7):
            stack.enter_context(_channel(web_door, f"A{number}"))
        for _ in range(150):
            with contextlib.suppress(InvalidStatus), _channel(web_door, "A8"):
                break
            time.sleep(0.2)
        else:
            pytest.fail("the channel that takes nothing still has its place")
