"""Shortlists: what is found is scored exactly, and how often the best is found is measured and right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from letters import Letters, asked

from melink.kb.store import KnowledgeBase
from melink.ranking import shortlist as module
from melink.ranking.certified import certified
from melink.ranking.kept import Kept
from melink.ranking.shortlist import shortlisted

N, M = 50, 30


@pytest.fixture(scope="module")
def kept(wordy: KnowledgeBase, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(Letters(4.0), wordy.view(), tmp_path_factory.mktemp("terms"))


def rough(kept: Kept) -> np.ndarray:
    method = kept.method
    return method.roughly(method.mentions(asked(M)), kept.chunk(0, N)).numpy()


def totals(kept: Kept) -> np.ndarray:
    assert isinstance(kept.method, Letters)
    return kept.method.totals(asked(M), kept.view.labels)


@pytest.mark.parametrize("size", [1, 4, 20])
@pytest.mark.parametrize("budget", [1, 7 * N, 1 << 26])
def test_the_shortlist_is_scored_exactly_and_nothing_else_is(
    kept: Kept, size: int, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUDGET", budget)
    gold, k = np.arange(M), min(3, size)
    found = shortlisted(kept.method, kept, asked(M), gold, 3, size, sample=0)
    assert found.recall is None and max(found.scored) <= size and found.rows.shape == (M, k)
    for m, (cheap, own) in enumerate(zip(rough(kept), totals(kept), strict=True)):
        least = np.sort(cheap)[-size]
        inside = set(np.flatnonzero(cheap > least).tolist())
        rows = found.rows[m].tolist()
        assert (cheap[rows] >= least).all(), "from the shortlist, its ties included"
        np.testing.assert_allclose(found.scores[m], own[rows] / 1e4, atol=1e-4)
        assert np.lexsort((rows, -found.scores[m])).tolist() == list(range(k))
        assert all(own[row] <= own[rows[-1]] for row in inside - set(rows)), "the best of the shortlist"
        if cheap[gold[m]] < least:
            assert np.isnan(found.ranks[m]), "gold outside of the shortlist has no rank"
        elif cheap[gold[m]] > least and size > 1:
            assert 1 <= found.ranks[m] <= size


@pytest.mark.parametrize("ties", ["mean", "optimistic", "pessimistic"])
@pytest.mark.parametrize("size", [N, N + 1, 10_000])
def test_a_shortlist_of_everybody_is_exact(kept: Kept, size: int, ties: str) -> None:
    gold = np.where(np.arange(M) % 4, np.arange(M), -1)
    found = shortlisted(kept.method, kept, asked(M), gold, 16, size, ties)
    exact = certified(kept.method, kept, asked(M), gold, 16, ties)
    assert found.rows.tolist() == exact.rows.tolist()
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-4)
    np.testing.assert_array_equal(found.ranks, exact.ranks)
    assert found.recall == 1.0


def test_recall_is_the_share_of_exact_best_that_are_found(kept: Kept) -> None:
    best = [min(range(N), key=lambda row: (-own[row], row)) for own in totals(kept)]
    seen = []
    for size in (1, 2, 4, 8, 16, 32):
        found = shortlisted(kept.method, kept, asked(M), np.full(M, -1), 1, size)
        assert found.recall == np.mean(found.rows[:, 0] == best)
        seen.append(found.recall)
    assert seen == sorted(seen) and seen[0] < 0.9 < seen[-1], "the sizes must show a difference"


def test_recall_is_measured_on_a_sample(kept: Kept) -> None:
    chosen = np.random.default_rng(0).permutation(M)[:10]
    best = np.array([min(range(N), key=lambda row: (-own[row], row)) for own in totals(kept)])
    found = shortlisted(kept.method, kept, asked(M), np.full(M, -1), 1, 2, sample=10)
    assert found.recall == np.mean(found.rows[chosen, 0] == best[chosen])
    again = shortlisted(kept.method, kept, asked(M), np.full(M, -1), 1, 2, sample=10)
    assert again.recall == found.recall


def test_nobody_asks(kept: Kept, tmp_path: Path) -> None:
    found = shortlisted(kept.method, kept, [], np.zeros(0, dtype=np.int64), 3, 5)
    assert found.rows.shape == (0, 3) and found.recall is None
