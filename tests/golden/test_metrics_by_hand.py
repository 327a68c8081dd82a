"""Metrics against values worked by hand and against ir-measures."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest

from melink.errors import InputError
from melink.evaluate.bootstrap import intervals
from melink.evaluate.metrics import summarise
from melink.evaluate.nil import auroc, nil_figures
from melink.ranking.ranks import rank_of


def test_the_figures_of_five_mentions_worked_by_hand():
    found = summarise([1, 2, 4, 11, None])
    assert found["n"] == 5
    assert [found[f"hits@{k}"] for k in (1, 3, 5, 10, 20)] == [1 / 5, 2 / 5, 3 / 5, 3 / 5, 4 / 5]
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 11 + 0) / 5)
    assert found["mr"] == pytest.approx((1 + 2 + 4 + 11) / 4)
    assert found["candidate_recall"] == 4 / 5


def test_misses_may_be_left_out_of_the_list_but_not_of_n():
    assert summarise([1, 2, 4, 11], n=5) == summarise([1, 2, math.nan, 4, 11])


def test_the_name_of_a_figure_derives_from_its_k():
    found = summarise([1, 3, 6], ks=(2, 5))
    assert (found["hits@2"], found["hits@5"]) == (1 / 3, 2 / 3)
    assert "hits@1" not in found


def test_figures_of_nothing_are_none():
    assert summarise([]) == {
        "n": 0, "hits@1": None, "hits@3": None, "hits@5": None, "hits@10": None, "hits@20": None,
        "mrr": None, "mr": None, "candidate_recall": None,
    }  # fmt: skip
    assert summarise([None])["mr"] is None


@pytest.mark.parametrize(("ranks", "n"), [([1, 2], 1), ([0], 1), ([0.5], None)])
def test_impossible_ranks_are_refused(ranks, n):
    with pytest.raises(InputError):
        summarise(ranks, n)


def test_success_and_reciprocal_rank_agree_with_ir_measures():
    rng = np.random.default_rng(3)
    ranks, qrels, run = [], {}, {}
    for query in range(60):
        scores, gold = rng.permutation(40).astype(float), int(rng.integers(0, 50))
        listed = gold < 40
        ranks.append(rank_of(scores, gold) if listed else None)
        qrels[f"q{query}"] = {f"d{gold}": 1}
        run[f"q{query}"] = {f"d{place}": score for place, score in enumerate(scores)}
    measures = {f"hits@{k}": ir_measures.Success @ k for k in (1, 3, 5, 10, 20)} | {"mrr": ir_measures.RR}
    theirs = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    ours = summarise(ranks)
    for name, measure in measures.items():
        assert ours[name] == pytest.approx(theirs[measure], abs=1e-12), name


@pytest.mark.parametrize(("ties", "expected"), [("mean", 3.0), ("optimistic", 2.0), ("pessimistic", 4.0)])
def test_tie_rules_worked_by_hand(ties, expected):
    scores = np.array([0.5, 0.9, 0.5, 0.1, 0.5])  # one better, two others equal
    assert rank_of(scores, 2, ties) == expected


def test_nan_ranks_last_and_never_wins():
    scores = np.array([np.nan, 0.2, np.nan, -5.0])
    assert rank_of(scores, 1) == 1
    assert rank_of(scores, 3) == 2
    assert rank_of(scores, 0) == 1 + 2 + 1 / 2


def test_an_unknown_tie_rule_is_refused():
    with pytest.raises(InputError, match="'best'"):
        rank_of(np.zeros(2), 0, "best")


def test_nil_figures_worked_by_hand():
    is_nil = np.array([True, True, True, False, False, False, False])
    predicted = np.array([True, True, False, True, False, False, False])
    correct = np.array([True, True, False, False, True, True, False])
    score = np.array([0.9, 0.6, 0.3, 0.7, 0.1, 0.3, 0.0])
    found = nil_figures(is_nil, score, predicted, correct)
    assert (found["precision"], found["recall"], found["f1"]) == (2 / 3, 2 / 3, pytest.approx(2 / 3))
    # pairs won by NIL: 0.9 beats 4, 0.6 beats 3, 0.3 beats 2 and ties 1
    assert found["auroc"] == pytest.approx((4 + 3 + 2.5) / 12)
    assert (found["in_kb_accuracy"], found["accuracy"]) == (2 / 4, 4 / 7)


def test_without_nil_mentions_nothing_is_claimed_about_them():
    found = nil_figures(*(np.array(values) for values in ([False, False], [0.1, 0.9], [False, True], [True, False])))
    assert (found["recall"], found["f1"], found["auroc"]) == (None, None, None)
    assert (found["precision"], found["in_kb_accuracy"]) == (0.0, 0.5)


def test_auroc_of_a_constant_is_a_half_and_nan_is_the_lowest():
    positive = np.array([True, False, True, False])
    assert auroc(np.zeros(4), positive) == 0.5
    assert auroc(np.array([np.nan, 0.0, np.nan, 1.0]), positive) == 0.0


def test_the_interval_of_a_share_is_the_binomial_one():
    ranks = [1] * 60 + [2] * 40
    low, high = intervals(ranks, seed=1, resamples=4000)["hits@1"]
    spread = 1.96 * math.sqrt(0.6 * 0.4 / 100)
    assert (low, high) == (pytest.approx(0.6 - spread, abs=0.02), pytest.approx(0.6 + spread, abs=0.02))


def test_intervals_are_seeded_and_ordered():
    ranks = [1, 2, None, 7, 1, 30]
    first = intervals(ranks, seed=4)
    assert first == intervals(ranks, seed=4)
    assert first != intervals(ranks, seed=5)
    assert all(0 <= low <= high <= 1 for low, high in first.values())
    assert intervals([None, None])["mrr"] == [0.0, 0.0]
    assert intervals([]) == {}


def test_the_draws_do_not_depend_on_the_block_size(monkeypatch):
    ranks = [1, 2, None, 7, 1, 30]
    whole = intervals(ranks, seed=4)
    monkeypatch.setattr("melink.evaluate.bootstrap._CELLS", 20)
    assert intervals(ranks, seed=4) == whole
