"""One file, one variable for each key, and a sentence for every mistake."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from overread.cli import overread
from overread.errors import InvalidSettings
from overread.settings import known_variables, load_settings, read_settings
from overread.settings_lines import line_of


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that makes its text the settings file in force."""
    for variable in known_variables():
        monkeypatch.delenv(variable, raising=False)

    def write(text: str) -> Path:
        path = tmp_path / "overread.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("OVERREAD_CONFIG", str(path))
        return path

    return write


def test_an_empty_file_gives_the_defaults_of_the_contract(written) -> None:
    """Every key may be left out."""
    written("")

    settings = load_settings()

    assert (settings.listener.ae_title, settings.listener.host, settings.listener.port) == (
        "OVERREAD",
        "127.0.0.1",
        11112,
    )
    assert settings.study.quiet_seconds == 60
    assert settings.database.url == ""
    assert settings.destinations == ()


def test_the_example_of_the_contract_is_read(written) -> None:
    """The keys that administrators were told of are all accepted."""
    written(
        """
        data_dir = "/var/lib/overread"
        [database]
        url = ""
        [listener]
        ae_title = "OVERREAD"
        host = "127.0.0.1"
        port = 11112
        processes = 2
        [[listener.peers]]
        ae_title = "CT1"
        networks = ["10.1.0.0/16"]
        [web]
        host = "127.0.0.1"
        port = 8080
        [study]
        quiet_seconds = 60
        [[destinations]]
        name = "pacs"
        kind = "dimse"
        ae_title = "ORTHANC"
        host = "127.0.0.1"
        port = 4242
        profile = "any"
        proof = "none"
        """
    )

    settings = load_settings()

    assert settings.listener.peers[0].ae_title == "CT1"
    assert settings.destinations[0].name == "pacs"


def test_a_variable_wins_over_the_file(written, monkeypatch: pytest.MonkeyPatch) -> None:
    """OVERREAD_LISTENER_PORT sets [listener] port whatever the file says; its neighbours stay."""
    written('[listener]\nport = 104\nae_title = "SITE"')
    monkeypatch.setenv("OVERREAD_LISTENER_PORT", "11113")

    settings = load_settings()

    assert (settings.listener.port, settings.listener.ae_title) == (11113, "SITE")


