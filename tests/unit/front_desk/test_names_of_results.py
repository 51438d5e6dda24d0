"""`[results]` in the settings file."""

from pathlib import Path

import pytest

from inference.evidence.result_uids import USUAL_NAMING, SeriesNaming
from overread.errors import InvalidSettings
from overread.settings import Settings, load_settings


def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> Settings:
    """The settings of a file with these lines below [results]."""
    path = tmp_path / "overread.toml"
    path.write_text(f"[results]\n{lines}", encoding="utf-8")
    monkeypatch.setenv("OVERREAD_CONFIG", str(path))
    return load_settings()


def test_numbers_and_prefix_are_a_site_s_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing set is the usual naming, whose UIDs are those of the releases before."""
    set_by_site = 'series_number_base = 500\nseries_description_prefix = "KI Haus 2"\n'

    assert load(tmp_path, monkeypatch, "").results.naming() == USUAL_NAMING
    assert load(tmp_path, monkeypatch, set_by_site).results.naming() == SeriesNaming(500, "KI Haus 2")


@pytest.mark.parametrize("prefix", [" AI", "AI ", "Ärzte", "A\\\\B"])
def test_what_a_prefix_may_be_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """Nobody reads a regular expression; what is wrong with a space at the end is that one is added."""
    with pytest.raises(InvalidSettings) as told:
        load(tmp_path, monkeypatch, f'series_description_prefix = "{prefix}"')

    assert "at most 16 characters of printable ASCII" in str(told.value)
    assert "no space at either end, because one is added" in str(told.value)
    assert "pattern" not in str(told.value)


@pytest.mark.parametrize(
    "lines",
    [
        "series_number_base = 0",
        "series_number_base = 2000000001",
        'series_description_prefix = "A\\\\\\\\B"',
        'series_description_prefix = "Ärzte"',
        'series_description_prefix = " AI"',
        'series_description_prefix = "AI "',
        'series_description_prefix = "12345678901234567"',
    ],
)
def test_what_an_object_could_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    """Numbers beyond VR IS, and text that a source's character set or VR LO may not have."""
    with pytest.raises(InvalidSettings, match=r"results\.series_.* is not valid"):
        load(tmp_path, monkeypatch, lines)
