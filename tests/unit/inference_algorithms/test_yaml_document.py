"""YAML files of strangers are read, or are none, in little time and memory."""

from pathlib import Path

import pytest

from inference.acceptance.acceptance_set import read_acceptance_set
from inference.algorithms.manifest import read_manifest
from inference.algorithms.yaml_document import NoYaml, yaml_document
from inference.errors import InvalidAcceptanceSet, InvalidAlgorithm


def _levels(first: str, level: str) -> str:
    """Eight levels, each of which stands for the one before nine times."""
    lines = [f"a0: &a0 {first}"]
    for number in range(1, 9):
        nine = ", ".join([f"*a{number - 1}"] * 9)
        lines.append(f"a{number}: &a{number} {level % f'[{nine}]'}")
    return "\n".join(lines)


ODD = {
    "a thirteenth month": "a: 2020-13-45",
    "a number of 5000 digits": "a: " + "1" * 5000,
    "a word for yes or no": "a: !!bool maybe",
    "a word for a number": "a: !!float many",
    "nothing for a number": "a: !!int ''",
    "a word for a time": "a: !!timestamp soon",
    "an hour of another world": "a: 2020-01-01T00:00:00+99:99",
    "a list as a key": "? [a]\n: b",
    "a list of itself": "a: &a [*a]",
    "nesting without end": "[" * 20_000,
    "a billion values": _levels("[lol]", "%s"),
    "a billion merged keys": _levels("{x: 1}", "{<<: %s}"),
    "a number to base 60 without end": "a: " + ":".join(["1"] * 60),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_what_is_odd_is_no_document(tmp_path: Path, text: str) -> None:
    """Manifest and acceptance set say so in a sentence; a billion values are not made first."""
    (tmp_path / "algorithm.yaml").write_text(text)
    (tmp_path / "acceptance.yaml").write_text(text)

    with pytest.raises(NoYaml):
        yaml_document(text)
    with pytest.raises(InvalidAlgorithm, match="is not valid YAML; mend its syntax"):
        read_manifest(tmp_path)
    with pytest.raises(InvalidAcceptanceSet, match="is not valid YAML; mend its syntax"):
        read_acceptance_set(tmp_path)


def test_aliases_and_merged_keys_are_read() -> None:
    """Whoever repeats a code by an alias may go on to do so."""
    document = yaml_document("brain: &b {value: '1', scheme: SCT}\nsite: {<<: *b, meaning: Brain}\ntype: *b\n")

    assert document == {
        "brain": {"value": "1", "scheme": "SCT"},
        "site": {"value": "1", "scheme": "SCT", "meaning": "Brain"},
        "type": {"value": "1", "scheme": "SCT"},
    }
    assert yaml_document("") is None


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """A reader sees the first of two uses, YAML the last; the sentence names the line. One that is merged is none."""
    text = "identity: {use: research}\nsite: {a: 1,\n  a: 2}\n"
    for name in ("algorithm.yaml", "acceptance.yaml"):
        (tmp_path / name).write_text(text)

    with pytest.raises(InvalidAlgorithm, match="has a key twice, again in line 3; keep one"):
        read_manifest(tmp_path)
    with pytest.raises(InvalidAcceptanceSet, match="has a key twice, again in line 3; keep one"):
        read_acceptance_set(tmp_path)
    assert yaml_document("a: &a {x: 1}\nb: {<<: *a, x: 2}\n") == {"a": {"x": 1}, "b": {"x": 2}}
