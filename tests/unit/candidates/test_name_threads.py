"""The name scorer under several threads: every word keeps a number of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from melink.candidates.name_score import NameScorer


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let threads change places as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_threads_share_one_vocabulary() -> None:
    names = [[(f"w{turn}x{n} v{n}q{turn}",) for n in range(150)] for turn in range(4)]
    for _ in range(3):
        scorer = NameScorer()
        with ThreadPoolExecutor(4) as pool:
            sides = list(pool.map(scorer.side, names))
        for side, own in zip(sides, names, strict=True):
            fresh = NameScorer()
            np.testing.assert_array_equal(scorer.score(side, side), fresh.score(fresh.side(own), fresh.side(own)))
