"""Installing an algorithm: tried out in a child, copied where the workers read it, recorded with its digests."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inference.acceptance.acceptance_set import acceptance_digest
from inference.algorithms.folder import CARD_NAME, GOLDEN_NAME, VerifiedAlgorithm, read_folder
from inference.algorithms.manifest import MANIFEST_NAME
from inference.algorithms.trial import TrialLimits, try_out
from inference.errors import InvalidAlgorithm
from overread.algorithm_archive import ACCEPTANCE_FOLDER, is_archive, unpack
from overread.errors import InstallationFailed
from overread.scratch import scratch_folder
from storage.domain.algorithm import AlgorithmStage, InputNeeds, RegisteredAlgorithm
from storage.domain.plain_file import open_plain
from storage.ports.algorithms import AlgorithmCatalog

_DIGEST_LETTERS = 12
_INCOMING = ".incoming-"  # on the disk of the workers' copies, so that a copy is put in place by a rename
_CARD_LIMIT = _MANIFEST_LIMIT = 2**20  # bytes; what is longer was refused before, or is cut
_GOLDEN_LIMIT = 2**29
_ACCEPTANCE_FILES = 50_000
_ACCEPTANCE_BYTES = 8 * 2**30


def install(
    source: Path,
    data_dir: Path,
    catalog: AlgorithmCatalog,
    actor: str,
    *,
    hold: bool = False,
    limits: TrialLimits | None = None,
) -> RegisteredAlgorithm:
    """Try out the algorithm in a folder or archive, copy it under ``data_dir``, make it the active one of its name.

    With ``hold`` it is given no work until it is promoted. Installing the same bytes again mends a damaged copy and
    changes nothing else. The network is looked into by a child alone, so that it can end nothing but that.

    Raises:
        InvalidAlgorithm: it is not complete and consistent, or ends or outlasts the child; nothing is left of it.
        InstallationFailed: the disk refuses; nothing is left of it.
        StorageError: another algorithm has the version; nothing is left of it.
    """
    root = data_dir / "algorithms"
    with _told_of_disk(root):
        root.mkdir(parents=True, exist_ok=True)
        with scratch_folder(root, _INCOMING) as scratch, _told_of_source(scratch, source):
            folder = unpack(source, _made(scratch / "unpacked")) if is_archive(source) else source
            copy = scratch / "copy"
            read = _copy(folder, copy)
            home = root / read.manifest.identity.name / _folder_name(read)
            known = any((one.name, one.version) == _named(read) for one in catalog.all())
            # A copy that is not registered was left by a process that was killed before it wrote its row: it gives way.
            intact = (
                known
                and _is_intact(home, read)
                and _same_pair(home, copy)
                and not _mends_acceptance(home, copy, catalog.acceptance_sha256(*_named(read)))
            )
            golden = None if intact else try_out(copy, limits).golden
            algorithm = _described(read, home, AlgorithmStage.REGISTERED if hold else AlgorithmStage.ACTIVE)
            with _in_place(home, None if intact else copy, scratch):
                if not intact or algorithm not in catalog.all(AlgorithmStage.ACTIVE):
                    acceptance = acceptance_digest(home / ACCEPTANCE_FOLDER)
                    catalog.add(algorithm, actor, golden, acceptance_sha256=acceptance, restored=known and not intact)
    return catalog.find(algorithm.name, algorithm.version)


def _named(read: VerifiedAlgorithm) -> tuple[str, str]:
    return read.manifest.identity.name, read.manifest.identity.version


def _mends_acceptance(home: Path, copy: Path, recorded: str) -> bool:
    """Whether the copy has the acceptance set that the version was added with, and its place has it no more."""
    found, brought = (acceptance_digest(folder / ACCEPTANCE_FOLDER) for folder in (home, copy))
    return found != recorded == brought


def _folder_name(read: VerifiedAlgorithm) -> str:
    return f"{read.manifest.identity.version}-{read.manifest_sha256[:_DIGEST_LETTERS]}"


def _described(read: VerifiedAlgorithm, home: Path, stage: AlgorithmStage) -> RegisteredAlgorithm:
    identity = read.manifest.identity
    return RegisteredAlgorithm(
        name=identity.name,
        version=identity.version,
        stage=stage,
        folder=home,
        manifest_sha256=read.manifest_sha256,
        artifact_sha256=read.artifact_sha256,
        needs=InputNeeds(read.manifest.input.modalities, read.manifest.input.min_slices),
    )


def _is_intact(home: Path, wanted: VerifiedAlgorithm) -> bool:
    try:
        return read_folder(home) == wanted
    except InvalidAlgorithm:
        return False


def _same_pair(home: Path, copy: Path) -> bool:
    one, other = home / GOLDEN_NAME, copy / GOLDEN_NAME
    if not (one.is_file() and other.is_file()):
        return one.is_file() == other.is_file()
    return one.read_bytes() == other.read_bytes()


@contextmanager
def _told_of_disk(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = os.strerror(error.errno) if error.errno else type(error).__name__
        raise InstallationFailed(
            f"A file of the algorithm could not be read or written under {root} ({kind}); nothing was added, mend that "
            "and add it again."
        ) from None


@contextmanager
def _told_of_source(scratch: Path, source: Path) -> Iterator[None]:
    """Refusals name what was added, not a copy of it that is gone when they are read."""
    try:
        yield
    except InvalidAlgorithm as error:
        told = str(error)
        for copy in ("copy", "unpacked"):
            told = told.replace(str((scratch / copy).resolve()), str(source)).replace(str(scratch / copy), str(source))
        raise InvalidAlgorithm(told) from None


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _copy(folder: Path, target: Path) -> VerifiedAlgorithm:
    """Write the files of an algorithm and nothing else of the folder; links and devices among them are not followed.

    Raises:
        InvalidAlgorithm: a file is missing, too large, or changed meanwhile.
    """
    read = read_folder(folder)
    target.mkdir()
    with open_plain(folder / MANIFEST_NAME) as manifest:
        _write(target / MANIFEST_NAME, manifest.read(_MANIFEST_LIMIT))
    for member, network in zip(read.manifest.artifact.all(), read.networks, strict=True):
        _write(target / member.file, network)
    if (folder / CARD_NAME).is_symlink():  # whatever it leads to would be shown
        raise InvalidAlgorithm(f"{folder / CARD_NAME} is a link; put the model card itself there.")
    with open_plain(folder / CARD_NAME) as card:
        _write(target / CARD_NAME, card.read(_CARD_LIMIT))
    golden = folder / GOLDEN_NAME
    if golden.is_file():
        if golden.stat().st_size > _GOLDEN_LIMIT:
            raise InvalidAlgorithm(f"{golden} is larger than {_GOLDEN_LIMIT} bytes; export the algorithm again.")
        with open_plain(golden) as pair:
            _write(target / GOLDEN_NAME, pair.read())
    if (folder / ACCEPTANCE_FOLDER).is_symlink():
        raise InvalidAlgorithm(f"{folder / ACCEPTANCE_FOLDER} is a link; put the acceptance set itself there.")
    if (folder / ACCEPTANCE_FOLDER).is_dir():
        _copy_acceptance(folder / ACCEPTANCE_FOLDER, target / ACCEPTANCE_FOLDER)
    if not _is_intact(target, read):
        raise InvalidAlgorithm(f"{folder} changed while it was added; add it again.")
    return read


def _copy_acceptance(source: Path, target: Path) -> None:
    """The plain files of an acceptance set, within bounds."""
    files, size = 0, 0
    for directory, _, names in os.walk(source):  # which follows no link to a folder
        place = target / Path(directory).relative_to(source)
        place.mkdir(parents=True)
        for name in sorted(names):
            file = Path(directory) / name
            if file.is_symlink() or not file.is_file():
                continue
            files, size = files + 1, size + file.stat().st_size
            if files > _ACCEPTANCE_FILES or size > _ACCEPTANCE_BYTES:
                raise InvalidAlgorithm(
                    f"{source} holds more than {_ACCEPTANCE_FILES} files or {_ACCEPTANCE_BYTES} bytes; name studies "
                    "that are here already by their Study Instance UID instead."
                )
            shutil.copyfile(file, place / name)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _in_place(home: Path, copy: Path | None, scratch: Path) -> Iterator[None]:
    """Put the copy in its place for the block; if that fails, the place is as it was before."""
    if copy is None:
        yield
        return
    before = scratch / "before"
    made = not home.parent.exists()
    home.parent.mkdir(exist_ok=True)
    if home.exists():
        home.rename(before)
    copy.rename(home)
    try:
        yield
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        if before.exists():
            before.rename(home)
        if made:
            with suppress(OSError):
                home.parent.rmdir()
        raise
