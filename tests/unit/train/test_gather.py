"""Shares of a batch: cut so that together they are the batch."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from melink.methods.gather import gather_rows, share


@given(st.integers(0, 200), st.integers(1, 17))
def test_shares_are_the_batch(n: int, world: int) -> None:
    shares = [list(range(n))[share(n, rank, world)] for rank in range(world)]
    assert [item for own in shares for item in own] == list(range(n))
    size = -(-n // world)
    assert all(len(own) == min(size, max(0, n - rank * size)) for rank, own in enumerate(shares))


def test_alone_there_is_nothing_to_gather() -> None:
    own = torch.ones(3, 2, requires_grad=True)
    assert gather_rows(own, 3) is own
