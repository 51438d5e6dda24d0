"""`overread cohort run` as whoever asks for a cohort uses it, without an archive."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from overread.commands.cohort import cohort
from overread.errors import InvalidSettings
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from tests.integration.postgres.conftest import Hospital

_UIDS = [f"1.2.3.{number}" for number in range(10, 30)]


@pytest.fixture
def asked(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that ask for a cohort of studies that are not here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERREAD_DATABASE_URL", database_url)
    monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path))
    database = open_database(database_url, "test")
    hospital = Hospital(database_url, database, ObjectStore(DataFolder(tmp_path)))
    hospital.install()
    hospital.queue.close()
    database.close()
    (tmp_path / "uids.txt").write_text("\n".join(_UIDS))
    return ["run", "--studies", "uids.txt", "--algorithm", "lungs", "--held"]


def _run(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(cohort, words)
    assert result.exit_code == status, result.output
    return result.output


def test_the_order_of_the_rows_tells_nothing(asked: list[str]) -> None:
    """It is neither that of the UIDs, which is often that of the days, nor the same in two cohorts of one list."""
    orders = []
    for name in ("one", "two", "two"):
        _run(*asked, "--name", name, "--out", "out.parquet", "--identified", status=1)
        orders.append(pq.read_table("out.parquet").column("study_instance_uid").to_pylist())

    assert all(sorted(order) == _UIDS for order in orders)
    assert orders[0] != _UIDS
    assert orders[0] != orders[1]
    assert orders[1] == orders[2]


def test_the_name_of_a_cohort_tells_nothing_of_what_it_was_asked_for(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in each table, and follows from a secret: elsewhere the same options have another name."""
    for folder in ("here", "here", "elsewhere"):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path / folder))
        _run(*asked, status=1)

    assert len({one["name"] for one in json.loads(_run("list", "--json"))}) == 2


def test_what_a_cohort_is_cannot_be_said_with_its_name_alone(asked: list[str]) -> None:
    """Delivery and archive are of the first run: silence would let somebody wait for what is never sent."""
    _run(*asked, "--name", "one", status=1)

    assert "--name alone" in _run("run", "--name", "one", "--deliver", status=2)


@pytest.mark.parametrize("content", [b"", "1.2.3".encode("utf-16"), b"1.2.3\nDOE^JOHN"])
def test_a_list_that_names_no_studies_is_refused(asked: list[str], content: bytes, tmp_path: Path) -> None:
    """An empty file, one in UTF-16 and a line that is no UID end in a sentence, and nothing is written down."""
    (tmp_path / "uids.txt").write_bytes(content)

    result = CliRunner().invoke(cohort, asked)

    assert isinstance(result.exception, InvalidSettings)
    assert "DOE" not in str(result.exception)
    assert json.loads(_run("list", "--json")) == []
