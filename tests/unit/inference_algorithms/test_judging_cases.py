"""What an acceptance case expects, held against what was found."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from inference.acceptance.acceptance_set import AcceptanceCase, AcceptanceSet, ExpectedClass, ExpectedMask
from inference.acceptance.judging import judged
from inference.acceptance.masks import dice, read_mask
from inference.algorithms.manifest import parse_manifest
from inference.errors import InvalidAcceptanceSet
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Classification, Finding
from storage.domain.result import NewResult

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "acceptance-sets.md"
_CODE = {"value": "1", "scheme": "99T", "meaning": "T"}
_MANIFEST = parse_manifest(
    {
        "task": "classification",
        "identity": {
            "name": "tumour",
            "version": "1",
            "manufacturer": "Tests",
            "licence": "MIT",
            "intended_use": "Tests.",
            "use": "research",
        },
        "artifact": {"file": "model.onnx", "sha256": "0" * 64},
        "input": {"modalities": ["MR"]},
        "image": {"size": [8, 8]},
        "inference": {"input": "x", "output": "y"},
        "outputs": {
            "classes": [
                {
                    "index": 0,
                    "label": "Tumour",
                    "finding": _CODE,
                    "threshold": 0.5,
                    "threshold_origin": "chosen for tests",
                    "rgb": [1, 2, 3],
                }
            ]
        },
    }
)


def _result(probability: float) -> NewResult:
    found = Classification("Tumour", probability, 0.5, "chosen for tests", probability >= 0.5, "1.2", 1, 1)
    concept = CodedConcept("1", "99T", "T")
    finding = Finding(concept, None, "t", "1.2.3", classification=found)
    return NewResult("1.2", ("1.2.1",), "b" * 64, "CPU", (finding,), "", ())


@pytest.mark.parametrize(
    ("expected", "probability", "passes"),
    [
        ({"classes": [{"label": "Tumour", "probability": [0.8, 1]}]}, 0.9, True),
        ({"classes": [{"label": "Tumour", "probability": [0.8, 1]}]}, 0.7, False),
        ({"classes": [{"label": "Tumour", "probability": [0, 0.2]}]}, 0.9, False),
        ({"labels": ["Tumour"]}, 0.9, True),
        ({"labels": ["Tumour"]}, 0.1, False),
        ({"labels": []}, 0.1, True),
        ({"refused": "gap"}, 0.9, False),
    ],
)
def test_a_class_is_held_against_its_bounds(expected: dict[str, object], probability: float, passes: bool) -> None:
    """Presence and probability count, each with the bound it is held against in the words."""
    case = AcceptanceCase.model_validate({"name": "one", "series": "x", **expected})

    outcome = judged(case, Path(), _MANIFEST, _result(probability))

    assert outcome.passed is passes
    if case.classes:
        assert f"Tumour probability {probability:.4f}, from " in outcome.words


def test_a_mask_of_a_classification_is_refused(tmp_path: Path) -> None:
    """A case that could never be right says so instead of falling short."""
    mask = ExpectedMask(label="Tumour", file="a.npz", minimum_dice=0.5)

    with pytest.raises(InvalidAcceptanceSet, match="outlines nothing"):
        judged(AcceptanceCase(name="one", series="x", masks=(mask,)), tmp_path, _MANIFEST, _result(0.9))


def test_masks_overlap_image_by_image(tmp_path: Path) -> None:
    """The same voxels on other images are not the same structure; nothing in both is agreement."""
    np.savez(tmp_path / "one.npz", **{"1.2.1": np.eye(4), "1.2.2": np.zeros((4, 4))})
    np.savez(tmp_path / "other.npz", **{"1.2.1": np.zeros((4, 4)), "1.2.2": np.eye(4)})
    np.savez(tmp_path / "frames.npz", **{"1.2.1": np.stack([np.eye(4), np.zeros((4, 4))])})
    one, other = (read_mask(tmp_path / name, None) for name in ("one.npz", "other.npz"))

    assert dice(one, one) == 1
    assert dice(one, other) == 0
    assert dice({}, {}) == 1
    assert dice(one, {("1.2.1", 1): np.ones((5, 5), bool)}) == 0
    assert set(read_mask(tmp_path / "frames.npz", None)) == {("1.2.1", 1), ("1.2.1", 2)}
    for content in (b"", b"no mask"):
        (tmp_path / "odd.npz").write_bytes(content)
        (tmp_path / "odd.dcm").write_bytes(content)
        for name in ("odd.npz", "odd.dcm"):
            with pytest.raises(InvalidAcceptanceSet, match="cannot be read as a mask"):
                read_mask(tmp_path / name, None)


def _spoilt(path: Path) -> None:
    """A compressed member that cannot be inflated."""
    np.savez_compressed(path, **{"1.2.1": np.zeros((50, 50))})
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)


def _without_sources(path: Path) -> None:
    """A Segmentation that does not say of which images it is."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SegmentationType = SegmentationStorage, "1.2.3", "BINARY"
    segment, frame, number = Dataset(), Dataset(), Dataset()
    segment.SegmentNumber, segment.SegmentLabel, number.ReferencedSegmentNumber = 1, "Brain", 1
    frame.SegmentIdentificationSequence, frame.DerivationImageSequence = [number], []
    ds.SegmentSequence, ds.PerFrameFunctionalGroupsSequence = [segment], [frame]
    ds.Rows = ds.Columns = 8
    ds.NumberOfFrames = ds.SamplesPerPixel = ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = ds.PixelRepresentation = 0
    ds.PhotometricInterpretation, ds.PixelData = "MONOCHROME2", bytes(8)
    ds.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("nan.npz", lambda path: np.savez(path, **{"1.2.1": np.array([[0, np.nan]])})),
        ("words.npz", lambda path: np.savez(path, **{"1.2.1": np.array([["a", "b"]])})),
        ("spoilt.npz", _spoilt),
        ("sources.dcm", _without_sources),
    ],
)
def test_a_reference_that_is_no_mask_is_told(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    """NaN is not 0, so it would be taken for the structure; what is broken otherwise is no fault of ours."""
    write(tmp_path / name)

    with pytest.raises(InvalidAcceptanceSet, match=rf"{name} cannot be read as a mask"):
        read_mask(tmp_path / name, None)


def test_the_page_names_every_key() -> None:
    """The table of the page has the keys of the schema, and no other."""
    models: tuple[type[BaseModel], ...] = (AcceptanceCase, ExpectedMask, ExpectedClass)
    keys = {key for model in models for key in model.model_fields}

    assert set(re.findall(r"^\| `(\w+)` \|", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)) == keys
    assert set(AcceptanceSet.model_fields) == {"cases"}
