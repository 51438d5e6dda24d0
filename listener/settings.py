"""Settings of the doors; each is described by its consequence."""

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from listener.errors import ListenerError

# The default repertoire without backslash, and more than spaces (PS3.5 section 6.2, AE).
AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")]


class PeerSettings(BaseModel):
    """Who may associate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(description='The calling AE title that is let in; "*" lets in any.')
    networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        min_length=1, description="The title is believed only from these networks."
    )


class ListenerSettings(BaseModel):
    """The door that modalities and PACS push to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(
        default="OVERREAD",
        description="Peers must call us by this name, and we call destinations under it.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="The address to listen on; beyond loopback at least one [[listener.peers]] is required.",
    )
    port: int = Field(default=11112, ge=0, le=65535, description="The TCP port; 0 takes a free one.")
    processes: int = Field(default=2, ge=1, description="How many processes receive; this release always uses one.")
    peers: tuple[PeerSettings, ...] = Field(
        default=(), description="Who may associate; with no entry, only programs on this machine may."
    )
    max_associations: int = Field(
        default=50, ge=1, description="Further associations are refused as transient (local limit exceeded)."
    )


class DestinationSettings(BaseModel):
    """Where results are sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, description="The name in status, logs and audit.")
    kind: Literal["dimse"] = Field(default="dimse", description="How results travel; this release has C-STORE.")
    ae_title: AeTitle = Field(description="The AE title we call.")
    host: str = Field(description="The destination's address.")
    port: int = Field(ge=1, le=65535, description="The destination's port.")
    profile: Literal["any"] = Field(default="any", description="What the destination's viewers can show.")
    proof: Literal["none"] = Field(
        default="none", description="How arrival is proved; this release relies on the acknowledgement."
    )


def check_listener_settings(listener: ListenerSettings) -> None:
    """Refuse to be open to a network without a list of who may come.

    Raises:
        ListenerError: names the lines to add.
    """
    if listener.peers or _is_loopback(listener.host):
        return
    raise ListenerError(
        f'[listener] host = "{listener.host}" is reachable from other machines but no peer is listed; add '
        '[[listener.peers]] with ae_title = "…" and networks = ["…"], or set host = "127.0.0.1".'
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # another name: where it leads may change, so it does not count
        return False
