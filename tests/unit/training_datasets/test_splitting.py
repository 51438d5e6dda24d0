"""A split keeps groups whole, meets its shares in each label, and is the same again for the same seed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets.splitting import SHARES, SPLITS, split_by_group


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(0, 5))
def test_no_group_straddles_and_every_image_has_a_split(groups: list[int], seed: int) -> None:
    """Whatever the sizes of the groups, each lies in exactly one split."""
    labels = ["yes" if group % 3 else "no" for group in groups]

    split = split_by_group(groups, labels, seed)

    assert len(split) == len(groups)
    assert set(split) <= set(SPLITS)
    assert all(len({s for s, g in zip(split, groups, strict=True) if g == one}) == 1 for one in set(groups))


@pytest.mark.parametrize("seed", range(5))
def test_the_shares_are_met_in_each_label(seed: int) -> None:
    """With groups of 1 to 40 images, each split gets its share of each label to within the largest group."""
    sizes = np.random.default_rng(seed).integers(1, 40, 120)
    groups = np.repeat(np.arange(120), sizes).tolist()
    labels = ["yes" if group < 80 else "no" for group in groups]

    split = split_by_group(groups, labels, seed)

    for label in ("yes", "no"):
        counted = Counter(s for s, one in zip(split, labels, strict=True) if one == label)
        for name, share in SHARES.items():
            assert abs(counted[name] - share * labels.count(label)) <= 40


def test_the_seed_decides() -> None:
    """The same seed gives the same split, another one another."""
    groups, labels = list(range(100)), ["yes", "no"] * 50

    assert split_by_group(groups, labels, 1) == split_by_group(groups, labels, 1)
    assert split_by_group(groups, labels, 1) != split_by_group(groups, labels, 2)
