"""Whom to ask: the curve, the fitted margin, and what it says about itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from melink.errors import InputError
from melink.evaluate.gate import Both, asked_curve, fit_margin
from melink.evaluate.outcome import Outcome
from melink.evaluate.plots import asked_plot
from melink.records import Link, Mention, Scored


def both(*rows: tuple[float, int, int]) -> Both:
    ahead, before, after = zip(*rows, strict=True)
    return Both(np.array(ahead, float), np.array(before, bool), np.array(after, bool), np.arange(len(rows)))


FOUR = both((0.1, 0, 1), (0.2, 0, 1), (0.3, 1, 1), (0.9, 1, 0))


def test_the_curve_by_hand() -> None:
    # before: 2 of 4; asking about the closest one, two, three: 3, 4, 4; about all: the last one is spoiled
    assert asked_curve(FOUR) == [(0.0, 0.5), (25.0, 0.75), (50.0, 1.0), (75.0, 1.0), (100.0, 0.75)]
    alone = both((0.1, 0, 1), (np.inf, 1, 1))
    assert asked_curve(alone) == [(0.0, 0.5), (50.0, 1.0)]  # nobody to choose from: never asked
    plot = asked_plot({"oracle": asked_curve(FOUR), "chance": asked_curve(alone)})
    assert plot.count("<polyline") == 2 and "mentions asked about" in plot


def test_the_margin_asks_about_as_few_as_it_can() -> None:
    gate = fit_margin(FOUR, 0.0)
    assert (gate.margin, gate.asked, gate.saved) == (0.1, 0.25, 0.75)  # 3 of 4 are right, as when all are asked
    assert (gate.hits, gate.hits_all, gate.hits_none, gate.loss) == (0.75, 0.75, 0.5, 0.0)
    assert fit_margin(both((0.1, 0, 1), (0.2, 0, 1), (0.3, 1, 1)), 0.0).margin == 0.2
    assert fit_margin(both((0.1, 0, 1), (0.2, 0, 1), (0.3, 1, 1)), 0.34).margin == 0.1
    useless = fit_margin(both((0.1, 1, 0), (0.2, 1, 0)))
    assert (useless.margin, useless.asked, useless.saved, useless.loss) == (0.0, 0.0, 1.0, -1.0)
    tied = fit_margin(both((0.0, 0, 1), (0.0, 1, 1), (0.4, 1, 1)), 0.0)
    assert (tied.margin, tied.asked) == (0.0, 2 / 3)  # equal scores are never sure
    with pytest.raises(InputError, match="no mention"):
        fit_margin(Both(*(np.zeros(0) for _ in range(4))))


def test_what_is_lost_is_bounded() -> None:
    rows = [(0.1, 0, 1)] * 50 + [(0.9, 1, 1)] * 48 + [(0.9, 0, 1)] * 2
    gate = fit_margin(both(*rows), 0.02)
    assert gate.margin == 0.1 and gate.loss == pytest.approx(0.02)
    assert binom.cdf(2, 100, gate.bound) == pytest.approx(0.05)  # two losses or fewer are then seen once in twenty
    assert gate.loss_elsewhere is not None and gate.saved_elsewhere is not None
    assert "50.0% of the calls saved" in str(gate) and gate.to_dict()["margin"] == 0.1


def test_folds_keep_sentences_whole() -> None:
    one = Both(np.array([0.1, 0.2]), np.array([False, True]), np.array([True, True]), np.zeros(2, int))
    assert fit_margin(one).loss_elsewhere is None


def test_outcomes_are_read() -> None:
    def judged(rank: float | None, *scores: float, linkable: bool = True, sentence: str | None = None) -> Outcome:
        found = tuple(Scored(f"Q{n}", "", score) for n, score in enumerate(scores))
        mention = Mention("1", "text", "name")
        return Outcome(mention, "Q0", linkable, rank, 2, Link(mention, found), sentence=sentence)

    before = [judged(2.0, 0.9, 0.7, sentence="a"), judged(1.0, 0.5, sentence="b"), judged(None, linkable=False)]
    after = [judged(1.0, 0.7, 0.9), judged(1.5, 0.5), judged(None, linkable=False)]
    found = Both.of(before, after)
    np.testing.assert_allclose(found.ahead, [0.2, np.inf])
    assert found.before.tolist() == [False, True] and found.after.tolist() == [True, False]
    assert found.groups.tolist() == [0, 1] and len(found) == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1, max_size=40), st.floats(0, 0.2))
def test_a_margin_never_loses_more_than_is_allowed(rows: list[tuple[float, bool, bool]], most: float) -> None:
    own = both(*((ahead, int(one), int(other)) for ahead, one, other in rows))
    gate = fit_margin(own, most)
    assert gate.loss <= most + 1e-9 and 0 <= gate.saved <= 1 and 0 <= gate.bound <= 1
    assert gate.hits == own.hits(gate.margin)
    smaller = own.ahead[own.ahead < gate.margin]
    assert not len(smaller) or own.hits(smaller.max()) < gate.hits_all - most + 1e-9  # a smaller one would not do
    shares = [x for x, _ in asked_curve(own)]
    assert shares == sorted(set(shares)) and shares[-1] == 100
