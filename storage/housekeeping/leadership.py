"""Of several housekeepers one acts: the one that holds an advisory lock on the database."""

import contextlib
from typing import Any

import psycopg2

from storage.errors import DatabaseUnavailable, StorageError
from storage.postgres.engine import HOUSEKEEPER_LOCK, Database


class Leadership:
    """The lock, held for as long as its connection lives; the server frees it when this process dies."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._leads = False

    def held(self) -> bool:
        """Whether this process is the one that acts; asks the server each time.

        Raises:
            DatabaseUnavailable: the server does not answer; the lock is gone with the connection.
            StorageError: it answers, but refuses to be asked.
        """
        try:
            if self._connection is None:
                self._connection = self._database.dedicated_connection()
                self._leads = False
            # Asked again once held, because only an answer proves that the connection, and so the lock, still lives.
            self._leads = self._ask(
                "SELECT true" if self._leads else f"SELECT pg_try_advisory_lock({HOUSEKEEPER_LOCK})"
            )
            return self._leads
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            self.release()
            raise DatabaseUnavailable from error
        except psycopg2.Error as error:
            self.release()
            raise StorageError(
                f"The database refused to say which housekeeper acts ({error.pgcode}); check the rights of its user."
            ) from error

    def release(self) -> None:
        """Let another housekeeper act."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg2.Error):
                connection.close()

    def _ask(self, question: str) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(question)
            (answer,) = cursor.fetchone()
        return bool(answer)
