"""The end of the audit chain, signed and kept outside the database, so that even its owner cannot rewrite it unseen."""

import logging
from datetime import UTC, datetime

from storage.domain.audit_chain import Checkpoint
from storage.errors import AuditTampered, StorageError
from storage.objects.checkpoint_file import CheckpointFile
from storage.postgres.audit_chain import chain_snapshot
from storage.postgres.engine import Database

_LOG = logging.getLogger(__name__)


def anchor_audit(database: Database, checkpoints: CheckpointFile) -> int:
    """Add a checkpoint if rows were added since the last one; how many it were, none or one.

    The log gets it too, so that whoever collects logs holds a copy that nobody here can change.

    Raises:
        AuditTampered: the row of the last checkpoint is gone or another one; nothing is signed any more.
        StorageError: the file or its key cannot be used.
        DatabaseUnavailable: nothing was added.
    """
    try:
        last = checkpoints.last()
        with chain_snapshot(database) as chain:
            end = chain.head()
            if last is not None and chain.row_hash(last.end.rows) != last.end.row_hash:
                raise AuditTampered
        if end.rows == 0 or (last is not None and last.end == end):
            return 0
        checkpoint = Checkpoint(end, datetime.now(UTC).isoformat(timespec="seconds"))
        checkpoints.append(checkpoint)
    except OSError as error:
        raise StorageError(
            f"The checkpoints of the audit trail cannot be written ({error.strerror}); check the folder audit under "
            "data_dir."
        ) from error
    _LOG.info("audit trail: %d rows, the last has hash %s", end.rows, end.row_hash.hex())
    return 1
