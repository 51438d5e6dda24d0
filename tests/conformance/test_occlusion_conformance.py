"""A network without maps, from the images to the map: it looks at one known place, and there its map is highest."""

import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.pipeline import ReadyAlgorithm, analyse
from inference.settings import WorkerSettings
from storage.domain.result import EvidenceForm, NewResult
from tests.conformance.every_evidence import EVERY_FORM, content_items, groups_of
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_detection import STACK, images_with_squares
from tests.conformance.source_series import STARTED_AT
from tests.peers.looking_classifier import looking_network
from tests.peers.multi_frame import files_of
from tests.peers.synthetic_series import kept, study_of
from tests.peers.tiny_classifier import write_tiny_classifier


def _analysed(folder: Path) -> NewResult:
    written = write_tiny_classifier(
        folder / "algorithm",
        looking_network(rows=(4, 8), columns=(8, 12)),  # rows 8 to 16, columns 16 to 24 of the image
        input={"modalities": ["CT"]},
        inference={"saliency_output": None},
        saliency={"method": "occlusion", "patch": 4, "stride": 2},
    )
    verified = verify(written)
    engine = Engine(verified, WorkerSettings(device="cpu"))
    (folder / "images").mkdir()
    study = study_of(kept(files_of(images_with_squares()), folder / "images"))
    result = analyse(study, ReadyAlgorithm(verified, engine, engine.provider), STARTED_AT, b"a secret", EVERY_FORM)
    assert isinstance(result, NewResult)
    return result


def test_the_map_is_highest_where_the_network_looks(tmp_path: Path) -> None:
    """In the parametric map, on the key image alone, in the place that the network was built to look at."""
    result = _analysed(tmp_path)
    images = images_with_squares()

    (classification,) = [one.classification for one in result.findings]
    assert classification is not None
    assert classification.present
    assert classification.key_sop_instance_uid == images[2].SOPInstanceUID
    (made,) = [dcmread(BytesIO(one.part10)) for one in result.evidence if one.form is EvidenceForm.PARAMETRIC_MAP]
    frames = np.frombuffer(made.FloatPixelData, "<f4").reshape(len(images), STACK.shape[1], STACK.shape[2])
    seen = np.unravel_index(np.argmax(frames), frames.shape)
    assert seen[0] == 2
    assert 8 <= seen[1] < 16
    assert 16 <= seen[2] < 24
    assert frames.max() == 1
    inside = frames[2, 9:15, 17:23]
    outside = frames[2].copy()
    outside[2:22, 10:30] = 0  # where no patch that touches the place reaches
    assert inside.min() > 0.3
    assert outside.max() == 0
    assert frames[[0, 1, 3, 4, 5]].max() == 0


def test_a_map_by_occlusion_says_so_wherever_it_is_shown(tmp_path: Path) -> None:
    """It is no activation of the network: quantity, series, derivation and report name the method."""
    result = _analysed(tmp_path)

    (made,) = [dcmread(BytesIO(one.part10)) for one in result.evidence if one.form is EvidenceForm.PARAMETRIC_MAP]
    (mapping,) = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    (concept,) = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence
    assert (concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning) == ("130404", "DCM", "Saliency")
    assert mapping.LUTExplanation == "Occlusion sensitivity of Tumour, 1 is most"
    assert made.ContentLabel == "AI_OCCLUSION"
    assert made.SeriesDescription == "tiny-classifier occlusion map of Tumour (RESEARCH, not verified)"
    for frame in made.PerFrameFunctionalGroupsSequence:
        (derivation,) = frame.DerivationImageSequence
        assert derivation.DerivationDescription.startswith("Occlusion sensitivity: what the probability lost where")
    (report,) = [dcmread(BytesIO(one.part10)) for one in result.evidence if one.form is EvidenceForm.COMPREHENSIVE_3D]
    (group,) = groups_of(report)
    assert "region of Tumour: occlusion sensitivity" in [
        item.TextValue for item in content_items(group) if "TextValue" in item
    ]


def test_dciodvfy_finds_no_error_in_the_map(tmp_path: Path) -> None:
    """The map is valid, its derivation included (P7)."""
    (content,) = [one.part10 for one in _analysed(tmp_path).evidence if one.form is EvidenceForm.PARAMETRIC_MAP]
    (tmp_path / "map.dcm").write_bytes(content)

    run = subprocess.run(["dciodvfy", "-new", str(tmp_path / "map.dcm")], capture_output=True, text=True, check=False)

    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []
    assert missing_attributes(dcmread(BytesIO(content))) == []


def test_the_same_job_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing of it is drawn by lot (S12)."""
    results = [_analysed(tmp_path / name) for name in ("one", "two") if (tmp_path / name).mkdir() is None]

    assert [one.part10 for one in results[0].evidence] == [one.part10 for one in results[1].evidence]


def test_the_salient_region_is_drawn(tmp_path: Path) -> None:
    """The presentation state frames the place, as it does for a map of the network's own."""
    result = _analysed(tmp_path)

    (state,) = [dcmread(BytesIO(one.part10)) for one in result.evidence if one.form is EvidenceForm.PRESENTATION_STATE]
    (annotation,) = state.GraphicAnnotationSequence
    (box,) = annotation.GraphicObjectSequence
    points = np.array(box.GraphicData, float).reshape(-1, 2)
    assert np.abs(points.mean(axis=0) - [20, 12]).max() < 4
    assert (points.min(axis=0) >= [10, 2]).all()
    assert (points.max(axis=0) <= [30, 22]).all()
