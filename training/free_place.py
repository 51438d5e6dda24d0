"""Where commands that make a folder may put it."""

from pathlib import Path

from training.errors import InvalidRun


def require_free_place(folder: Path) -> None:
    """Refuse a place where something stands: an edited card or an acceptance set of somebody's is not thrown away.

    Raises:
        InvalidRun: it is no folder, or one that is not empty.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise InvalidRun(
            f"{folder} exists and is not empty, and what is yours in it would be lost; give another folder, or move it "
            "away first."
        )
