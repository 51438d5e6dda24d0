"""The demonstration: everything on this machine, one real study there and back, then what came back."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from listener.web.viewer.links import address_in_ohif
from overread.data_folder import make_data_folder
from overread.database import own_database
from overread.demo import account
from overread.demo.brain_extraction import write_brain_extraction
from overread.demo.head_study import HeadStudy, write_head_study
from overread.demo.modality import push
from overread.demo.pacs import DemoPacs
from overread.demo.settings import USUAL_DICOM_PORT, USUAL_WEB_PORT, DemoSettings, demo_data_dir, free_port
from overread.demo.show import show_result
from overread.errors import DemoFailed, RoleFailed
from overread.fetch import fetch
from overread.installation import install
from overread.npm_fetch import fetch_ohif
from overread.packages import DEEPBRAIN, OHIF, PYDEFACE
from overread.settings import CONFIG_VARIABLE, Settings
from overread.supervisor import Supervisor, stop_on_signals
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.account_rows import PostgresAccountDirectory
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import Database, open_database
from storage.postgres.overview import Overview

_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.1
_DEMO_AE_TITLE = "DEMOPACS"
_ALGORITHM = "brain-extraction"

_ENDED_BADLY = ("failed", "not-analysed", "parked", "canceled")


def run_demo(
    *,
    output: Path,
    once: bool,
    pacs: tuple[str, str, int] | None = None,
    data_dir: Path | None = None,
    viewer: bool = False,
) -> None:
    """Receive, analyse and deliver one real study and show it; ``pacs`` is (AE title, host, port) of another PACS.

    ``viewer`` serves OHIF beside the dashboard.

    Raises:
        DemoFailed: the study did not come through; the message says where the log is.
    """
    console = Console(highlight=False, soft_wrap=True)
    stop = threading.Event()
    with ExitStack() as cleanup:
        cleanup.enter_context(stop_on_signals(stop))
        data_dir = (data_dir or demo_data_dir()).absolute()
        make_data_folder(Settings.model_construct(data_dir=data_dir))
        study = _prepare_study(console, data_dir)
        _prepare_output(output)
        place = pacs or cleanup.enter_context(_demo_pacs(data_dir))
        folder = _prepare_viewer(console, data_dir) if viewer else None
        demo = DemoSettings(data_dir, free_port(USUAL_DICOM_PORT), free_port(USUAL_WEB_PORT), *place, folder)
        demo.write()
        server = cleanup.enter_context(own_database(Settings.model_construct(data_dir=data_dir)))
        database = open_database(server.url, "overread demo")
        cleanup.callback(database.close)
        _install_algorithm(console, data_dir, database)
        log = data_dir / "demo.log"
        cleanup.enter_context(_roles(demo, server.url, log, stop))
        story = _Story(console, Overview(database), study, log, stop)
        if not once:
            story.wait_for(demo.web_port, "web door")
            _tell_how_to_watch(console, demo, account.open_account(PostgresAccountDirectory(database)))
        story.push(demo)
        told = story.watch(demo.pacs_ae_title)
        overview = Overview(database)
        show_result(console, overview, ObjectStore(DataFolder(data_dir)), study, told, output)
        if viewer and not once:
            address = address_in_ohif(study.study_instance_uid, overview.report(study.study_instance_uid))
            console.print(f"\nThe result in OHIF: {demo.dashboard.rstrip('/')}{address}", markup=False)
        if once:
            console.print(
                f"\n{_where_the_algorithm_is(data_dir)}\n"
                f"Kept for the next time in {data_dir}; remove it whenever you like.",
                markup=False,
            )
        else:
            _wait_for_more(console, demo, stop)


def _tell_how_to_watch(console: Console, demo: DemoSettings, password: str) -> None:
    console.print(
        f"\nWatch it in a browser: {demo.dashboard}\n  name      {account.NAME}\n  password  {password}\n", markup=False
    )


def _prepare_study(console: Console, data_dir: Path) -> HeadStudy:
    with _step(console, f"Fetch the head of {PYDEFACE.name} {PYDEFACE.version} and make it a DICOM MR series"):
        sdist = fetch(PYDEFACE, data_dir / "packages")
        folder = data_dir / "modality"
        for old in folder.glob("*.dcm"):
            old.unlink()
        return write_head_study(sdist, folder)


def _prepare_viewer(console: Console, data_dir: Path) -> Path:
    with _step(console, f"Fetch the viewer of {OHIF.name} {OHIF.version}"):
        return fetch_ohif(data_dir / "packages")


def _prepare_output(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoFailed(f"{output} cannot be made ({error.strerror}); give another folder with --output.") from None


def _install_algorithm(console: Console, data_dir: Path, database: Database) -> None:
    with _step(console, f"Build the ONNX graph from the weights of {DEEPBRAIN.name} {DEEPBRAIN.version}"):
        folder = write_brain_extraction(fetch(DEEPBRAIN, data_dir / "packages"), data_dir / _ALGORITHM)
        install(folder, data_dir, PostgresAlgorithmCatalog(database), "demo")


def _where_the_algorithm_is(data_dir: Path) -> str:
    return f"The algorithm's folder, as `overread algorithms add` takes it: {data_dir / _ALGORITHM}"


@contextmanager
def _demo_pacs(data_dir: Path) -> Iterator[tuple[str, str, int]]:
    with DemoPacs(data_dir / "pacs", _DEMO_AE_TITLE) as pacs:
        yield _DEMO_AE_TITLE, "127.0.0.1", pacs.port


@contextmanager
def _roles(demo: DemoSettings, url: str, log: Path, stop: threading.Event) -> Iterator[None]:
    """All roles in the background for as long as the block; a role that cannot start sets ``stop``."""
    ended, failures = threading.Event(), list[RoleFailed]()

    def supervise() -> None:
        with log.open("wb") as output:
            try:
                Supervisor(demo.environment() | {"OVERREAD_DATABASE_URL": url}, output=output).run(ended)
            except RoleFailed as failure:
                failures.append(failure)
                stop.set()

    thread = threading.Thread(target=supervise, name="supervisor")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if failures:
            raise DemoFailed(f"A role could not start; {log} says why.") from failures[0]


class _Story:
    """One study's way through, told line by line as the rows change."""

    def __init__(
        self, console: Console, overview: Overview, study: HeadStudy, log: Path, stop: threading.Event
    ) -> None:
        self._console = console
        self._overview = overview
        self._study = study
        self._log = log
        self._stop = stop

    def push(self, demo: DemoSettings) -> None:
        """Send the study to the listener as a modality would."""
        self.wait_for(demo.listener_port, "listener")
        total = len(self._study.files)
        with self._console.status("") as line:
            push(
                self._study.files,
                host="127.0.0.1",
                port=demo.listener_port,
                called_ae_title="OVERREAD",
                progress=lambda done: line.update(f"DEMO_MR pushes the study: {done} of {total} acknowledged"),
            )
        self._done(f"DEMO_MR pushed {total} images to OVERREAD@127.0.0.1:{demo.listener_port}; all are on disk")

    def watch(self, destination: str) -> dict[str, Any]:
        """Tell each step once; return the study's line when its results have arrived."""
        steps = {
            "stable_at": "No more images came: the study is complete",
            "inferred_at": "The model ran; a segmentation, pictures and a report were made",
            "delivered_at": f"They are at {destination}",
        }
        waiting_for = ["the study to be complete", "the model", f"{destination} to acknowledge"]
        told, trouble = 0, ""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with self._console.status("") as line:
            while told < len(steps):
                study = self._look()
                for key in list(steps)[told:]:
                    if not study[key]:
                        break
                    self._done(steps[key])
                    told += 1
                if study["state"] in _ENDED_BADLY:
                    raise DemoFailed(f"The study is {study['state']}: {study['error']}")
                if time.monotonic() > deadline:
                    raise DemoFailed(f"The study was {study['state']} for too long; {self._log} may say why.")
                if study["error"] and study["error"] != trouble:
                    trouble = study["error"]
                    self._console.print(f"! {trouble}", markup=False)
                if told < len(steps):
                    line.update(f"Waiting for {waiting_for[told]}")
                    self._pause()
        return study

    def _look(self) -> dict[str, Any]:
        """The study's line, waiting for the first of its rows."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for study in self._overview.status()["studies"]:
                if study["study_instance_uid"] == self._study.study_instance_uid:
                    return dict(study)
            self._pause()
        raise DemoFailed(f"The study was acknowledged but never recorded; {self._log} may say why.")

    def wait_for(self, port: int, who: str) -> None:
        """Wait until a role answers on its port."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            self._pause()
        raise DemoFailed(f"The {who} did not start; {self._log} may say why.")

    def _pause(self) -> None:
        if self._stop.wait(_LOOK_SECONDS):
            raise KeyboardInterrupt

    def _done(self, sentence: str) -> None:
        self._console.print(f"[green]✓[/] {sentence}")


@contextmanager
def _step(console: Console, sentence: str) -> Iterator[None]:
    with console.status(sentence):
        yield
    console.print(f"[green]✓[/] {sentence}")


def _wait_for_more(console: Console, demo: DemoSettings, stop: threading.Event) -> None:
    command = Path(sys.argv[0]) if Path(sys.argv[0]).name == "overread" else Path("overread")
    console.print(
        f"\nOverread goes on running: push a study to OVERREAD@127.0.0.1:{demo.listener_port}, for example\n"
        f"  storescu -aec OVERREAD 127.0.0.1 {demo.listener_port} FILE.dcm …\n"
        f"and look at it at {demo.dashboard} (name and password stand above), or with\n"
        f"  {CONFIG_VARIABLE}={demo.config_file} {command} status\n"
        f"Results go to {demo.pacs_ae_title}@{demo.pacs_host}:{demo.pacs_port}. Ctrl-C ends everything.\n"
        f"{_where_the_algorithm_is(demo.data_dir)}",
        markup=False,
    )
    while not stop.wait(_LOOK_SECONDS):  # a wait without end may sleep through a signal that another thread takes
        pass
