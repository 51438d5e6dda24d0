"""Who may associate."""

import pytest

from listener.errors import ListenerError
from listener.scp.association_policy import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    AssociationPolicy,
)
from listener.settings import ListenerSettings, PeerSettings, check_listener_settings

CT1 = PeerSettings(ae_title="CT1", networks=("10.1.0.0/16",))
ANY = PeerSettings(ae_title="*", networks=("192.0.2.7/32", "2001:db8::/32"))


def decide(calling="CT1", called="OVERREAD", address="10.1.2.3", count=0, peers=(CT1, ANY), limit=50):
    """The rejection for one request."""
    settings = ListenerSettings(peers=peers, max_associations=limit)
    return AssociationPolicy(settings).rejection(calling, called, address, count)


@pytest.mark.parametrize(
    ("calling", "address"),
    [("CT1", "10.1.2.3"), ("CT1 ", "::ffff:10.1.2.3"), ("X", "192.0.2.7"), ("X", "2001:db8::1")],
)
def test_a_listed_peer_is_accepted(calling, address):
    """Title and address must match one entry; spaces and IPv4 in IPv6 do not matter."""
    assert decide(calling=calling, address=address) is None


@pytest.mark.parametrize(
    ("calling", "address"),
    [("CT2", "10.1.2.3"), ("ct1", "10.1.2.3"), ("CT1", "10.2.0.1"), ("CT1", "127.0.0.1"), ("CT1", "not an address")],
)
def test_a_stranger_is_rejected_for_good(calling, address):
    """A known title from another address is a stranger, and so is this machine once peers are listed."""
    assert decide(calling=calling, address=address) is CALLING_AE_TITLE_NOT_RECOGNIZED


def test_a_stranger_does_not_learn_our_title():
    """With both titles wrong, the reason speaks of the calling one."""
    assert decide(calling="CT2", called="WRONG") is CALLING_AE_TITLE_NOT_RECOGNIZED


def test_another_called_title_is_rejected_for_good():
    """We answer only to our own AE title."""
    assert decide(called="OTHER") is CALLED_AE_TITLE_NOT_RECOGNIZED


def test_one_association_too_many_is_rejected_for_now():
    """At the limit the rejection is transient, so that the peer tries again."""
    assert decide(count=1, limit=2) is None
    assert decide(count=2, limit=2) is LOCAL_LIMIT_EXCEEDED
    assert LOCAL_LIMIT_EXCEEDED.result == 2


@pytest.mark.parametrize(("address", "accepted"), [("127.0.0.1", True), ("::1", True), ("10.1.2.3", False)])
def test_without_peers_only_this_machine_is_accepted(address, accepted):
    """An empty list means loopback, under any title."""
    assert (decide(calling="X", address=address, peers=()) is None) is accepted


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_peers(host):
    """The default settings start."""
    check_listener_settings(ListenerSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "", "pacs.example"])  # noqa: S104 - refused here
def test_a_network_address_without_peers_is_refused(host):
    """The sentence names the lines to add."""
    with pytest.raises(ListenerError, match=r"\[\[listener\.peers\]\]"):
        check_listener_settings(ListenerSettings(host=host))
    check_listener_settings(ListenerSettings(host=host, peers=(CT1,)))


@pytest.mark.parametrize(
    ("title", "subject", "reason"),
    [("PACS", "CN=pacs", None), ("PACS ", "", 3), ("PACS", "CN=other", 3), ("CT1", "", None), ("CT1", "CN=pacs", None)],
)
def test_a_title_with_a_certificate_is_let_in_by_no_entry_for_everybody(title, subject, reason):
    """What "PACS" says, such as that it has an object, is believed because it came with the certificate demanded."""
    pacs = PeerSettings(ae_title="PACS", networks=("10.0.0.0/8",), certificate_subject="CN=pacs")
    everybody = PeerSettings(ae_title="*", networks=("10.0.0.0/8",))
    policy = AssociationPolicy(ListenerSettings(peers=(pacs, everybody)))

    rejection = policy.rejection(title, "OVERREAD", "10.1.2.3", 0, certificate_subject=subject)

    assert (rejection and rejection.reason) == reason
