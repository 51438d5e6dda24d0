"""A destination over the web in the settings: it has a url, and nothing that would mean nothing there."""

import pytest

from overread.errors import InvalidSettings
from overread.settings import load_settings

STOW = '[[destinations]]\nname = "cloud"\nkind = "stow"\n'
DIMSE = '[[destinations]]\nname = "pacs"\nae_title = "A"\nhost = "h"\nport = 104\n'
OAUTH = 'oauth_client_id = "a"\noauth_client_secret_file = "s"\n'
URL = 'url = "https://pacs.hospital.example/dicom-web"\n'


@pytest.fixture
def written(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Write a settings file and read it."""

    def write(text: str):
        path = tmp_path / "overread.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("OVERREAD_CONFIG", str(path))
        return load_settings()

    return write


def test_a_url_is_all_it_needs(written) -> None:
    """The address that is shown is the url; keys of TLS go with https without tls = true."""
    (place,) = written(f'{STOW}{URL}tls_ca = "/etc/overread/ca.pem"').destinations

    assert place.address == "https://pacs.hospital.example/dicom-web"
    assert (place.ae_title, place.host, place.port) == ("", "", 0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (STOW, "needs url"),
        (f'{STOW}{URL}ae_title = "PACS"', 'it goes with kind = "dimse" only'),
        (f"{STOW}{URL}port = 104", 'it goes with kind = "dimse" only'),
        (f"{STOW}{URL}tls = true", "begin url with https://"),
        (f'{STOW}url = "http://pacs"\ntls_ca = "ca.pem"', "nothing would be encrypted"),
        (f'{STOW}url = "https://name:password@pacs/dicom-web"', "without a name or password"),
        (f'{STOW}url = "https://pacs/dicom-web?token=1"', "without a query"),
        (f'{STOW}url = "ftp://pacs"', "an http:// or https:// address"),
        (f'{STOW}{URL}username = "a"', "password_file is missing; it goes with username"),
        (f'{STOW}{URL}password_file = "p"', "username is missing; it goes with password_file"),
        (f'{STOW}{URL}oauth_token_url = "https://t"\noauth_client_id = "a"', "oauth_client_secret_file is missing"),
        (f'{STOW}{URL}token_file = "t"\nusername = "a"\npassword_file = "p"', "are two ways to be known; keep one"),
        (f'{STOW}{URL}oauth_scope = "s"', "oauth_scope is set, but oauth_token_url is not"),
        (f'{STOW}url = "http://pacs"\ntoken_file = "t"', "would go over a network in the clear"),
        (f'{STOW}{URL}{OAUTH}oauth_token_url = "http://t/token"', "would go over a network in the clear"),
        (f'{STOW}{URL}username = "a:b"\npassword_file = "p"', "a name without colons"),
        (f'{DIMSE}token_file = "t"', 'token_file goes with kind = "stow" only'),
        (f'{STOW}{URL}proof = "commitment"', "proof"),
        (f"{DIMSE}{URL}", 'url goes with kind = "stow" only'),
    ],
)
def test_what_does_not_belong_to_its_kind_is_refused(written, text: str, sentence: str) -> None:
    """One sentence that names the key."""
    with pytest.raises(InvalidSettings) as raised:
        written(text)

    assert sentence in str(raised.value)
