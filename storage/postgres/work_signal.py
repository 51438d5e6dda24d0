"""Waking workers: NOTIFY when work is scheduled, LISTEN while there is none."""

import contextlib
import select
import threading
from typing import Any

import psycopg2
from sqlalchemy import text
from sqlalchemy.orm import Session

from storage.domain.job import PRIORITY_RANK, JobKind
from storage.errors import DatabaseUnavailable
from storage.postgres.engine import Database

_SAFETY_NET_S = 30.0  # should a notification ever be lost, work is found after this long
_RECONNECT_S = 1.0

# The first of what was never tried, which is due, and of what was tried before; no look at all that waits.
SECONDS_UNTIL_DUE = """
SELECT extract(epoch FROM min(due_at) - now())::float8
FROM (
    (
        SELECT due_at
        FROM job
        WHERE state = 'scheduled' AND kind = %(kind)s AND attempt = 0
        ORDER BY shadow, priority_rank, turn, due_at, id
        LIMIT 1
    )
    UNION ALL
    SELECT tried.due_at
    FROM unnest(ARRAY[false, true]) AS class (shadow)
    CROSS JOIN unnest(%(ranks)s) AS urgency (priority_rank)
    CROSS JOIN LATERAL (
        SELECT due_at
        FROM job
        WHERE state = 'scheduled' AND kind = %(kind)s AND attempt > 0
            AND shadow = class.shadow AND priority_rank = urgency.priority_rank
        ORDER BY due_at
        LIMIT 1
    ) AS tried
) AS head
"""
_SECONDS_UNTIL_DUE_THERE = """
SELECT extract(epoch FROM min(head.due_at) - now())::float8
FROM unnest(%(ranks)s) AS urgency (priority_rank)
CROSS JOIN LATERAL (
    SELECT due_at
    FROM job
    WHERE state = 'scheduled' AND kind = 'delivery' AND destination = %(destination)s
        AND priority_rank = urgency.priority_rank AND turn = 0
    ORDER BY due_at
    LIMIT 1
) AS head
"""


def _channel(kind: JobKind) -> str:
    return f"overread_{kind}"


def announce_work(session: Session, kind: JobKind) -> None:
    """Tell waiting workers, once the caller's transaction commits, that jobs of this kind have changed."""
    session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": _channel(kind)})


class WorkSignal:
    """One listening connection per kind of work; it comes back by itself when the server does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._listening: dict[JobKind, Any] = {}

    def wait(self, kind: JobKind, timeout: float, destination: str = "") -> None:
        """Return when a job of this kind may be due, at the latest after ``timeout`` seconds; never raises.

        While the server is away this waits about a second and returns, so that the caller's own next call
        finds out. With a ``destination``, only what is due there ends the wait before something is announced.
        """
        with self._lock:
            # A connection may have died unnoticed since the last wait, which says nothing about the server.
            if not self._waited(kind, timeout, destination) and not self._waited(kind, timeout, destination):
                threading.Event().wait(min(timeout, _RECONNECT_S))

    def close(self) -> None:
        """Close the listening connections."""
        with self._lock:
            for kind in list(self._listening):
                self._forget(kind)

    def _waited(self, kind: JobKind, timeout: float, destination: str) -> bool:
        try:
            self._wait(kind, timeout, destination)
        except (DatabaseUnavailable, psycopg2.OperationalError, psycopg2.InterfaceError):
            self._forget(kind)
            return False
        return True

    def _wait(self, kind: JobKind, timeout: float, destination: str) -> None:
        connection = self._connection(kind)
        connection.poll()
        if connection.notifies:
            connection.notifies.clear()
            return
        # Asked after LISTEN began: what was scheduled before is seen here, what comes later is notified.
        pause = min(timeout, _SAFETY_NET_S, _seconds_until_due(connection, kind, destination))
        if pause > 0 and not connection.notifies:
            select.select([connection], [], [], pause)
            connection.poll()
        connection.notifies.clear()

    def _connection(self, kind: JobKind) -> Any:  # noqa: ANN401 - psycopg2 ships no types
        if kind not in self._listening:
            connection = self._database.dedicated_connection()
            self._listening[kind] = connection
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {_channel(kind)}")
        return self._listening[kind]

    def _forget(self, kind: JobKind) -> None:
        connection = self._listening.pop(kind, None)
        if connection is not None:
            with contextlib.suppress(psycopg2.Error):
                connection.close()


def _seconds_until_due(connection: Any, kind: JobKind, destination: str) -> float:  # noqa: ANN401 - no types
    asked = {"kind": str(kind), "destination": destination, "ranks": sorted(PRIORITY_RANK.values())}
    with connection.cursor() as cursor:
        cursor.execute(_SECONDS_UNTIL_DUE_THERE if destination else SECONDS_UNTIL_DUE, asked)
        (seconds,) = cursor.fetchone()
    return _SAFETY_NET_S if seconds is None else float(seconds)
