"""C-ECHO (PS3.4 annex A): whoever may associate may ask whether we are there."""

from listener.scp.status import SUCCESS, Status


def answer_echo() -> Status:
    """The answer to a C-ECHO request, which has no other outcome (PS3.7 section 9.1.5.1.4)."""
    return SUCCESS
