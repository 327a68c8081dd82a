"""Items of about the same length, together: padding costs little, and what a block needs stays in the cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def by_length(lengths: Tensor, room: int) -> Iterator[tuple[Tensor, int]]:
    """Cut items, sorted by length, into blocks of at most ``room`` tokens, padding included, and at least one item.

    Yields:
        Rows of a block, and its longest length, at least 1.
    """
    lengths, order = (x.cpu() for x in torch.sort(lengths, stable=True))
    start = 0
    while start < len(order):
        size = max(1, room // max(1, int(lengths[start])))
        longest = int(lengths[min(start + size, len(order)) - 1])
        stop = min(start + max(1, room // max(1, longest)), len(order))
        yield order[start:stop], max(1, int(lengths[stop - 1]))
        start = stop
