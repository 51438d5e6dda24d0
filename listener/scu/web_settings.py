"""The keys of what is reached over the web: where it is, and how it knows us."""

from typing import Annotated

from pydantic import Field

from listener.scu.tls_settings import TlsKeys

# No name or password, no query: what is secret stands in files of its own.
ServiceUrl = Annotated[str, Field(pattern=r"^(https?://[^\s/@?#]+(/[^\s@?#]*)?)?$", max_length=1024)]

# Each way in which a server can know us, besides a certificate: all of its keys, or none.
_WAYS = (
    ("username", "password_file"),
    ("token_file",),
    ("oauth_token_url", "oauth_client_id", "oauth_client_secret_file"),
)
_WITH_OAUTH = ("oauth_scope", "oauth_ca")


class WebKeys(TlsKeys):
    """Where it is, and what it is shown of who we are; files are read for each connection."""

    url: ServiceUrl = Field(
        default="",
        description=(
            "Over the web: the address of its [DICOMweb services](web-destinations.md), below which it has "
            '`/studies`, such as "https://pacs.hospital.example/dicom-web".'
        ),
    )
    username: str = Field(
        default="",
        pattern=r"^[^:\x00-\x1f\x7f]*$",
        max_length=256,
        description="Over the web: our account there (HTTP Basic), with password_file.",
    )
    password_file: str = Field(default="", description="A file with nothing but the password of username.")
    token_file: str = Field(
        default="", description="Over the web: a file with nothing but a token that is shown (Bearer)."
    )
    oauth_token_url: ServiceUrl = Field(
        default="",
        description="Over the web: where tokens are had for our id and its secret (OAuth 2 client credentials).",
    )
    oauth_client_id: str = Field(default="", max_length=256, description="Our client id at the token server.")
    oauth_client_secret_file: str = Field(default="", description="A file with nothing but the client's secret.")
    oauth_scope: str = Field(default="", max_length=1024, description="The scope that is asked for; empty: none.")
    oauth_ca: str = Field(
        default="",
        description="A PEM file of the authorities of the token server; empty: those of tls_ca.",
    )

    def ways_to_be_known(self) -> list[tuple[str, ...]]:
        """The keys of each way of which one is set."""
        return [keys for keys in _WAYS if any(getattr(self, key) for key in keys)]

    def mistake_of_credentials(self) -> str:
        """What is wrong with the keys that say who we are, in words for an operator; empty where nothing is."""
        ways = self.ways_to_be_known()
        if len(ways) > 1:
            return f"{ways[0][0]} and {ways[1][0]} are two ways to be known; keep one"
        missing = [key for keys in ways for key in keys if not getattr(self, key)]
        if missing:
            return f"{missing[0]} is missing; it goes with {next(key for key in ways[0] if getattr(self, key))}"
        beside = [key for key in _WITH_OAUTH if getattr(self, key) and not self.oauth_token_url]
        return f"{beside[0]} is set, but oauth_token_url is not" if beside else ""
