"""Which groups are learned from, which choose the threshold, and which are only ever looked at once."""

from collections.abc import Mapping, Sequence

import numpy as np

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
SHARES: Mapping[str, float] = {TRAIN: 0.6, VALIDATION: 0.2, TEST: 0.2}


def split_by_group(
    groups: Sequence[int], labels: Sequence[str], seed: int, shares: Mapping[str, float] = SHARES
) -> list[str]:
    """The split of each image; whole groups, stratified by the labels they hold, the same for the same seed.

    Within a stratum the groups come in random order, and each goes where images are missing most, so that the
    shares of images are met to within a group although groups differ much in size.
    """
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    strata: dict[tuple[str, ...], list[int]] = {}
    for group, indices in members.items():
        strata.setdefault(tuple(sorted({labels[index] for index in indices})), []).append(group)
    random = np.random.default_rng(seed)
    split = [""] * len(groups)
    for stratum in sorted(strata):
        total = sum(len(members[group]) for group in strata[stratum])
        missing = {name: share * total for name, share in shares.items()}
        for group in random.permutation(sorted(strata[stratum])):
            chosen = max(missing, key=lambda name: missing[name] / max(shares[name], 1e-9))
            missing[chosen] -= len(members[int(group)])
            for index in members[int(group)]:
                split[index] = chosen
    return split
