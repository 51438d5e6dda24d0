"""A filter of system calls after which a process finds no block for what it writes; nobody needs a right for it."""

import ctypes
import errno
import platform
import struct

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # prctl(2)
_LOAD, _EQUAL, _GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06  # seccomp(2): instructions on 32-bit words
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.ENOSPC
_FAR = 60 * 2**20  # behind here no file has room

# Numbers of write, pwrite64, fallocate, sendfile, copy_file_range.
_CALLS = {"x86_64": (1, 18, 285, 40, 326), "aarch64": (64, 68, 47, 71, 285)}


def refuse_blocks(most: int) -> None:
    """From now on answer "No space left on device", here and in all children, where a full disk would.

    That is: to a write of more than ``most`` bytes, to one behind the first 60 MiB of a file, to allocating ahead and
    to copying inside the kernel. What is smaller is written.
    """
    write, write_at, allocate, send, copy = _CALLS[platform.machine()]
    program = b"".join(
        [
            *(_if_more(write, 2, most), _if_more(write_at, 2, most), _if_more(write_at, 3, _FAR)),
            *(_always(call) for call in (allocate, send, copy)),
            _step(_RETURN, _ALLOW),
        ]
    )
    steps = ctypes.create_string_buffer(program, len(program))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(steps)))
    kernel = ctypes.CDLL(None, use_errno=True)
    for request in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, ctypes.byref(whole), 0, 0)):
        if kernel.prctl(*request) != 0:
            raise OSError(ctypes.get_errno(), "This kernel takes no filter of system calls.")


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _always(call: int) -> bytes:
    return _step(_LOAD, 0) + _step(_EQUAL, call, 0, 1) + _step(_RETURN, _REFUSE)


def _if_more(call: int, argument: int, most: int) -> bytes:
    """Refuse where a 64-bit argument is greater; else go on behind."""
    low = 16 + 8 * argument  # of struct seccomp_data, little-endian
    return b"".join(
        [
            *(_step(_LOAD, 0), _step(_EQUAL, call, 0, 5)),
            *(_step(_LOAD, low + 4), _step(_GREATER, 0, 2, 0)),
            *(_step(_LOAD, low), _step(_GREATER, most, 0, 1)),
            _step(_RETURN, _REFUSE),
        ]
    )
