"""Receivers of notifications in the settings: off until they are configured, and refused where something lacks."""

import pytest

from overread.errors import InvalidSettings
from overread.settings import load_settings

HOOK = '[[notify]]\nname = "ris"\nkind = "webhook"\n'
URL = 'url = "https://ris.hospital.example/told"\n'
HL7 = '[[notify]]\nname = "ris"\nkind = "hl7"\nhost = "ris"\nport = 2575\n'
SECRET = 'secret_file = "/etc/overread/secret"\n'


@pytest.fixture
def written(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Write a settings file and read it."""

    def write(text: str):
        path = tmp_path / "overread.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("OVERREAD_CONFIG", str(path))
        return load_settings()

    return write


def test_nobody_is_told_until_it_is_configured(written) -> None:
    """Without an entry there is no receiver; a webhook needs its address and its secret and no more."""
    assert written("").notify == ()

    (receiver,) = written(HOOK + URL + SECRET).notify
    assert receiver.policy().held
    assert not receiver.accession_number
    (receiver,) = written(HL7 + "tls = true").notify
    assert receiver.address == "ris:2575"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HOOK + SECRET, "a receiver of kind webhook needs url"),
        (HOOK + URL, "a webhook needs secret_file"),
        (f"{HOOK}{URL}{SECRET}tls = true", "begin url with https://"),
        (f'{HOOK}{SECRET}url = "http://ris"\ntls_ca = "ca.pem"', "nothing would be encrypted"),
        (f'{HOOK}{SECRET}url = "http://ris"\ntoken_file = "t"', "would go over a network in the clear"),
        (f'{HOOK}{SECRET}url = "https://name:password@ris/"', "without a name or password"),
        (f'{HOOK}{URL}{SECRET}username = "a"', "password_file is missing"),
        (f'{HOOK}{URL}{SECRET}tls_key = "k"', "tls_certificate is missing"),
        (f'{HOOK}{URL}{SECRET}when = "made"\nreport_at = "pacs"', 'report_at goes with when = "delivered" only'),
        (f'{HOOK}{URL}{SECRET}report_at = "pacs"', "which is none of the [[destinations]]"),
        (f"{HOOK}{URL}{SECRET}port = 1", 'host and port go with kind = "hl7" only'),
        (HL7.replace("port = 2575", ""), "a receiver of kind hl7 needs host and port"),
        ('[[notify]]\nname = "ehr"\nkind = "fhir"', "a receiver of kind fhir needs url"),
        (f'[[notify]]\nname = "ehr"\nkind = "fhir"\n{URL}patient_system = "ours"', "a URI is allowed"),
        (HL7 + URL, "is reached at host and port"),
        (f'{HL7}tls_ca = "ca.pem"', "nothing would be encrypted; add tls = true"),
        (f'{HL7}accession_fields = ["PID-18"]', "accession_fields"),
        (HOOK + URL + SECRET + HOOK + URL + SECRET, "two [[notify]] entries are named ris"),
    ],
)
def test_what_could_not_work_is_refused(written, text: str, sentence: str) -> None:
    """One sentence that names what to change."""
    with pytest.raises(InvalidSettings) as caught:
        written(text)

    assert sentence in str(caught.value)
