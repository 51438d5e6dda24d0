"""What is valid and yet silences something is said before it does."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from overread.cli import overread
from overread.commands import roles
from overread.settings import load_settings
from overread.settings_warnings import warnings_of
from tests.peers.certificates import Authority

_WARD = '[[profiles]]\nname = "ward"\n'
_SILENT = _WARD + 'report = ["document"]\n'
_SENTENCE = "The [[profiles]] entry ward has no basic-text in its report"


def _write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "overread.toml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("OVERREAD_CONFIG", str(path))


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (_SILENT, True),
        (_WARD + 'based_on = "slicer"\n', True),
        (_WARD, False),
        (_WARD + 'report = ["comprehensive-3d", "basic-text"]\n', False),
        ('[jobs]\nnot_analysed = "never"\n' + _SILENT, False),
    ],
)
def test_a_profile_that_is_not_told_of_no_result_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, warned: bool
) -> None:
    """The report exists as basic-text only, so a chain without it is silence; where none is wanted, nothing is said."""
    _write(tmp_path, monkeypatch, text)

    assert [sentence.startswith(_SENTENCE) for sentence in warnings_of(load_settings())] == [True] * warned


def test_files_of_tls_that_cannot_be_used_are_told_before_anything_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority that is no file, and a key that all may read, are named with the destination; good ones are not."""
    authority = Authority(tmp_path)
    ours, open_to_all = authority.sign("overread"), authority.sign("overread")
    Path(open_to_all.key).chmod(0o644)
    keys = {
        "good": f'tls_ca = "{authority.file}"\ntls_certificate = "{ours.cert}"\ntls_key = "{ours.key}"\n',
        "nowhere": 'tls_ca = "/no/such/file"\n',
        "readable": f'tls_certificate = "{open_to_all.cert}"\ntls_key = "{open_to_all.key}"\n',
    }
    place = '[[destinations]]\nname = "{}"\nae_title = "A"\nhost = "h"\nport = 104\ntls = true\n{}'
    _write(tmp_path, monkeypatch, "".join(place.format(name, files) for name, files in keys.items()))

    warned = list(warnings_of(load_settings()))

    assert [sentence.split(":")[0] for sentence in warned] == [
        "Nothing can be sent to nowhere",
        "Nothing can be sent to readable",
    ]


def test_config_check_says_so_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no mistake: a script sees 0, an administrator the sentence."""
    _write(tmp_path, monkeypatch, _SILENT)

    done = CliRunner().invoke(overread, ["config", "check"])

    assert done.exit_code == 0
    assert f"overread: warning: {_SENTENCE}" in done.stderr


def test_starting_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the log of the role that delivers, also where each role is started alone."""
    _write(tmp_path, monkeypatch, _SILENT)
    warned: list[str] = []
    monkeypatch.setattr(roles._LOG, "warning", lambda text, *words: warned.append(text % words))
    monkeypatch.setattr(roles, "awaited_database", lambda *_: 1 / 0)  # the role ends there

    CliRunner().invoke(overread, ["deliver"])

    assert [sentence.startswith(_SENTENCE) for sentence in warned] == [True]


def test_a_secret_that_cannot_be_used_is_told_before_anything_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver whose secret is missing or no secret is named, and so are files of TLS; a good one is not."""
    (tmp_path / "good").write_text(f"whsec_{'A' * 32}\n")
    entries = [
        f'[[notify]]\nname = "{name}"\nkind = "webhook"\nurl = "http://127.0.0.1/"\nsecret_file = "{tmp_path / name}"\n'
        for name in ("good", "missing")
    ]
    entries.append(
        '[[notify]]\nname = "ris"\nkind = "hl7"\nhost = "ris"\nport = 2575\ntls = true\n'
        f'tls_ca = "{tmp_path / "nothing"}"\n'
    )
    _write(tmp_path, monkeypatch, "".join(entries))

    first, second = warnings_of(load_settings())

    assert first.startswith("Nothing can be sent to ris: The file of tls_ca in the [[notify]] entry")
    assert second.startswith("Nothing can be sent to missing: The file of secret_file")
