"""A whole run with a patient nobody else has: what is seeded at every door is found nowhere it does not belong."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg2
import pydicom
import pytest

from overread.demo.modality import push
from overread.supervisor import ROLES
from storage.postgres.embedded import running_url
from tests.end_to_end.conftest import Product, destination, write_series
from tests.peers.free_ports import free_port
from tests.peers.recording_pacs import RecordingPacs

NAME, PATIENT, BIRTH, ACCESSION = "Canaryname", "CANARYID7731", "19330417", "CANARYACC9"
PASSWORD, WRONG = "canary-Password-q7!", "canary-Wrong-password-z8!"
CANARIES = (NAME, PATIENT, BIRTH, ACCESSION, PASSWORD, WRONG, "Canary^Weird")

# Where patients' data belongs: the objects themselves, the rows, and what still waits for its rows.
_MAY_HOLD = ("objects", "quarantine", "evidence", "spool", "postgres/cluster")


@pytest.fixture
def site(bright_voxels: Path, recording_pacs: RecordingPacs) -> Iterator[Product]:
    """A running product with logs as JSON, a temporary folder of its own, a viewer and an operator."""
    folder = Path(tempfile.mkdtemp(prefix="overread-canary-"))
    folder.chmod(0o711)
    temporary = folder / "tmp"
    temporary.mkdir(mode=0o777)
    settings = {
        "OVERREAD_WEB_PORT": str(free_port()),
        "OVERREAD_LOGS_FORMAT": "json",
        "OVERREAD_WEB_METRICS_WITHOUT_LOGIN": "true",
        "TMPDIR": str(temporary),
    }
    product = Product(folder / "data", settings | destination(recording_pacs.port), port=free_port())
    try:
        assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
        for role in ("viewer", "operator"):
            done = product.command("users", "add", role, "--role", role, "--password-stdin", typed=PASSWORD)
            assert done.returncode == 0, done.stderr
        product.start()
        yield product
    finally:
        product.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_seeded_patient_is_found_nowhere_it_does_not_belong(site: Product, tmp_path: Path) -> None:
    """Name, ID, birth date, accession number and passwords: in no log, metric, status, error page, file name or
    temporary file, after a study that is analysed, one that conflicts, one that is odd, garbage, and failed logins.
    """
    assert [role for role in ROLES if not _leaves_no_core(site.role(role))] == []
    told = [*_send_everything(site, tmp_path), *_use_the_web_door(site)]
    told += [site.command(*words).stdout for words in (("status",), ("status", "--json"), ("jobs", "list"))]
    told.append(site.command("explain", PATIENT).stderr)
    told.append(_kept_for_monitoring(site))
    assert site.stop() == 0

    for text in told:
        assert _canaries_in(text) == [], text[:2000]
    log = (site.data_dir.parent / "log").read_text(encoding="utf-8")
    assert _canaries_in(log) == []
    assert [line for line in log.splitlines() if "level" not in json.loads(line)] == [], "one JSON object a line"
    assert _names_with_canaries(site.data_dir.parent) == []
    assert _files_with_canaries(site.data_dir.parent) == []
    assert _is_kept(site.data_dir / "objects"), "the canaries were really received"


def _send_everything(site: Product, folder: Path) -> Iterator[str]:
    """C-STORE of a good study, of other bytes under its UIDs, and of values that no library likes."""
    patient = {"PatientName": f"{NAME}^Zebra", "PatientID": PATIENT, "PatientBirthDate": BIRTH}
    equipment = {"StationName": f"{NAME} room", "ProtocolName": f"Head {NAME}", "ManufacturerModelName": PATIENT}
    good = write_series(folder / "good", AccessionNumber=ACCESSION, **patient | equipment)
    push(good.paths, host="127.0.0.1", port=site.port, called_ae_title="OVERREAD")
    site.wait_for_study(good.study_instance_uid, "done")

    other = pydicom.dcmread(good.paths[0])
    other.PatientName = f"{NAME}^Changed"
    other.save_as(folder / "conflict.dcm")
    odd = write_series(folder / "odd", **patient | {"StudyDescription": "Canary^Weird"})
    for path in odd.paths:
        instance = pydicom.dcmread(path)
        instance.add_new("StudyDate", "LO", "Canary^Weird")  # a date it is not
        instance.add_new("PixelSpacing", "LO", f"{NAME}\\{PATIENT}")
        instance.save_as(path)
    for paths in ([folder / "conflict.dcm"], odd.paths):
        try:
            push(paths, host="127.0.0.1", port=site.port, called_ae_title="OVERREAD")
        except Exception as error:  # noqa: BLE001 - the refusal is meant, and must not repeat anything
            yield str(error)
    site.wait_until(
        lambda: (site.study(odd.study_instance_uid) or {}).get("state") in ("done", "failed", "not-analysed"),
        "the odd study has its end",
    )
    yield json.dumps(site.status())


def _use_the_web_door(site: Product) -> Iterator[str]:
    """Failed logins, addresses and parameters with canaries, STOW of garbage, metrics; what a stranger is told."""
    with httpx.Client(base_url=f"http://127.0.0.1:{site.settings['OVERREAD_WEB_PORT']}", timeout=60) as stranger:
        for name in (PATIENT, "viewer", PASSWORD):
            proof = stranger.get("/login").text.partition('name="proof" value="')[2].partition('"')[0]
            answer = stranger.post("/login", data={"name": name, "password": WRONG, "proof": proof})
            assert answer.status_code == 401
            yield answer.text.replace(f'value="{name}"', "")  # who typed it sees their own name again
        for address in (f"/studies/{PATIENT}", f"/{NAME}", f"/jobs/{NAME}/cancel", f"/static/{NAME}.css"):
            yield stranger.get(address).text
        yield stranger.get("/metrics").text
        garbage = f"--b\r\nContent-Type: application/dicom\r\n\r\n{NAME} {PATIENT}\r\n--b--".encode()
        kind = {"content-type": 'multipart/related; type="application/dicom"; boundary=b'}
        for password in (WRONG, PASSWORD):
            answer = stranger.post("/dicom-web/studies", content=garbage, headers=kind, auth=("operator", password))
            yield answer.text
        yield stranger.get("/metrics").text
        proof = stranger.get("/login").text.partition('name="proof" value="')[2].partition('"')[0]
        stranger.post("/login", data={"name": "viewer", "password": PASSWORD, "proof": proof})
        for address in (f"/studies/{PATIENT}", f"/jobs?before={NAME}", f"/studies?state={NAME}"):
            answer = stranger.get(address)
            assert answer.status_code in (404, 422)
            yield answer.text
        study = next(study for study in site.status()["studies"] if study["state"] == "done")
        assert PATIENT in stranger.get(f"/studies/{study['study_instance_uid']}").text, "who may look, sees"


def _kept_for_monitoring(site: Product) -> str:
    """All rows of the tables of monitoring, whatever they hold, and what the command tells of them."""
    told = [site.command("monitor", "--json").stdout]
    url = running_url(site.data_dir / "postgres")
    assert url is not None
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for table in ("result_statistics", "monitoring_baseline", "drift", "drift_alarm"):
            cursor.execute(f"SELECT coalesce(json_agg(kept)::text, '') FROM {table} AS kept")  # noqa: S608 - our words
            told += [row for (row,) in cursor]
    assert "HEAD" in told[1], "the good study is among the rows"
    return "\n".join(told)


def _leaves_no_core(process_id: int | None) -> bool:
    limits = Path(f"/proc/{process_id}/limits").read_text()
    return "Max core file size        0 " in limits


def _canaries_in(text: str) -> list[str]:
    """Whatever became of the case of letters on the way."""
    return [canary for canary in CANARIES if canary.lower() in text.lower()]


def _names_with_canaries(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if _canaries_in(path.name)]


def _files_with_canaries(folder: Path) -> list[str]:
    belong = [folder / "data" / place for place in _MAY_HOLD]
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not any(path.is_relative_to(place) for place in belong):
            found += [str(path)] if _canaries_in(path.read_bytes().decode("latin-1")) else []
    return found


def _is_kept(folder: Path) -> bool:
    return any(PATIENT.encode() in path.read_bytes() for path in folder.rglob("*.dcm"))
