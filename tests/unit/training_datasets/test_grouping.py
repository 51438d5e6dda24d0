"""Images of the same slice are found, however they were copied, and stay together."""

import numpy as np
import pytest

from training.datasets.grouping import in_order_of_appearance, joined, near_duplicate_groups


@pytest.fixture
def slices() -> np.ndarray:
    """Forty thumbnails that do not resemble each other."""
    return np.random.default_rng(5).uniform(0, 255, (40, 24, 24)).astype(np.float32)


def test_copies_are_found_mirrored_turned_over_and_with_other_contrast(slices: np.ndarray) -> None:
    """Each way in which public sets multiply an image leads back to its group; the others stay alone."""
    original = slices[3]
    copies = [
        original,
        original[:, ::-1],
        original[::-1],
        original[::-1, ::-1],
        original * 0.4 + 30,
        original + np.random.default_rng(0).normal(0, 5, (24, 24)),
    ]

    groups = near_duplicate_groups(np.concatenate([slices, copies]).astype(np.float32))

    assert set(groups[40:]) == {groups[3]}
    assert len(set(groups)) == 40


def test_a_chain_of_pairs_is_one_group() -> None:
    """If A resembles B and B resembles C, all three stand on one side, although A and C differ."""
    random = np.random.default_rng(1)
    first, last = random.normal(size=(2, 24, 24)).astype(np.float32)
    chain = np.stack([first * (1 - share) + last * share for share in np.linspace(0, 1, 12)])

    assert np.corrcoef(chain[0].ravel(), chain[-1].ravel())[0, 1] < 0.5
    assert set(near_duplicate_groups(chain)) == {0}


def test_the_block_changes_nothing(slices: np.ndarray) -> None:
    """Comparing in blocks, which bounds the memory, gives the groups of comparing all with all."""
    twins = np.concatenate([slices, slices[::-1, :, ::-1]])

    whole = near_duplicate_groups(twins, block=1000)

    np.testing.assert_array_equal(near_duplicate_groups(twins, block=7), whole)
    np.testing.assert_array_equal(whole, [*range(40), *range(39, -1, -1)])


def test_blank_images_resemble_nothing() -> None:
    """An image of one grey value has no correlation; it neither fails nor joins others."""
    assert len(set(near_duplicate_groups(np.full((3, 24, 24), 7, np.float32)))) == 3


def test_images_of_a_patient_are_put_together() -> None:
    """Names join groups, also through a chain: group 0 and group 1 share a patient."""
    groups = joined(np.array([0, 0, 1, 2, 3]), ["A", "B", "B", "C", "C"])

    np.testing.assert_array_equal(groups, [0, 0, 0, 1, 1])


def test_numbers_follow_the_order_of_appearance() -> None:
    """A partition has one name, whatever labels it came with."""
    np.testing.assert_array_equal(in_order_of_appearance(np.array([9, 2, 9, 5])), [0, 1, 0, 2])
