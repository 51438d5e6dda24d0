"""The manifest: one schema, published, with errors of one sentence."""

import json
import re
from collections.abc import Callable
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
        {"input": {"modalities": ["US"]}},
        {"input": {"min_age_years": 40, "max_age_years": 30}},
        {"preprocessing": {"orientation": "RLS"}},
        {"preprocessing": {"orientation": "las"}},
        {"preprocessing": {"target_size": [8, 8, 8], "target_spacing_mm": [1, 1, 1]}},
        {"preprocessing": {"target_size": [8, 0, 8]}},
        {"preprocessing": {"target_size": [8, 10**9, 8]}},
        {"preprocessing": {"target_spacing_mm": [1, 1e-300, 1]}},
        {"preprocessing": {"target_spacing_mm": [1, float("nan"), 1]}},
        {"preprocessing": {"intensity": {"method": "max", "range": [float("nan"), 1]}}},
        {"inference": {"mode": "sliding_window", "window": [8, 8, 8], "background": float("nan")}},
        {"inference": {"mode": "sliding_window", "window": [8, 8, 10**30]}},
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


@pytest.mark.parametrize("number", ["1" + "0" * 300, "1" + "0" * 400, "1.0e+300", "-1.0e+300", ".inf", "-.inf", ".nan"])
@pytest.mark.parametrize(
    "field",
    ["input.max_slice_spacing_mm", "input.min_coverage_mm", "input.max_age_years", "preprocessing.intensity.width"],
)
def test_a_number_beyond_all_bounds_is_refused_at_the_door(tmp_path: Path, field: str, number: str) -> None:
    """The sentence names place and bound, not the number: none that comes later has hundreds of digits or "inf mm"."""
    changes: dict[str, Any] = {"preprocessing": {"intensity": {"method": "window", "center": 40, "width": 400}}}
    place = document = manifest_with(**changes)
    *sections, key = field.split(".")
    for section in sections:
        place = place.setdefault(section, {})
    place[key] = "HERE"
    (tmp_path / "algorithm.yaml").write_text(yaml.safe_dump(document).replace("HERE", number))

    with pytest.raises(InvalidAlgorithm, match=f"algorithm.yaml: {field}: Input should be") as refusal:
        load_manifest(tmp_path)

    assert not re.search(r"\d{12}", str(refusal.value).removeprefix(str(tmp_path)))


def _unbounded(node: Any, place: str = "") -> list[str]:
    found = []
    if isinstance(node, dict):
        if node.get("type") in ("number", "integer") and "enum" not in node and "const" not in node:
            least = {"minimum", "exclusiveMinimum"} & set(node)
            most = {"maximum", "exclusiveMaximum"} & set(node)
            found += [] if least and most else [place]
        found += [one for key, value in node.items() for one in _unbounded(value, f"{place}.{key}")]
    if isinstance(node, list):
        found += [one for index, value in enumerate(node) for one in _unbounded(value, f"{place}.{index}")]
    return found


def test_every_number_of_a_manifest_has_bounds() -> None:
    """Whatever key is added later: a number has a least and a most in the published schema."""
    assert _unbounded(json.loads(json_schema())) == []
    assert _unbounded({"a": [{"type": "number", "minimum": 0}]}) == [".a.0"]


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


_CODE = {"value": "1", "scheme": "SCT", "meaning": "Brain"}
_SEGMENT = MANIFEST["outputs"]["segments"][0]
_WITH: dict[str, Callable[[str], dict[str, Any]]] = {
    "identity.manufacturer": lambda text: {"identity": {"manufacturer": text}},
    "identity.licence": lambda text: {"identity": {"licence": text}},
    "identity.intended_use": lambda text: {"identity": {"intended_use": text}},
    "identity.family.meaning": lambda text: {"identity": {"family": _CODE | {"meaning": text}}},
    "identity.family.value": lambda text: {"identity": {"family": _CODE | {"value": text}}},
    "identity.family.scheme": lambda text: {"identity": {"family": _CODE | {"scheme": text}}},
    "input.body_parts.0": lambda text: {"input": {"body_parts": [text]}},
    "inference.output": lambda text: {"inference": {"output": text}},
    "outputs.segments.0.label": lambda text: {"outputs": {"segments": [_SEGMENT | {"label": text}]}},
    "outputs.segments.0.type.meaning": lambda text: {
        "outputs": {"segments": [_SEGMENT | {"type": _CODE | {"meaning": text}}]}
    },
}


@pytest.mark.parametrize("field", _WITH)
@pytest.mark.parametrize("text", ["a\\b", "a\x00b", "a\x1bb", "a\x7fb", "a\x85b"])
def test_a_text_that_no_dicom_element_can_hold_is_refused(tmp_path: Path, field: str, text: str) -> None:
    """A backslash parts values, and control characters end a text or an object that others cannot read."""
    (tmp_path / "algorithm.yaml").write_text(yaml.safe_dump(manifest_with(**_WITH[field](text))))

    with pytest.raises(
        InvalidAlgorithm, match=rf"algorithm.yaml: {field}: .*no backslash.*write it without"
    ) as refusal:
        load_manifest(tmp_path)

    assert len(str(refusal.value).splitlines()) == 1
    assert text not in str(refusal.value)


@pytest.mark.parametrize("field", _WITH)
@pytest.mark.parametrize("text", ["a\nb", "a\n", "a\tb", "a\rb"])
def test_only_the_intended_use_has_line_breaks(tmp_path: Path, field: str, text: str) -> None:
    """It is prose and becomes one line in every object; any other text is a line."""
    (tmp_path / "algorithm.yaml").write_text(yaml.safe_dump(manifest_with(**_WITH[field](text))))

    if field == "identity.intended_use":
        assert "\n" not in load_manifest(tmp_path).algorithm_identity("b" * 64).intended_use
    else:
        with pytest.raises(InvalidAlgorithm, match=field):
            load_manifest(tmp_path)


@pytest.mark.parametrize("text", ["Jose\u0301 & Söhne", "左脳", "10*-3/uL", "a/b ^ c=d"])
def test_other_texts_are_taken(tmp_path: Path, text: str) -> None:
    """Letters of any script, and what is only a mark elsewhere, are texts."""
    (tmp_path / "algorithm.yaml").write_text(yaml.safe_dump(manifest_with(identity={"manufacturer": text})))

    assert load_manifest(tmp_path).identity.manufacturer == text


def test_the_published_schema_has_the_same_rule_for_texts() -> None:
    """Whoever checks a manifest with the JSON Schema alone refuses the same texts as the code."""
    identity = json.loads(json_schema())["$defs"]["Identity"]["properties"]
    line, prose = identity["manufacturer"]["pattern"], identity["intended_use"]["pattern"]

    assert [bool(re.search(line, text)) for text in ("a b", "a\\b", "a\nb", "a\x00b", "a\x85b")] == [True] + [False] * 4
    assert [bool(re.search(prose, text)) for text in ("a\nb", "a\tb", "a\\b", "a\x00b")] == [True, True, False, False]
