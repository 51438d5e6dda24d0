"""C-ECHO from a peer on this machine."""

from pynetdicom import AE


def echo(port: int, *, calling: str, called: str) -> str:
    """``success``, ``rejected``, or what else came of it."""
    entity = AE(ae_title=calling)
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if association.is_rejected:
        return "rejected"
    if not association.is_established:
        return "no association"
    status = association.send_c_echo()
    association.release()
    return "success" if status and status.Status == 0 else "no success"
