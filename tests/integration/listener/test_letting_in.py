"""Being let in: what goes wrong meanwhile costs one association, and what does not belong there is not stored."""

from listener.scp.acceptor import Acceptor
from listener.scp.association_policy import AssociationPolicy
from listener.scp.store import StoreHandler
from listener.settings import ListenerSettings
from tests.peers.raw_sender import associated, ct_data_set, kept_digests, send

VERIFICATION, EXPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2.1"


def test_trouble_while_letting_in_takes_no_seat_for_good(open_door):
    """A disk that fails for a while rejects associations as transient; afterwards every seat is free again."""
    spool = open_door().spool
    settings = ListenerSettings(port=0, max_associations=3, max_associations_per_address=2)
    trouble = [True]

    def require_room() -> None:
        if trouble:
            raise OSError(24, "Too many open files")

    acceptor = Acceptor(settings, AssociationPolicy(settings), StoreHandler(spool), require_room)
    acceptor.start()
    try:
        for _ in range(5):
            with associated(acceptor.port) as association:
                assert not association.is_established
        trouble.clear()
        with associated(acceptor.port) as association:
            assert association.is_established
    finally:
        acceptor.stop()


def test_nothing_is_stored_in_the_context_of_verification(open_door):
    """A C-STORE in a context that is not one of storage is an operation that is not performed there."""
    door = open_door()

    with associated(door.port, contexts=((VERIFICATION, EXPLICIT),)) as association:
        data_set = ct_data_set("1.2.3.4").replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.1.1\0")
        assert send(association, data_set, "1.2.3.4", sop_class_uid=VERIFICATION) == 0x0211

    assert kept_digests(door.folder.root) == {}
