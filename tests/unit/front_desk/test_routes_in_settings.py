"""Routes in the settings file."""

import pytest

from overread.errors import InvalidSettings
from overread.settings import load_settings


def test_a_route_to_nowhere_is_refused(tmp_path, monkeypatch):
    """A destination that a route names must be one of the [[destinations]]; the sentence says which is not."""
    file = tmp_path / "overread.toml"
    file.write_text(
        '[[listener.routes]]\nae_title = "LUNG"\ndestinations = ["pcas"]\n'
        '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n'
    )
    monkeypatch.setenv("OVERREAD_CONFIG", str(file))

    with pytest.raises(InvalidSettings, match="LUNG leads to pcas"):
        load_settings()
