"""Who can reach what listens at an address."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # another name: where it leads may change, so it does not count
        return False
