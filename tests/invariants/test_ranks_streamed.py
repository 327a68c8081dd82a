"""Streamed ranks and top lists equal the whole ones, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from melink.errors import InputError
from melink.evaluate.metrics import summarise
from melink.ranking.ranks import RankCounter, TopK, rank_of

SCORES = st.sampled_from([0.0, 0.25, 0.5, 1.0, -1.0, float("nan"), float("-inf"), float("inf")])
TIES = ("mean", "optimistic", "pessimistic")


@st.composite
def tables(draw):
    m, n = draw(st.integers(1, 4)), draw(st.integers(1, 23))
    return draw(arrays(np.float32, (m, n), elements=SCORES)), draw(arrays(np.int64, m, elements=st.integers(0, n - 1)))


def streamed(scores: np.ndarray, gold: np.ndarray, size: int, block: int | None = None) -> RankCounter:
    m, n = scores.shape
    block = block or m
    counter = RankCounter(scores[np.arange(m), gold])
    for start in range(0, n, size):
        for first in range(0, m, block):
            rows = slice(first, first + block)
            inside = (gold[rows] >= start) & (gold[rows] < start + size)
            counter.update(scores[rows, start : start + size], np.where(inside, gold[rows] - start, -1), rows)
    return counter


def best_rows(scores: np.ndarray, k: int, size: int) -> TopK:
    top = TopK(len(scores), k)
    for start in range(0, scores.shape[1], size):
        top.update(scores[:, start : start + size], start)
    return top


@given(tables(), st.sampled_from([1, 2, 7, 1000]), st.sampled_from([1, 3]), st.sampled_from(TIES))
@settings(max_examples=150, deadline=None)
def test_streamed_ranks_equal_whole_ones(table, size, block, ties):
    scores, gold = table
    whole = [rank_of(row, column, ties) for row, column in zip(scores, gold, strict=True)]
    assert streamed(scores, gold, size, block).ranks(ties).tolist() == whole


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_permuting_entities_keeps_ranks(table, random):
    scores, gold = table
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    moved = np.array([order.index(column) for column in gold])
    assert streamed(scores[:, order], moved, 5).ranks().tolist() == streamed(scores, gold, 5).ranks().tolist()


@given(tables(), st.integers(1, 9), st.sampled_from([1, 2, 7, 1000]))
@settings(max_examples=150, deadline=None)
def test_the_running_top_is_the_sorted_table(table, k, size):
    scores, _ = table
    top = best_rows(scores, k, size)
    for row, rows, values in zip(scores, top.rows(), top.scores(), strict=True):
        usable = [column for column in range(len(row)) if row[column] > -np.inf]
        expected = sorted(usable, key=lambda column: (-row[column], column))[:k]
        assert rows.tolist() == expected + [-1] * (k - len(expected))
        assert values[: len(expected)].tolist() == [row[column] for column in expected]


@given(st.integers(2, 200), st.integers(0, 199), st.sampled_from([1, 7, 64]))
@settings(max_examples=60, deadline=None)
def test_a_constant_scorer_earns_chance(n, gold, size):
    ranks = streamed(np.zeros((1, n), dtype=np.float32), np.array([gold % n]), size).ranks()
    found = summarise(ranks.tolist())
    assert found["mr"] == (n + 1) / 2
    assert found["hits@1"] <= 1 / n


def test_gold_that_scores_a_hair_differently_in_pass_two_is_not_its_own_rival():
    scores = np.array([[0.3, 0.7, 0.1]], dtype=np.float32)
    counter = RankCounter(np.array([0.7 - 1e-6], dtype=np.float32))
    counter.update(scores, np.array([1]))
    assert counter.ranks().tolist() == [1.0]


def test_passes_that_disagree_are_refused():
    counter = RankCounter(np.array([0.7], dtype=np.float32))
    with pytest.raises(InputError, match="two passes"):
        counter.update(np.array([[0.1, 0.4]], dtype=np.float32), np.array([1]))


def test_gold_that_no_chunk_held_is_a_miss():
    counter = RankCounter(np.array([0.7, np.nan], dtype=np.float32))
    counter.update(np.array([[0.1, 0.7], [0.5, 0.2]], dtype=np.float32), np.array([1, -1]))
    assert counter.ranks()[0] == 1
    assert np.isnan(counter.ranks()[1])


def test_a_chunk_out_of_order_is_refused():
    top = TopK(1, 2)
    top.update(np.zeros((1, 3)), 10)
    with pytest.raises(InputError, match="too late"):
        top.update(np.zeros((1, 3)), 0)
