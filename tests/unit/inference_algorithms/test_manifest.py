"""The manifest: one schema, published, with errors of one sentence."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from inference.algorithms.manifest import json_schema, load_manifest, parse_manifest
from inference.errors import InvalidAlgorithm
from tests.peers.tiny_algorithm import MANIFEST, manifest_with

ROOT = Path(__file__).parents[3]


def test_the_published_schema_is_the_code() -> None:
    """docs/reference/algorithm.schema.json is what the serving code validates with."""
    assert (ROOT / "docs/reference/algorithm.schema.json").read_text() == json_schema()


def test_a_complete_manifest_is_accepted(tmp_path: Path) -> None:
    """The smallest manifest of the tests is valid, and its defaults are those of the schema."""
    (tmp_path / "algorithm.yaml").write_text(yaml.safe_dump(MANIFEST))

    manifest = load_manifest(tmp_path)

    assert manifest.title == "tiny 1.0"
    assert manifest.inference.mode == "whole_volume"


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"body_part": ["HEAD"]}},
        {"input": {"min_slices": 9, "max_slices": 3}},
        {"input": {"min_slices": 1}},
        {"input": {"modalities": []}},
        {"input": {"modalities": ["PT"]}},
        {"input": {"min_age_years": 40, "max_age_years": 30}},
        {"preprocessing": {"orientation": "RLS"}},
        {"preprocessing": {"orientation": "las"}},
        {"preprocessing": {"target_size": [8, 8, 8], "target_spacing_mm": [1, 1, 1]}},
        {"preprocessing": {"target_size": [8, 0, 8]}},
        {"preprocessing": {"intensity": {"method": "window"}}},
        {"preprocessing": {"intensity": {"method": "max", "width": 3}}},
        {"inference": {"mode": "sliding_window"}},
        {"inference": {"window": [8, 8, 8]}},
        {"outputs": {"segments": []}},
        {"artifact": {"file": "../model.onnx"}},
        {"artifact": {"sha256": "ABC"}},
        {"identity": {"version": 1.0}},
        {"identity": {"use": "clinical"}},
    ],
)
def test_a_contradictory_manifest_is_refused_in_one_sentence(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Unknown keys and values that contradict each other are named with the place to correct."""
    (tmp_path / "algorithm.yaml").write_text(yaml.safe_dump(manifest_with(**changes)))

    with pytest.raises(InvalidAlgorithm) as refusal:
        load_manifest(tmp_path)

    assert next(iter(changes)) in str(refusal.value) or "mean_intensity" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_segments_that_could_not_be_told_apart_are_refused() -> None:
    """Two segments with the same type and site would give two findings of the same name."""
    document = manifest_with()
    document["outputs"]["segments"].append(document["outputs"]["segments"][0] | {"number": 2, "label": "Other"})

    with pytest.raises(ValueError, match="told apart"):
        parse_manifest(document)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [", b"- 1", b"", b"!!python/object/apply:os.getcwd []"])
def test_what_is_no_yaml_document_is_refused(tmp_path: Path, content: bytes) -> None:
    """Broken bytes, broken YAML, other documents and YAML that would build objects are refused alike."""
    (tmp_path / "algorithm.yaml").write_bytes(content)

    with pytest.raises(InvalidAlgorithm):
        load_manifest(tmp_path)
