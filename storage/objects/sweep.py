"""Removing what a crashed importer left unfinished; nothing that was acknowledged is touched."""

from storage.objects.durable import remove
from storage.objects.layout import DataFolder


def sweep(folder: DataFolder) -> int:
    """Remove drafts and return how many; the caller makes sure that nobody imports meanwhile."""
    drafts = [path for place in (folder.objects, folder.evidence) for path in place.glob("??/*.part")]
    for place in (folder.evidence, folder.quarantined_objects):
        drafts += place.glob("*.part")
    for path in drafts:
        remove(path)
    return len(drafts)
