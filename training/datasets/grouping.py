"""Which images show the same slice: near-duplicates, also mirrored or turned over, found by their thumbnails."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

THUMBNAIL = 24  # pixels per side
CORRELATION = 0.95  # of two thumbnails from which on they are taken for the same slice
_BLOCK = 512  # thumbnails compared at once with all others

Thumbnails = NDArray[np.float32]


def near_duplicate_groups(
    thumbnails: Thumbnails, correlation: float = CORRELATION, block: int = _BLOCK
) -> NDArray[np.intp]:
    """A group number for each of (image, row, column), from 0 in order of first appearance.

    Two images belong together if their thumbnails correlate above ``correlation`` as they are, mirrored, upside
    down or both, or if a chain of such pairs joins them. Memory grows with the block, not with the square of the
    number of images. An image of one grey value resembles nothing.
    """
    count = len(thumbnails)
    upright = _standardised(thumbnails)
    rows: list[NDArray[np.intp]] = []
    columns: list[NDArray[np.intp]] = []
    for flipped in _views(thumbnails):
        other = _standardised(flipped)
        for first in range(0, count, block):
            alike = upright[first : first + block] @ other.T > correlation
            row, column = np.nonzero(alike)
            rows.append(row + first)
            columns.append(column)
    row, column = np.concatenate(rows), np.concatenate(columns)
    pairs = coo_matrix((np.ones(len(row), np.bool_), (row, column)), shape=(count, count))
    return in_order_of_appearance(connected_components(pairs, directed=False)[1])


def joined(groups: NDArray[np.intp], names: Sequence[str]) -> NDArray[np.intp]:
    """The groups that remain when images of the same name, such as a patient, are put together as well."""
    count = len(groups)
    _, named = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    nodes = count + int(groups.max(initial=-1)) + 1
    members = np.arange(count)
    row = np.concatenate([members, members])
    column = np.concatenate([count + groups, nodes + named])
    size = nodes + int(named.max(initial=-1)) + 1
    graph = coo_matrix((np.ones(len(row), np.bool_), (row, column)), shape=(size, size))
    return in_order_of_appearance(connected_components(graph, directed=False)[1][:count])


def in_order_of_appearance(labels: NDArray[Any]) -> NDArray[np.intp]:
    """The same partition, numbered from 0 in the order in which its parts first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    numbered: NDArray[np.intp] = rank[inverse]
    return numbered


def _views(thumbnails: Thumbnails) -> Iterator[Thumbnails]:
    for horizontal in (1, -1):
        for vertical in (1, -1):
            yield thumbnails[:, ::vertical, ::horizontal]


def _standardised(thumbnails: Thumbnails) -> Thumbnails:
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: Thumbnails = np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-6)
    return unit
