"""Routes in the settings file."""

import pytest

from listener.scp.association_policy import CALLED_AE_TITLE_NOT_RECOGNIZED, AssociationPolicy
from listener.settings import routes_of
from overread.errors import InvalidSettings
from overread.settings import load_settings
from storage.domain.route import Way


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


def test_the_rules_of_a_route_reach_the_routes(tmp_path, monkeypatch):
    """What the file says is asked of a study, and an attribute that no rule can ask for is refused with its place."""
    file = tmp_path / "overread.toml"
    file.write_text(
        '[[listener.routes]]\nae_title = "OVERREAD"\nalgorithms = ["lungs"]\n'
        'rules = [{ attribute = "modality", matches = ["CT"] }, { attribute = "station_name", matches = ["ER*"] }]\n'
    )
    monkeypatch.setenv("OVERREAD_CONFIG", str(file))

    routes = routes_of(load_settings().listener)

    assert routes.algorithms([Way("OVERREAD", series={"modality": "CT", "station_name": "ER1"})]) == {"lungs"}
    assert routes.algorithms([Way("OVERREAD", series={"modality": "CT", "station_name": "CT1"})]) is None
    file.write_text(file.read_text().replace("station_name", "patient_name"))
    with pytest.raises(InvalidSettings, match=r"attribute in entry 2 of rules in entry 1 of listener\.routes"):
        load_settings()


def test_the_priority_of_a_route_and_of_a_peer_reaches_the_routes(tmp_path, monkeypatch):
    """What the file says is what studies get, and another word is refused with its place."""
    file = tmp_path / "overread.toml"
    file.write_text(
        '[[listener.routes]]\nae_title = "TRIAL"\npriority = "low"\n'
        '[[listener.peers]]\nae_title = "ER1"\nnetworks = ["10.1.0.0/16"]\npriority = "stat"\n'
        '[[listener.peers]]\nae_title = "CT1"\nnetworks = ["10.1.0.0/16"]\n'
    )
    monkeypatch.setenv("OVERREAD_CONFIG", str(file))

    routes = routes_of(load_settings().listener)

    assert routes.urgency([Way("OVERREAD", "ER1", "10.1.0.7")]).priority == "stat"
    assert routes.urgency([Way("OVERREAD", "CT1", "10.1.0.7")]).priority == "routine"
    assert routes.urgency([Way("TRIAL", "CT1", "10.1.0.7")]).priority == "low"
    file.write_text(file.read_text().replace('"low"', '"urgent"'))
    with pytest.raises(InvalidSettings, match=r"entry 1 of listener\.routes"):
        load_settings()


@pytest.mark.parametrize("keys", ['priority = "low"', 'door = "web"\nae_title = "TRIAL"'])
def test_an_entry_is_of_a_name_or_of_the_web(tmp_path, monkeypatch, keys):
    """Neither would be for nothing, and both for nobody; the sentence says what to add or to remove."""
    file = tmp_path / "overread.toml"
    file.write_text(f"[[listener.routes]]\n{keys}\n")
    monkeypatch.setenv("OVERREAD_CONFIG", str(file))

    with pytest.raises(InvalidSettings, match=r"entry 1 of listener\.routes.*either ae_title.*or door"):
        load_settings()


def test_an_entry_of_the_web_lets_nobody_in(tmp_path, monkeypatch):
    """It is no called AE title: an association without one is still not for us."""
    file = tmp_path / "overread.toml"
    file.write_text('[[listener.routes]]\ndoor = "web"\npriority = "low"\n')
    monkeypatch.setenv("OVERREAD_CONFIG", str(file))
    listener = load_settings().listener

    assert routes_of(listener).urgency([Way(account="anybody")]).priority == "low"
    assert AssociationPolicy(listener).rejection("CT1", " ", "127.0.0.1", 0) is CALLED_AE_TITLE_NOT_RECOGNIZED
