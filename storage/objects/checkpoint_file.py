"""Signed checkpoints of the audit trail in a file outside the database, which is only ever appended to.

Each line is a JSON object that names the SHA-256 of the line before it and is signed with Ed25519; so a line that is
changed, taken out or put in shows. Lines taken from the end do not: keep a copy elsewhere.
"""

import base64
import binascii
import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from storage.domain.audit_chain import ChainEnd, Checkpoint
from storage.errors import AuditTampered, DamagedObject
from storage.objects.durable import make_folder, sync_folder, write_new
from storage.objects.layout import new_entry_id

_NOTHING_BEFORE = hashlib.sha256(b"").hexdigest()
_TAIL_BYTES = 4096  # more than one line


class CheckpointFile:
    """The checkpoints of one data folder; one process appends, any may read."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "audit"
        self.path = self._folder / "checkpoints.jsonl"
        self.public_key_path = self._folder / "checkpoint-key.pub"
        self._key_path = self._folder / "checkpoint-key"

    def exists(self) -> bool:
        """Whether any checkpoint was ever taken here."""
        return self.path.exists()

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, read from the end of the file."""
        line = self._last_line()
        return None if line is None else _checkpoint(json.loads(line))

    def append(self, checkpoint: Checkpoint) -> None:
        """Sign a checkpoint and add it durably.

        Raises:
            DamagedObject: the key is not readable.
            AuditTampered: somebody else wrote the last line.
            OSError: the file could not be written.
        """
        make_folder(self._folder)
        key = self._private_key()
        before = self._last_line()
        if before is not None:  # else our signature below would vouch for a line that somebody else wrote
            _check_signature(key.public_key(), json.loads(before), self.path.name)
        facts = {
            "previous": _NOTHING_BEFORE if before is None else hashlib.sha256(before).hexdigest(),
            "row_hash": checkpoint.end.row_hash.hex(),
            "rows": checkpoint.end.rows,
            "taken_at": checkpoint.taken_at,
        }
        line = json.dumps({**facts, "signature": base64.b64encode(key.sign(_signed(facts))).decode()}).encode()
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a crash cut the line before this one short
            os.write(descriptor, (b"\n" if torn else b"") + line + b"\n")
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            sync_folder(self._folder)

    def read(self, public_key: bytes | None = None) -> Iterator[Checkpoint]:
        """Every checkpoint that is there now, oldest first, each proven by the next, the last by its signature.

        ``public_key`` is an auditor's own copy in PEM; without one, the key beside the file is believed.

        Raises:
            AuditTampered: a line was changed, taken out or put in; the sentence says which.
        """
        if not self.path.exists():
            return iter(())
        key = self._public_key(public_key)
        return self._read(key, self.path.stat().st_size)

    def _read(self, key: Ed25519PublicKey, size: int) -> Iterator[Checkpoint]:
        before, last, rows = _NOTHING_BEFORE, None, 0
        with self.path.open("rb") as file:
            for number, line in enumerate(_lines(file, size), 1):
                facts = _parsed(line)
                if facts is None:  # cut short by a crash, or made so: then the next line does not follow
                    continue
                if facts["previous"] != before or facts["rows"] < rows:
                    raise AuditTampered(
                        f"Line {number} of {self.path.name} does not follow the line before it: lines were changed, "
                        "taken out or put in."
                    )
                if last is not None:
                    yield _checkpoint(last)
                before, last, rows = hashlib.sha256(line).hexdigest(), facts, facts["rows"]
        if last is not None:
            _check_signature(key, last, self.path.name)
            yield _checkpoint(last)

    def _last_line(self) -> bytes | None:
        try:
            with self.path.open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return None
        return next((line for line in reversed(lines) if _parsed(line) is not None), None)

    def _private_key(self) -> Ed25519PrivateKey:
        if not self._key_path.exists():
            if self.path.exists():
                raise DamagedObject(
                    f"The key {self._key_path.name} is gone, so no checkpoint can be signed; restore it from a backup, "
                    f"or move {self.path.name} aside and keep it."
                )
            self._make_key()
        try:
            key = load_pem_private_key(self._key_path.read_bytes(), None)
        except ValueError:
            raise DamagedObject(f"The file {self._key_path.name} is damaged; restore it from a backup.") from None
        assert isinstance(key, Ed25519PrivateKey)  # noqa: S101 - we made it
        return key

    def _make_key(self) -> None:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._put(self.public_key_path, public)
        self._put(self._key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def _put(self, path: Path, content: bytes) -> None:
        draft = path.with_name(f"{path.name}.{new_entry_id()}.part")
        write_new(draft, content)
        draft.replace(path)
        sync_folder(self._folder)

    def _public_key(self, pem: bytes | None) -> Ed25519PublicKey:
        try:
            key = load_pem_public_key(pem if pem is not None else self.public_key_path.read_bytes())
        except (ValueError, FileNotFoundError):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise DamagedObject("The public key of the checkpoints is missing or damaged; restore it from a backup.")
        return key


def _lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The lines of a file up to a size that was looked up before."""
    while file.tell() < size and (line := file.readline()):
        yield line.rstrip(b"\n")


def _parsed(line: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        facts: dict[str, Any] = json.loads(line)
        bytes.fromhex(facts["row_hash"])
        if isinstance(facts["rows"], int) and facts["taken_at"] and facts["previous"] and facts["signature"]:
            return facts
    return None


def _checkpoint(facts: dict[str, Any]) -> Checkpoint:
    return Checkpoint(ChainEnd(facts["rows"], bytes.fromhex(facts["row_hash"])), facts["taken_at"])


def _signed(facts: dict[str, Any]) -> bytes:
    """The bytes that are signed: the facts without the signature, in one spelling."""
    return json.dumps(
        {key: facts[key] for key in ("previous", "row_hash", "rows", "taken_at")}, sort_keys=True
    ).encode()


def _check_signature(key: Ed25519PublicKey, facts: dict[str, Any], name: str) -> None:
    try:
        key.verify(base64.b64decode(facts["signature"], validate=True), _signed(facts))
    except (InvalidSignature, binascii.Error, ValueError, TypeError):
        raise AuditTampered(
            f"The last line of {name} was not signed with this installation's key: somebody else wrote it, or the key "
            "was replaced."
        ) from None
