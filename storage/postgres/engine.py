"""The connection to PostgreSQL: how long it may take, and one transaction as one with-block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from storage.errors import DatabaseUnavailable, StorageError

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 30
LOCK_TIMEOUT_S = 10

# Advisory locks of this service; the numbers only have to be ours and differ.
UPGRADE_LOCK = 0x0F5EAD01  # any two upgrades of one database meet here
HOUSEKEEPER_LOCK = 0x0F5EAD02  # of several housekeepers the one that holds it acts
ALGORITHM_LOCK = 0x0F5EAD04  # first key of a pair, the second is a name's: its versions are changed one by one
WORKLIST_LOCK = 0x0F5EAD05  # workitems are counted and then added one by one
COHORT_LOCK = 0x0F5EAD06  # first key of a pair, the second is a cohort's: one process runs it
EVIDENCE_LOCK = 0x0F5EAD03  # first key of a pair, the second is a study's: its results are stored one by one

_KEPT_CONNECTIONS = 5  # the pool's size; more are opened when they are wanted, and closed again
_SILENT_PEER_S = 20  # a server that vanished without a word is noticed within this time


def open_engine(url: str, application: str, *, pooled: bool = True, at_once: int = 15) -> Engine:
    """Prepare an engine for a ``postgresql://`` URL; nothing is connected yet.

    ``application`` is the name that ``pg_stat_activity`` shows. Statement parameters never appear in errors,
    because they may be a patient's. Of connections there are ``at_once`` at most; whoever wants another one waits.
    """
    parsed = make_url(url).set(drivername="postgresql+psycopg2")
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": application,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": _SILENT_PEER_S * 1000,
        "options": (
            f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c lock_timeout={LOCK_TIMEOUT_S}s "
            "-c idle_in_transaction_session_timeout=60s -c timezone=UTC"
        ),
    }
    pool: dict[str, Any] = (
        {"pool_pre_ping": True, "max_overflow": max(at_once - _KEPT_CONNECTIONS, 0)}
        if pooled
        else {"poolclass": NullPool}
    )
    return create_engine(parsed, connect_args=arguments, isolation_level="READ COMMITTED", hide_parameters=True, **pool)


@contextmanager
def named_errors() -> Iterator[None]:
    """Give the driver's errors our names, without the row that PostgreSQL repeats in its DETAIL.

    Raises:
        DatabaseUnavailable: no connection, a lost one, a statement or lock that took too long; try again later.
        StorageError: a constraint refused the change, which is a fault of ours.
    """
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise DatabaseUnavailable from error
    except DBAPIError as error:
        raise StorageError(
            f"The database refused a change ({_refusal(error)}), and nothing was written; report this as a fault."
        ) from None
    except SQLAlchemyError as error:
        raise StorageError(
            f"The database could not be asked ({type(error).__name__}); report this as a fault."
        ) from error


def _refusal(error: DBAPIError) -> str:
    """SQLSTATE and constraint name; never the message, which may repeat a row."""
    diagnostics = getattr(error.orig, "diag", None)
    names = (getattr(diagnostics, "sqlstate", None), getattr(diagnostics, "constraint_name", None))
    return ", ".join(name for name in names if name) or type(error.orig).__name__


class Database:
    """One PostgreSQL database as the adapters in this folder see it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One READ COMMITTED transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseUnavailable: nothing was written, unless the connection was lost during the commit itself.
        """
        with named_errors(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    def dedicated_connection(self) -> Any:  # noqa: ANN401 - psycopg2 ships no types
        """A psycopg2 connection of its own in autocommit mode, for LISTEN and advisory locks; the caller closes it.

        Raises:
            DatabaseUnavailable: the server does not answer.
        """
        with named_errors():
            pooled = self._engine.raw_connection()
            connection: Any = pooled.driver_connection
            pooled.detach()
        connection.autocommit = True
        return connection

    def close(self) -> None:
        """Give all idle connections back to the server."""
        self._engine.dispose()


def open_database(url: str, application: str, at_once: int = 15) -> Database:
    """Prepare the database at a ``postgresql://`` URL; the first transaction connects.

    ``at_once`` is how many threads may have a transaction at one time; others wait for theirs.
    """
    return Database(open_engine(url, application, at_once=at_once))
