"""Paired tests against plain loops, every possible resample, and scipy's own t-test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from melink.evaluate.bootstrap import clusters, intervals, resampled
from melink.evaluate.paired import differences, holm, t_test

# four sentences with 3, 1, 2 and 2 mentions; the first system finds 3 mentions that the second misses, and misses one
SENTENCES = ["a", "a", "b", "a", "c", "c", "d", "d"]
DIFFERENCES = [1.0, 1.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0]
GROUPS = clusters(SENTENCES)
COLUMN = np.array(DIFFERENCES)[:, None]


def every_resample() -> list[float]:
    """Return the mean difference of each of the 4⁴ equally likely draws of four sentences."""
    held: dict[str, list[float]] = {}
    for name, value in zip(SENTENCES, DIFFERENCES, strict=True):
        held.setdefault(name, []).append(value)
    means = []
    for draw in itertools.product(held.values(), repeat=4):
        total = count = 0.0
        for sentence in draw:
            for value in sentence:
                total += value
                count += 1
        means.append(total / count)
    return sorted(means)


def test_sentences_are_numbered_and_unknown_ones_stand_alone():
    assert clusters(["x", None, "y", "x", None, ""]).tolist() == [0, 1, 2, 0, 3, 4]
    assert clusters([]).tolist() == []


def test_the_bootstrap_is_the_distribution_over_every_resample():
    exact = every_resample()
    (found,) = differences(COLUMN, GROUPS, seed=1, resamples=40_000)
    assert found.mean == pytest.approx(2 / 8)
    assert (found.low, found.high) == (pytest.approx(exact[6]), pytest.approx(exact[249]))  # 2.5 % of 256 is 6.4
    as_far = sum(abs(value - 2 / 8) >= 2 / 8 for value in exact) / 256  # quarters and eighths are exact
    assert 0.1 < as_far < 0.9
    assert found.p == pytest.approx(as_far, abs=0.01)
    drawn = resampled(COLUMN, GROUPS, 1, 40_000)[:, 0]
    assert drawn.mean() == pytest.approx(sum(exact) / 256, abs=0.01)


def test_the_t_test_over_sentences_by_hand():
    # sums 2, 0, -1, 1 of 3, 1, 2, 2 mentions; mean 1/4; sums less what the mean would give: 5/4, -1/4, -3/2, 1/2
    squares = (5 / 4) ** 2 + (1 / 4) ** 2 + (3 / 2) ** 2 + (1 / 2) ** 2
    t = (1 / 4) / (math.sqrt(4 / 3 * squares) / 8)
    found, p = t_test(np.array(DIFFERENCES), GROUPS)
    assert found == pytest.approx(t)
    assert p == pytest.approx(2 * stats.t.sf(t, 3))


def test_with_one_mention_in_each_sentence_it_is_the_ordinary_paired_t_test():
    rng = np.random.default_rng(2)
    one, other = rng.random(40), rng.random(40)
    theirs = stats.ttest_rel(one, other)
    assert t_test(one - other, np.arange(40)) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_what_never_differs_is_no_difference():
    groups = np.arange(5)
    (same,) = differences(np.zeros((5, 1)), groups, resamples=200)
    assert (same.mean, same.low, same.high, same.p, same.t, same.p_t) == (0, 0, 0, 1, None, 1)
    (always,) = differences(np.full((5, 1), 0.1), groups, resamples=200)
    assert (always.mean, always.p, always.t, always.p_t) == (pytest.approx(0.1), 1 / 201, None, 0)
    assert t_test(np.array([1.0, 0.0]), np.zeros(2, dtype=np.int64)) == (None, None)  # one sentence tells nothing


def test_swapping_the_systems_turns_every_sign():
    (one,), (other,) = (differences(sign * COLUMN, GROUPS, seed=3, resamples=999) for sign in (1, -1))
    assert other.mean == -one.mean and other.t == pytest.approx(-one.t)
    assert (other.p, other.p_t) == (one.p, pytest.approx(one.p_t))
    assert (other.low, other.high) == (pytest.approx(-one.high), pytest.approx(-one.low))


def test_repeating_every_mention_of_a_sentence_brings_no_evidence():
    ranks: list[float | None] = [1, 2, None, 7, 1, 30, 1, 4]
    names = [f"s{place}" for place in range(len(ranks))]
    wide = intervals(ranks, seed=4)
    assert {name: pytest.approx(ends) for name, ends in wide.items()} == intervals(ranks * 5, 4, names * 5)
    apart = np.linspace(-0.2, 0.6, 8)
    once = differences(apart[:, None], np.arange(8), resamples=500)[0]
    often = differences(np.tile(apart, 5)[:, None], np.tile(np.arange(8), 5), resamples=500)[0]
    assert (often.low, often.high, often.p) == (pytest.approx(once.low), pytest.approx(once.high), once.p)
    assert (often.t, often.p_t) == (pytest.approx(once.t), pytest.approx(once.p_t))
    naive = differences(np.tile(apart, 5)[:, None], np.arange(40), resamples=500)[0]
    assert naive.high - naive.low < 0.7 * (once.high - once.low)  # drawn by mention, an interval would be too narrow


def test_chance_is_found_significant_as_often_as_promised():
    rng, by_bootstrap, by_t, naive = np.random.default_rng(5), 0, 0, 0
    groups = np.repeat(np.arange(60), 4)
    for _ in range(200):
        values = np.repeat(rng.normal(size=60), 4) + 0.3 * rng.normal(size=240)
        (found,) = differences(values[:, None], groups, resamples=400)
        by_bootstrap += found.p < 0.05
        by_t += found.p_t is not None and found.p_t < 0.05
        naive += stats.ttest_1samp(values, 0).pvalue < 0.05
    assert by_t <= 20 and by_bootstrap <= 22  # 10 are expected; 20 or more come once in 300 times
    assert naive > 40


def test_few_mentions_won_are_weighed_as_a_sign_test_does():
    values = np.zeros((200, 1))
    values[:6] = 1
    (found,) = differences(values, np.arange(200))
    by_poisson = stats.poisson.cdf(0, 6) + stats.poisson.sf(11, 6)  # six draws of 200, or none, or twelve and more
    assert found.p == pytest.approx(by_poisson, abs=0.006)
    assert abs(found.p - stats.binomtest(6, 6).pvalue) < 0.015


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 × .01, then 2 × .03, never below it
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
