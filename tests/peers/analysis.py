"""The product's own analysis of DICOM files with an algorithm folder, without servers, and what came out of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.pipeline import NotAnalysed, ReadyAlgorithm, analyse
from inference.settings import WorkerSettings
from storage.domain.result import EvidenceRole, NewResult
from storage.domain.study import StableStudy, StoredInstance
from tests.peers.synthetic_series import as_kept


def instance_of(path: Path) -> StoredInstance:
    """What storage knows of a file as it was received."""
    return as_kept(pydicom.dcmread(path, stop_before_pixels=True), path)


def analysed(files: Sequence[Path], algorithm: Path) -> NewResult | NotAnalysed:
    """Run an algorithm folder on the study in these files."""
    instances = tuple(instance_of(path) for path in files)
    verified = verify(algorithm)
    engine = Engine(verified, WorkerSettings(device="cpu"))
    study = StableStudy(instances[0].header.study_instance_uid, 1, "P1", "", datetime.now(UTC), instances)
    ready = ReadyAlgorithm(verified, engine, engine.provider)
    return analyse(study, ready, datetime(2024, 1, 1, tzinfo=UTC), b"s" * 32)


def segmented(result: NewResult, files: Sequence[Path]) -> NDArray[np.bool_]:
    """The voxels of the first segment of the Segmentation that is sent, slice by slice in the order of ``files``."""
    (evidence,) = (one for one in result.evidence if one.role is EvidenceRole.SEGMENTATION)
    seg = pydicom.dcmread(BytesIO(evidence.part10))
    place = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): at for at, path in enumerate(files)}
    mask = np.zeros((len(files), seg.Rows, seg.Columns), bool)
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        mask[place[str(source)]] |= frame.astype(bool)
    return mask


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Twice what both have, of what each has."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