@pytest.mark.parametrize("variable", [name for name in known_variables() if name.count("_") > 1])
def test_every_documented_variable_reaches_its_key(written, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A value that no key can take is refused in the name of the variable, so each variable is really read."""
    written("")
    text_keys = {"OVERREAD_LISTENER_HOST", "OVERREAD_WEB_HOST", "OVERREAD_DATA_DIR", "OVERREAD_RUN_DIR"}
    text_keys |= {"OVERREAD_WEB_VIEWER_FOLDER", "OVERREAD_STUDY_COUNT_AT"}
    text_keys |= {f"OVERREAD_WORKER_REMOTE_{name}" for name in ("MODEL", "MODEL_VERSION", "CA", "TOKEN_FILE")}
    tls = {f"OVERREAD_WEB_TLS_{name}": "x" for name in ("CERTIFICATE", "KEY")}  # each is refused without the other
    subjects = {"OVERREAD_WEB_CLIENT_CERTIFICATES": '[{"subject": "CN=a", "account": "b"}]'}
    mutual = {f"OVERREAD_LISTENER_TLS_{name}": "x" for name in ("CERTIFICATE", "KEY", "CA")}
    needed = {**dict.fromkeys(tls, tls), "OVERREAD_WEB_TLS_CLIENT_CA": tls | subjects}
    needed |= dict.fromkeys([*mutual, "OVERREAD_LISTENER_TLS_CRL"], mutual)
    if variable in text_keys | needed.keys():
        for other, its_value in needed.get(variable, {}).items():
            monkeypatch.setenv(other, its_value)
        monkeypatch.setenv(variable, "127.0.0.9")
        section, _, key = known_variables()[variable].partition(".")
        value = getattr(load_settings(), section)
        assert str(getattr(value, key) if key else value) == "127.0.0.9"
        return
    monkeypatch.setenv(variable, "{}" if "PEERS" in variable else "no such value, and far too long for a title")

    with pytest.raises(InvalidSettings, match=variable):
        load_settings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[listener]\nprot = 104", "listener.prot"),
        ("[listner]\nport = 104", "listner"),
        ('[listener]\nport = "a hundred"', "listener.port"),
        ("[listener]\nport = 70000", "listener.port"),
        ('[listener]\nae_title = "A\\\\B"', "listener.ae_title"),
        ('[listener]\nae_title = "  "', "listener.ae_title"),
        ("[study]\nquiet_seconds = -1", "study.quiet_seconds"),
        ('[[destinations]]\nname = "pacs"', "ae_title in entry 1 of destinations"),
        (
            '[[listener.peers]]\nae_title = "CT1"\nnetworks = ["10.1.0.0/99"]',
            "entry 1 of networks in entry 1 of listener.peers",
        ),
        ("port = ", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(written, text: str, named: str) -> None:
    """An administrator reads which key of which file to correct."""
    path = written(text)

    with pytest.raises(InvalidSettings) as raised:
        load_settings()

    sentence = str(raised.value)
    assert named in sentence
    assert str(path) in sentence
    assert "\n" not in sentence


_MISTAKEN = """\
data_dir = "/srv/overread"
run_dri = "/run/overread"
listener = { port = 70000 }
[study]
quiet_seconds = -1
[web]
# port = "a comment"
  port = "eighty"
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "10.1.0.5"
port = 104
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "10.1.0.6"
"""


def test_every_mistake_is_named_with_its_line(written, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at the file mends it: all mistakes at once, a missing key at the section that lacks it."""
    path = written(_MISTAKEN)
    monkeypatch.setenv("OVERREAD_LISTENER_PROT", "104")

    settings, mistakes = read_settings()

    assert settings is None
    assert {sentence.split(" is ")[0].split(" sets ")[0] for sentence in mistakes} == {
        "The variable OVERREAD_LISTENER_PROT",
        f"run_dri in {path}, line 2,",
        f"listener.port in {path}, line 3,",
        f"study.quiet_seconds in {path}, line 5,",
        f"web.port in {path}, line 8,",
        f"port in entry 2 of destinations in {path}, line 14,",
    }


def test_both_doors_are_judged(written, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong only as a whole is told for each door; other commands name the first and say that there is more."""
    written('[listener]\nhost = "0.0.0.0"\n[web]\nhost = "0.0.0.0"')

    assert [sentence.split(" host")[0] for sentence in read_settings()[1]] == ["[listener]", "[web]"]
    with pytest.raises(InvalidSettings, match=r"listener.* There is more; `overread config check` names all 2\.$"):
        load_settings()


def test_config_check_lists_all_and_fails(written) -> None:
    """A script sees the exit status, an administrator a line for each mistake."""
    written(_MISTAKEN)

    done = CliRunner().invoke(overread, ["config", "check"])

    assert done.exit_code == 1
    assert [line.startswith("overread: ") for line in done.stderr.splitlines()] == [True] * 5


@pytest.mark.parametrize(("text", "status"), [(_MISTAKEN, 1), ("", 0)])
def test_a_script_sees_whether_the_settings_are_valid(written, text: str, status: int) -> None:
    """The process itself ends with 1 after a mistake and with 0 without one, as a service manager asks it."""
    written(text)
    command = [sys.executable, "-m", "overread", "config", "check"]

    assert subprocess.run(command, capture_output=True, check=False).returncode == status


@pytest.mark.parametrize(
    ("text", "location", "line"),
    [
        ("listener.port = 1", ("listener", "port"), 1),
        ("[listener]\n[[listener.peers]]\n[[listener.peers]]\nnetworks = []", ("listener", "peers", 1, "networks"), 4),
        ("[[listener.peers]]\nnetworks = [\n]", ("listener", "peers", 0, "networks", 0), 2),
        ("[listener]", ("listener", "peers", 0), 1),
        ("[listener]\n[web]\nport = 1", ("listener", "port"), 1),
        ("[web]\nport = 1", ("listener", "port"), None),
        ("port = 1", (), None),
    ],
)
def test_a_line_is_where_its_key_stands(text: str, location: tuple[str | int, ...], line: int | None) -> None:
    """Dotted keys, sections, lists of sections and lists over several lines; no line is better than a wrong one."""
    assert line_of(text, location) == line


def test_a_likely_spelling_is_suggested(written) -> None:
    """A slip of one letter is answered with the key that was meant."""
    written("[listener]\nprot = 104")

    with pytest.raises(InvalidSettings, match=r"did you mean listener\.port"):
        load_settings()


def test_an_unknown_variable_is_refused(written, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable does not silently change nothing."""
    written("")
    monkeypatch.setenv("OVERREAD_LISTENER_PROT", "104")

    with pytest.raises(InvalidSettings, match="OVERREAD_LISTENER_PROT sets nothing"):
        load_settings()


def test_a_variable_that_is_not_json_is_named(written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are given as JSON; a broken one is told by the name of its variable."""
    written("")
    monkeypatch.setenv("OVERREAD_DESTINATIONS", "[{")

    with pytest.raises(InvalidSettings, match="OVERREAD_DESTINATIONS is not valid JSON"):
        load_settings()


def test_two_destinations_of_one_name_are_refused(written) -> None:
    """A delivery names its destination, so a name means one place."""
    place = '[[destinations]]\nname = "pacs"\nae_title = "A"\nhost = "127.0.0.1"\nport = 104\n'
    written(place + place)

    with pytest.raises(InvalidSettings, match="two \\[\\[destinations\\]\\] are named pacs"):
        load_settings()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ('tls_ca = "ca.pem"', "tls_ca is set, but tls is not, so nothing would be encrypted; add tls = true"),
        ('tls = true\ntls_key = "k.pem"', "tls_certificate is missing; a certificate is shown with its key"),
        ('tls = true\ntls_certificate = "c.pem"', "tls_key is missing; a certificate is shown with its key"),
    ],
)
def test_keys_of_tls_that_protect_nothing_are_refused(written, keys, sentence) -> None:
    """Whoever names an authority or a certificate means TLS."""
    written(f'[[destinations]]\nname = "pacs"\nae_title = "A"\nhost = "127.0.0.1"\nport = 104\n{keys}\n')

    with pytest.raises(InvalidSettings, match=sentence):
        load_settings()


def test_an_open_door_without_peers_is_refused(written) -> None:
    """Beyond loopback, somebody must have said who may associate."""
    written('[listener]\nhost = "0.0.0.0"')

    with pytest.raises(InvalidSettings, match=r"listener\.peers"):
        load_settings()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('tls_client_ca = "ca.pem"', "does not speak TLS"),
        (
            'tls_certificate = "c"\ntls_key = "k"\ntls_client_ca = "ca.pem"',
            r"\[\[web\.client_certificates\]\] is missing",
        ),
        ('client_certificates = [{subject = "CN=a", account = "b"}]', "tls_client_ca = .* is missing"),
        (
            'tls_certificate = "c"\ntls_key = "k"\ntls_client_ca = "ca.pem"\n'
            'client_certificates = [{subject = "CN=a", account = "b"}, {subject = "CN=a", account = "c"}]',
            "a subject twice",
        ),
    ],
)
def test_client_certificates_are_said_as_a_whole(written, lines: str, told: str) -> None:
    """An authority without subjects, subjects without one, or either without TLS would let in nobody, or confuse."""
    written(f"[web]\n{lines}")

    with pytest.raises(InvalidSettings, match=told):
        load_settings()


@pytest.mark.parametrize("origin", ["*", "https://*", "http://viewer.example", "https://viewer.example/", "null", ""])
def test_an_origin_is_exact_and_encrypted(written, origin: str) -> None:
    """No wild card, no path, and no page that sends patients' data in the clear."""
    written(f'[web]\nviewer_origins = ["{origin}"]')

    with pytest.raises(InvalidSettings, match=r"web\.viewer_origins"):
        load_settings()


@pytest.mark.parametrize(
    "address",
    [
        "https://viewer.hospital.example/viewer?StudyInstanceUIDs={study_instance_uid}",
        "http://viewer/{study_instance_uid}/show",
        "",
    ],
)
def test_the_address_of_the_sites_viewer_has_a_place_for_the_study(written, address: str) -> None:
    """A web address with exactly one place; an empty one is no link."""
    written(f'[web]\nviewer_url = "{address}"')

    assert load_settings().web.viewer_url == address


@pytest.mark.parametrize(
    "address",
    [
        "https://viewer.hospital.example/",
        "https://viewer.hospital.example/{study}",
        "https://viewer.hospital.example/{study_instance_uid}/{study_instance_uid}",
        "javascript:alert({study_instance_uid})",
        "viewer/{study_instance_uid}",
        "https://viewer hospital/{study_instance_uid}",
    ],
)
def test_another_address_is_refused(written, address: str) -> None:
    """Without a place, with two or another one, with a script or without a host, it would lead nowhere good."""
    written(f'[web]\nviewer_url = "{address}"')

    with pytest.raises(InvalidSettings, match=r"web\.viewer_url"):
        load_settings()


def test_a_secret_is_not_repeated_in_the_sentence(written) -> None:
    """What was typed for a key may be a password in the wrong place."""
    written('[listener]\nport = "hunter2"')

    with pytest.raises(InvalidSettings) as raised:
        load_settings()

    assert "hunter2" not in str(raised.value)


def test_a_settings_file_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OVERREAD_CONFIG that points nowhere is an error, not an empty file."""
    monkeypatch.setenv("OVERREAD_CONFIG", str(tmp_path / "absent.toml"))

    with pytest.raises(InvalidSettings, match=r"absent\.toml does not exist"):
        load_settings()


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions alone would be the wrong remedy."""
    monkeypatch.setenv("OVERREAD_CONFIG", str(tmp_path))

    with pytest.raises(InvalidSettings, match=r"cannot be read \(Is a directory\); .* or OVERREAD_CONFIG"):
        load_settings()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('remote_url = "https://anna:hunter2@triton"', "without a name or password"),
        ('remote_url = "triton:8000"', "an http:// or https:// address"),
        ('remote_url = "http://triton.example"', "not encrypted"),
        ('device = "remote"', "needs remote_url"),
        ('device = "tpu"', "auto, cpu, openvino"),
    ],
)
def test_an_inference_server_that_cannot_be_asked_is_refused_at_start(written, keys: str, words: str) -> None:
    """A password in an address, pixels in the clear and a missing address are each told, the password is not."""
    written(f"[worker]\n{keys}")

    with pytest.raises(InvalidSettings, match=words) as told:
        load_settings()

    assert "hunter2" not in str(told.value)


def test_a_count_is_asked_of_a_destination_that_there_is(written) -> None:
    """And evidence that nobody could give is refused."""
    written('[study]\nevidence = ["count"]\ncount_at = "pacs"\n')
    with pytest.raises(InvalidSettings, match="count_at names pacs, which is none of the"):
        load_settings()

    written('[[study.sources]]\nae_title = "CT1"\nevidence = ["count"]\n')
    with pytest.raises(InvalidSettings, match="the evidence of CT1 has count, but count_at does not say"):
        load_settings()
