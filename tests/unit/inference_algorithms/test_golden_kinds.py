"""Each kind of golden pair has a file of its own, and the page of algorithm folders has its arrays."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from inference.algorithms.golden import _KINDS as KINDS
from inference.algorithms.golden import AnyGolden, read_golden
from inference.algorithms.manifest import parse_manifest
from inference.errors import InvalidAlgorithm
from tests.peers import tiny_algorithm, tiny_classifier, tiny_detector, tiny_volume_detector

_MANIFESTS = {
    "a segmentation": tiny_algorithm.MANIFEST,
    "a classification": tiny_classifier.MANIFEST,
    "a detection": tiny_detector.MANIFEST,
    "a detection in volumes": tiny_volume_detector.MANIFEST,
}
_KINDS = get_args(AnyGolden)
_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "algorithm-folder.md"


def test_each_kind_of_pair_has_a_file_of_its_own() -> None:
    """Who changes one kind reads no other."""
    assert len({kind.__module__ for kind in _KINDS}) == len(_KINDS) == 4


@pytest.mark.parametrize("kind", _KINDS)
def test_the_page_names_every_array(kind: type) -> None:
    """A pair can be written by hand after the page."""
    named = set(re.findall(r"`(\w+)`", _PAGE.read_text(encoding="utf-8")))

    assert {field.name for field in fields(kind)} <= named


@pytest.mark.parametrize("words", _MANIFESTS)
def test_what_is_missing_in_a_pair_is_named(tmp_path: Path, words: str) -> None:
    """Whoever writes a pair by hand reads which arrays are missing and which there are, by the task of the manifest."""
    (kind,) = (kind for kind in KINDS if kind.words == words)
    kept, *missing = kind.names
    np.savez(tmp_path / "golden.npz", **{kept: np.zeros(1, np.float32), "outputs": np.zeros(1, np.float32)})

    with pytest.raises(InvalidAlgorithm) as refused:
        read_golden(tmp_path, parse_manifest(_MANIFESTS[words]))

    listed = " and ".join([", ".join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
    assert f"golden.npz lacks {listed}: the golden pair of {words} has the arrays {kept}" in str(refused.value)


def test_every_kind_of_pair_is_looked_for() -> None:
    """The table of kinds has each of them once."""
    assert {kind.golden for kind in KINDS} == set(_KINDS)
    assert len(KINDS) == len(_KINDS)
