"""Removing what crashed writers left unfinished; nothing that was acknowledged is touched."""

import contextlib
import os
from pathlib import Path

from storage.objects.durable import remove
from storage.objects.layout import DataFolder


def sweep(folder: DataFolder) -> int:
    """Remove unfinished files and return how many; the caller makes sure that nobody writes meanwhile.

    Finished means: a manifest with a claim (two links) and the data it names; a note in its folder; the quarantined
    bytes of a note. A manifest whose claim is gone was imported or never acknowledged.
    """
    for note in folder.quarantine_notes.glob("*.json"):
        finish_quarantined(folder, note.stem)
    leftovers = [*_unclaimed_entries(folder), *_claims_without_entry(folder), *_drafts(folder)]
    for path in leftovers:
        remove(path)
    return len(leftovers)


def finish_quarantined(folder: DataFolder, quarantine_id: str) -> None:
    """Give quarantined bytes their lasting name, once a note names them; doing it twice changes nothing."""
    path = folder.quarantined(quarantine_id)
    with contextlib.suppress(FileNotFoundError):
        path.with_suffix(".part").rename(path)


def _unclaimed_entries(folder: DataFolder) -> list[Path]:
    manifests: dict[str, bool] = {}
    data: list[str] = []
    with os.scandir(folder.entries) as items:
        for item in items:
            stem, _, suffix = item.name.rpartition(".")
            if suffix == "json":
                manifests[stem] = item.stat(follow_symlinks=False).st_nlink > 1
            elif suffix == "dcm":
                data.append(stem)
    names = [f"{stem}.json" for stem, claimed in manifests.items() if not claimed]
    names += [f"{stem}.dcm" for stem in data if not manifests.get(stem, False)]
    return [folder.entries / name for name in names]


def _claims_without_entry(folder: DataFolder) -> list[Path]:
    """Claims that a power cut brought back after their entry was imported."""
    with os.scandir(folder.claims) as items:
        return [folder.claims / item.name for item in items if item.stat(follow_symlinks=False).st_nlink < 2]


def _drafts(folder: DataFolder) -> list[Path]:
    places = [
        folder.root,
        folder.entries,
        folder.association_notes,
        folder.quarantine_notes,
        folder.quarantined_objects,
    ]
    drafts = [path for place in places for path in place.glob("*.part")]
    return drafts + list(folder.evidence.glob("??/*.part"))
