"""The web door in the whole product: files sent to the API are analysed, and STOW-RS comes to the same as C-STORE."""

import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas
import pyarrow
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from PIL import Image
from pyarrow import parquet

from overread.cohorts.table import COLUMNS
from tests.end_to_end.conftest import Product, Series, write_series
from tests.peers.free_ports import free_port
from tests.peers.tiny_classifier import MANIFEST, write_tiny_classifier

PASSWORD = "a long enough password"
OUTPUTS = {"classes": [MANIFEST["outputs"]["classes"][0] | {"threshold": 0.2}]}
IMAGE = {"size": [32, 32], "intensity": {"method": "window", "center": 127.5, "width": 255}}


@pytest.fixture
def web_product(product: Product) -> Product:
    """A product whose web door has an account `researcher` that may send, see and analyse."""
    product.settings["OVERREAD_WEB_PORT"] = str(free_port())
    added = product.command("users", "add", "researcher", "--role", "operator", "--password-stdin", typed=PASSWORD)
    assert added.returncode == 0, added.stderr
    return product


def base(product: Product) -> str:
    """Where its web door is."""
    return f"http://127.0.0.1:{product.settings['OVERREAD_WEB_PORT']}"


@pytest.fixture
def http(web_product: Product) -> Iterator[httpx.Client]:
    """A program with that account."""
    with httpx.Client(base_url=base(web_product), auth=("researcher", PASSWORD), timeout=130) as client:
        yield client


def add_classifier(product: Product, folder: Path, **changes: Any) -> None:
    """Install the classifier that can be computed by hand."""
    write_tiny_classifier(folder, outputs=OUTPUTS, **changes)
    added = product.command("algorithms", "add", str(folder))
    assert added.returncode == 0, added.stderr


