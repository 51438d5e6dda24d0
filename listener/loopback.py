"""Who can reach what listens at an address."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # another name: where it leads may change, so it does not count
        return False


def is_in_the_clear(url: str) -> bool:
    """Whether others on a network could read what is sent there."""
    return url.startswith("http:") and not is_loopback(urlsplit(url).hostname or "")
