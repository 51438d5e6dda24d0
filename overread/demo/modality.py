"""A modality for the demo: pushes Part 10 files over C-STORE without touching their data sets."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from listener.scu.checkpoint import hold_answers
from overread.errors import FrontDeskError

# The data sets go out as they stand in the files, without being decoded.
_config.STORE_SEND_CHUNKED_DATASET = True

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 20.0
_TRIES = 3  # per image


class PushFailed(FrontDeskError):
    """The images could not be pushed."""


class _NoAnswer(Exception):
    """The peer may or may not have the image."""


class _File(NamedTuple):
    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str


def push(
    paths: Sequence[Path],
    *,
    host: str,
    port: int,
    called_ae_title: str,
    calling_ae_title: str = "DEMO_MR",
    progress: Callable[[int], None] | None = None,
) -> None:
    """Send every file; ``progress`` is told how many have been acknowledged so far.

    One association carries them all, unless an answer is missed: then another one goes on with that image.

    Raises:
        PushFailed: a file is not DICOM, the peer cannot be reached, or an image was not acknowledged.
    """
    files = [_described(path) for path in paths]
    done = failures = 0
    while done < len(files):
        association = _associate(files, host, port, called_ae_title, calling_ae_title)
        try:
            for file in files[done:]:
                _send(association, file)
                done, failures = done + 1, 0
                if progress is not None:
                    progress(done)
        except _NoAnswer:
            # As a modality does: the peer takes an image that it already has once more, and says so.
            failures += 1
            if failures == _TRIES:
                raise PushFailed(f"{files[done].path.name} was not acknowledged; the peer did not answer.") from None
        finally:
            association.release()


def _associate(
    files: Sequence[_File], host: str, port: int, called_ae_title: str, calling_ae_title: str
) -> Association:
    entity = AE(ae_title=calling_ae_title)
    entity.connection_timeout = _CONNECT_SECONDS
    entity.dimse_timeout = _ANSWER_SECONDS
    pairs = dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in files)
    contexts = [build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in pairs]
    where = f"{called_ae_title} at {host} port {port}"
    try:
        association = entity.associate(host, port, contexts=contexts, ae_title=called_ae_title)
    except OSError as error:
        raise PushFailed(f"The host of {where} could not be found; check its name.") from error
    if not association.is_established:
        raise PushFailed(f"No association with {where}; check that it runs and lets {calling_ae_title} in.")
    hold_answers(association)
    return association


def _send(association: Association, file: _File) -> None:
    try:
        answer = association.send_c_store(file.path)
    except (RuntimeError, ValueError) as error:  # the association has ended, or this SOP Class was not accepted
        raise PushFailed(f"{file.path.name} could not be sent; the peer does not accept it or went away.") from error
    status = answer.get("Status")
    if status is None:
        raise _NoAnswer
    if status != 0x0000 and status & 0xF000 != 0xB000:
        raise PushFailed(f"{file.path.name} was refused with status 0x{status:04X} (PS3.4 section B.2.3).")


def _described(path: Path) -> _File:
    try:
        meta = read_file_meta_info(path)
        return _File(path, str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
    except (OSError, InvalidDicomError, AttributeError) as error:
        raise PushFailed(f"{path.name} is not a readable DICOM Part 10 file; choose other files.") from error