def png(values: np.ndarray) -> bytes:
    """A picture."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", pnginfo=None)
    return buffer.getvalue()


def answers(product: Product, http: httpx.Client) -> None:
    """Wait for the web door, which starts beside the others."""

    def ready() -> bool:
        try:
            return http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    product.wait_until(ready, "the web door answers")


def test_pictures_sent_to_the_api_come_back_as_findings(
    web_product: Product, http: httpx.Client, tmp_path: Path
) -> None:
    """Two PNGs in one request: the answer has the probability computed by hand, a report, and a picture as PNG.

    The study was never quiet: it is analysed at once although the quiet time is an hour.
    """
    web_product.settings["OVERREAD_STUDY_QUIET_SECONDS"] = "3600"
    add_classifier(web_product, tmp_path / "classifier", image=IMAGE)
    web_product.start()
    answers(web_product, http)
    bright = np.linspace(150, 250, 1600).astype(np.uint8).reshape(40, 40)
    dark = bright // 10

    answer = http.post(
        "/api/v1/analyze?wait=100",
        data={"modality": "MR", "body_part": "HEAD"},
        files=[("files", ("Doe^Jane.png", png(dark))), ("files", ("../../x.png", png(bright)))],
    )

    assert answer.status_code == 200, (answer.text, web_product.log())
    found = answer.json()
    assert (found["state"], found["finished"], found["images"]) == ("done", True, 2), (found, web_product.log())
    [run] = found["algorithms"]
    assert (run["algorithm"], run["state"]) == ("tiny-classifier 1.0", "analysed")
    [finding] = run["findings"]
    assert finding["kind"]["meaning"] == "Neoplasm"
    assert finding["classification"]["probability"] == pytest.approx(bright.mean() / 255, abs=0.01)
    assert finding["classification"]["present"] is True
    assert "Tumour: found" in run["report_text"]
    picture = http.get(run["pictures"][0]["url"])
    assert picture.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).size >= (100, 100)
    again = http.get(answer.headers["location"])
    assert again.json() == found
    kept = client_of(web_product).retrieve_study(found["study_instance_uid"])
    assert sorted({str(each.Modality) for each in kept}) == ["MR", "OT", "SR"]
    assert "Doe" not in web_product.log()
    _assert_valid([each for each in kept if each.Modality == "MR"], tmp_path)
    assert web_product.silent_instances() == []


def client_of(product: Product) -> DICOMwebClient:
    """An independent client of its DICOMweb."""
    return DICOMwebClient(f"{base(product)}/dicom-web", session=create_session_from_user_pass("researcher", PASSWORD))


def _assert_valid(instances: list[pydicom.Dataset], folder: Path) -> None:
    for number, instance in enumerate(instances):
        path = folder / f"{number}.dcm"
        instance.save_as(path)
        judged = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        assert [line for line in judged.stderr.splitlines() if line.startswith("Error")] == []


def test_stow_of_a_study_gives_the_same_result_as_c_store_of_it(
    web_product: Product, http: httpx.Client, bright_voxels: Path, tmp_path: Path
) -> None:
    """One study by C-STORE, the same images under other UIDs by STOW-RS: the same findings, masks and reports.

    The web role is killed right after its answer, which changes nothing: what it acknowledged was on stable storage.
    Sent once more the other way, the very same study is already held and makes no second revision.
    """
    assert web_product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    web_product.start()
    answers(web_product, http)
    first = write_series(tmp_path / "first")
    second = write_series(tmp_path / "second")
    web = client_of(web_product)

    _storescu(web_product, first)
    stowed = web.store_instances([pydicom.dcmread(path) for path in second.paths])
    assert len(stowed.ReferencedSOPSequence) == len(second.paths)
    assert web_product.kill("web")
    for series in (first, second):
        web_product.wait_for_study(series.study_instance_uid, "done")
    answers(web_product, http)

    one, other = (_findings(http, series) for series in (first, second))
    assert one == other
    assert one[0]["measurements"]
    assert _masks(web, first) == _masks(web, second)

    before = _results(http, first), _results(http, second)
    _storescu(web_product, second)
    web.store_instances([pydicom.dcmread(path) for path in first.paths])
    third = write_series(tmp_path / "third")
    _storescu(web_product, third)
    web_product.wait_for_study(third.study_instance_uid, "done")  # so the quiet time of the others is over too
    assert (_results(http, first), _results(http, second)) == before
    assert web_product.silent_instances() == []


def _storescu(product: Product, series: Series) -> None:
    subprocess.run(
        ["storescu", "-aec", "OVERREAD", "127.0.0.1", str(product.port), *map(str, series.paths)], check=True
    )


def _findings(http: httpx.Client, series: Series) -> list[dict[str, Any]]:
    """The findings without the UIDs, which differ with the study."""
    [run] = http.get(f"/api/v1/analyses/{series.study_instance_uid}").json()["algorithms"]
    return [{key: value for key, value in finding.items() if key != "tracking_uid"} for finding in run["findings"]]


def _results(http: httpx.Client, series: Series) -> tuple[int, list[str]]:
    """The revision, and what is retrieved of the evidence."""
    analysis = http.get(f"/api/v1/analyses/{series.study_instance_uid}").json()
    found = http.get(f"/dicom-web/studies/{series.study_instance_uid}/instances").json()
    return analysis["revision"], sorted(item["00080018"]["Value"][0] for item in found)


def _masks(web: DICOMwebClient, series: Series) -> list[bytes]:
    return [
        instance.PixelData for instance in web.retrieve_study(series.study_instance_uid) if instance.Modality == "SEG"
    ]


def test_the_page_for_researchers_is_true(web_product: Product, http: httpx.Client, tmp_path: Path) -> None:
    """The programs, the curl command and the query of docs/for-researchers.md are run, but for address and account.

    The table of a cohort is one without a row: its columns are what the page names.
    """
    page = (Path(__file__).parents[2] / "docs" / "for-researchers.md").read_text(encoding="utf-8")
    script, cohort, table = (part.split("```")[0] for part in page.split("```python\n")[1:])
    [command] = re.findall(r"^\$ curl (.*)$", page, re.MULTILINE)
    add_classifier(web_product, tmp_path / "classifier", image=IMAGE)
    web_product.start()
    answers(web_product, http)
    write_series(tmp_path / "head-study")
    bright = np.linspace(150, 250, 1600).astype(np.uint8).reshape(40, 40)
    (tmp_path / "slice.png").write_bytes(png(bright))
    for placeholder, value in (
        ("http://127.0.0.1:8080", base(web_product)),
        ('"demo", "PASSWORD"', repr(_ACCOUNT)[1:-1]),
    ):
        assert placeholder in script
        script, command = script.replace(placeholder, value), command.replace(placeholder, value)
    asked = shlex.split(command)
    asked[asked.index("demo")] = ":".join(_ACCOUNT)

    shown = _run([sys.executable, "-c", script], tmp_path)
    told = json.loads(_run(["curl", "--silent", "--fail", *asked], tmp_path))
    url = web_product.database_url().replace("postgresql://", "postgresql+psycopg2://")
    found = eval(  # noqa: S307 - a line of our own page
        table.split("table = ")[1].replace("postgresql+psycopg2://…", url), {"pd": pandas}
    )

    columns = pyarrow.schema([*COLUMNS.items(), ("Volume (cm3)", pyarrow.float64())])
    parquet.write_table(columns.empty_table(), tmp_path / "lungs.parquet")
    _run([sys.executable, "-c", f"import pandas as pd\n{cohort}"], tmp_path)

    assert shown.startswith("done\n")
    assert "tiny-classifier 1.0" in shown
    assert told["algorithms"][0]["findings"][0]["classification"]["present"] is True
    assert list(found["class"]) == ["Tumour"] * 2
    assert found["present"].all()


_ACCOUNT = ("researcher", PASSWORD)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout
