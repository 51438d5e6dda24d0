"""The keys of a destination that say how it is spoken to by TLS."""

from typing import Literal

from pydantic import BaseModel, Field


class TlsKeys(BaseModel):
    """TLS as the side that calls, whatever is spoken within it; the files are read anew for each connection."""

    tls: bool = Field(
        default=False,
        description="Whether it is spoken to [by TLS](delivery-lanes.md#tls) alone, with its host proved.",
    )
    tls_ca: str = Field(
        default="",
        description="A PEM file of the authorities whose word is believed on its certificate; empty: this machine's.",
    )
    tls_certificate: str = Field(
        default="", description="A PEM file of the certificate we show, with its chain; empty: we show none."
    )
    tls_key: str = Field(default="", description="The PEM file of that certificate's private key.")
    tls_minimum_version: Literal["1.2", "1.3"] = Field(default="1.2", description="The oldest TLS that we speak.")
    tls_server_name: str = Field(
        default="", description="The name or address that its certificate must be for; empty: that of host."
    )

    def tls_keys_without_tls(self) -> list[str]:
        """The keys that are set and would protect nothing, because ``tls`` is not."""
        names = ("tls_ca", "tls_certificate", "tls_key", "tls_server_name")
        return [] if self.tls else [name for name in names if getattr(self, name)]

    def missing_tls_key(self) -> str:
        """Which one of certificate and key lacks; empty where both or neither are set."""
        if bool(self.tls_certificate) == bool(self.tls_key):
            return ""
        return "tls_key" if self.tls_certificate else "tls_certificate"
