"""Removing what crashed writers left unfinished; nothing that was acknowledged is touched."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from storage.objects.durable import remove
from storage.objects.layout import DataFolder

# Evidence is frozen, and messages of peers are kept, by processes that no importer knows of, while an importer starts;
# each takes seconds for a draft.
_DRAFT_SECONDS = 3600.0


def sweep(folder: DataFolder) -> int:
    """Remove drafts and return how many; the caller makes sure that nobody imports meanwhile.

    Those of evidence and of messages are removed only once nothing was written to them for an hour.
    """
    drafts = [*folder.objects.glob("??/*.part"), *folder.quarantined_objects.glob("*.part")]
    for shared in (folder.evidence, folder.commitments, folder.commitment_reports, folder.availability):
        drafts += _left(shared)
    for path in drafts:
        remove(path)
    return len(drafts)


def _left(shared: Path) -> Iterator[Path]:
    """Drafts whose writer is gone."""
    latest = time.time() - _DRAFT_SECONDS
    for path in shared.glob("*.part"):
        with contextlib.suppress(FileNotFoundError):  # it has its lasting name by now
            if path.stat().st_mtime < latest:
                yield path
