"""Any bytes are a command set or named malformed."""

from listener.scp.command_set import Command, MalformedCommand, read_command, response
from listener.scp.limits import COMMAND_ELEMENTS, COMMAND_SET

_STORE = (
    b"\x00\x00\x02\x00\x1a\x00\x00\x001.2.840.10008.5.1.4.1.1.2\x00\x00\x00\x00\x01\x02\x00\x00\x00\x01\x00"
    b"\x00\x00\x10\x01\x02\x00\x00\x00\x07\x00\x00\x00\x00\x08\x02\x00\x00\x00\x00\x00"
    b"\x00\x00\x00\x10\x08\x00\x00\x001.2.3.4\x00"
)

SEEDS = (
    _STORE,
    response(0x0001, 7, 0xA700, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "no room"),
    response(0x0030, 1, 0, "1.2.840.10008.1.1"),
    _STORE.replace(b"\x01\x00\x00\x00\x10\x01", b"\xff\x0f\x00\x00\x20\x01"),
)


def check(data: bytes) -> None:
    """Read it; what is read is within its bounds and can be answered."""
    try:
        command = read_command(data)
    except MalformedCommand:
        return
    assert isinstance(command, Command)
    assert len(data) <= COMMAND_SET
    assert len(data) >= 8 * 3
    assert 0 <= command.message_id <= 0xFFFF
    assert len(command.sop_class_uid) + len(command.sop_instance_uid) <= len(data)
    answer = response(command.field, command.message_id, 0, command.sop_class_uid, command.sop_instance_uid)
    assert len(answer) < COMMAND_SET + COMMAND_ELEMENTS * 8
    assert len(answer) >= 12
