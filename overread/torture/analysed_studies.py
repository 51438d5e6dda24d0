"""Small studies for a worker that is killed, and a network that takes long enough to be killed in."""

import hashlib
import os
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, RLELossless

from inference.algorithms.folder import verify
from overread.torture.instances import new_uid
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.arrival import Arrival
from storage.domain.association import Association
from storage.domain.image_record import image_record
from storage.domain.study import InstanceHeader
from storage.objects.object_store import ObjectStore
from storage.objects.part10 import data_set_offset
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.engine import Database

_SLICES, _SIZE = 24, 64
_LAYERS = 300
_BRIGHT = 500
_CODE = {"value": "12738006", "scheme": "SCT", "meaning": "Brain"}


def make_study(source: random.Random, *, compressed: bool) -> list[Dataset]:
    """An MR series with noise and a bright box; compressed, a process of the worker's decodes it."""
    study = new_uid(source)
    noise = np.random.default_rng(source.randrange(2**32))
    pixels = noise.integers(0, 100, (_SLICES, _SIZE, _SIZE)).astype("<u2")
    first = source.randrange(4, 12)
    pixels[first : first + 8, 20:40, 16 : 16 + 2 * first] += 1000
    return [_image(study, index, one, compressed) for index, one in enumerate(pixels)]


def _image(study: str, index: int, pixels: NDArray[np.uint16], compressed: bool) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, f"{study}.1.{index + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, f"{study}.1", f"{study}.2"
    ds.Modality, ds.BodyPartExamined, ds.SeriesDescription, ds.ImageType = "MR", "HEAD", "T1w", ["ORIGINAL", "PRIMARY"]
    ds.PatientID, ds.PatientName, ds.PatientSex = "TORTURE", "Torture^Bench", "O"
    ds.PatientBirthDate = ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ds.Manufacturer = ""
    ds.SeriesNumber, ds.InstanceNumber = 1, index + 1
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 2.0 * index]
    ds.PixelSpacing, ds.SliceThickness = [1.0, 1.0], 2.0
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    ds.PixelData = pixels.tobytes()
    if compressed:
        ds.compress(RLELossless, generate_instance_uid=False)
    return ds


def keep(database: Database, objects: ObjectStore, study: Sequence[Dataset]) -> str:
    """Write files and rows as the importer does; return the UID of the study, which is not stable yet."""
    now = datetime.now(UTC)
    association = Association("00000000-0000-4000-8000-000000000001", "MR1", "OVERREAD", "127.0.0.1", now)
    PostgresArrivalLog(database).record([_kept(objects, ds, association) for ds in study], [], [])
    return str(study[0].StudyInstanceUID)


def _kept(objects: ObjectStore, ds: Dataset, association: Association) -> Arrival:
    path = objects.instance(ds.SOPInstanceUID)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    data_set = content[data_set_offset(content) :]
    header = InstanceHeader(
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        study_instance_uid=str(ds.StudyInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
        patient_id=str(ds.PatientID),
        modality=str(ds.Modality),
        body_part_examined=str(ds.BodyPartExamined),
        series_description=str(ds.SeriesDescription),
        series_number=int(ds.SeriesNumber),
        instance_number=int(ds.InstanceNumber),
    )
    image = image_record(data_set, header.transfer_syntax_uid)
    digest = hashlib.sha256(data_set).hexdigest()
    return Arrival(header, digest, len(data_set), association, association.started_at, image)


def install(database: Database, data_dir: Path) -> RegisteredAlgorithm:
    """An active algorithm that outlines what is bright."""
    model = _network()
    folder = data_dir / "algorithms" / "torture" / "1.0"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "card.md").write_text("# Torture\n\nOutlines what is bright. Means nothing.\n")
    (folder / "algorithm.yaml").write_text(yaml.safe_dump(_manifest(hashlib.sha256(model).hexdigest())))
    verified = verify(folder)
    algorithm = RegisteredAlgorithm(
        *("torture", "1.0", AlgorithmStage.ACTIVE, folder, verified.manifest_sha256, verified.artifact_sha256)
    )
    PostgresAlgorithmCatalog(database).add(algorithm, f"torture {os.getpid()}")
    return algorithm


def _network() -> bytes:
    """Many convolutions that change nothing, then a threshold."""
    kernel = np.zeros((1, 1, 3, 3, 3), np.float32)
    kernel[0, 0, 1, 1, 1] = 1
    known = [numpy_helper.from_array(kernel, "same"), numpy_helper.from_array(np.array(_BRIGHT, np.float32), "bright")]
    names = ["input", *(f"layer{number}" for number in range(_LAYERS))]
    nodes = [helper.make_node("Conv", [before, "same"], [after], pads=[1] * 6) for before, after in pairwise(names)]
    nodes += [helper.make_node("Sub", [names[-1], "bright"], ["above"])]
    nodes += [helper.make_node("Sigmoid", ["above"], ["output"])]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 1, "p", "q", "r"]) for name in ("input", "output")
    ]
    graph = helper.make_graph(nodes, "torture", ends[:1], ends[1:], known)
    opset = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString(deterministic=True)
    return content


def _manifest(sha256: str) -> dict[str, object]:
    return {
        "identity": {
            "name": "torture",
            "version": "1.0",
            "manufacturer": "Overread",
            "licence": "MIT",
            "intended_use": "Outlines what is bright, to be killed while it does. Means nothing.",
            "use": "research",
        },
        "artifact": {"file": "model.onnx", "sha256": sha256},
        "input": {"modalities": ["MR"]},
        "outputs": {
            "segments": [
                {
                    "number": 1,
                    "channel": 0,
                    "label": "Bright",
                    "category": {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
                    "type": _CODE,
                    "rgb": [200, 100, 50],
                }
            ],
            "measurements": ["volume", "mean_intensity"],
        },
    }
