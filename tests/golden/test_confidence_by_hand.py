"""Temperature and NIL: the probabilities by hand, and a fit that finds what was planted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from melink.methods.confidence import COLDEST, Confidence, fit


def test_probabilities_by_hand() -> None:
    found, nil = Confidence(temperature=0.5, nil=0.2).probabilities([0.9, 0.4])
    weights = [math.exp(0.9 / 0.5), math.exp(0.4 / 0.5), math.exp(0.2 / 0.5)]
    assert [*found, nil] == pytest.approx([weight / sum(weights) for weight in weights])


@pytest.mark.parametrize("scores", [[], [0.0], [5.0, 5.0], [1e6, -1e6], [-900.0, -901.0], list(range(100))])
@pytest.mark.parametrize("nil", [-math.inf, 0.0, 1e5])
@pytest.mark.parametrize("temperature", [COLDEST, 0.1, 100.0])
def test_probabilities_sum_to_one(scores: list[float], nil: float, temperature: float) -> None:
    found, missing = Confidence(temperature, nil).probabilities(scores)
    assert found.sum() + missing == pytest.approx(1.0)
    assert np.isfinite(found).all() and (found >= 0).all() and missing >= 0
    order = np.argsort(scores, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    if nil == -math.inf and scores:
        assert missing == 0.0


def test_nobody_to_choose_from_is_nil() -> None:
    assert Confidence(0.1, -math.inf).probabilities([])[1] == 1.0
    assert Confidence(0.1, 0.3).probabilities([])[1] == 1.0


def planted(temperature: float, nil: float, n: int, seed: int) -> tuple[list[list[float]], list[int | None]]:
    """Draw answers from the model itself."""
    rng = np.random.default_rng(seed)
    scores, gold = [], []
    truth = Confidence(temperature, nil)
    for _ in range(n):
        own = sorted(rng.normal(1.0, 0.4, 8).tolist(), reverse=True)
        chances, missing = truth.probabilities(own)
        answer = int(rng.choice(9, p=[*chances, missing]))
        scores.append(own)
        gold.append(None if answer == 8 else answer)
    return scores, gold


def test_fit_finds_what_was_planted() -> None:
    found = fit(*planted(0.25, 1.3, 1500, 0), Confidence(0.05, 0.5))
    assert found.fitted
    assert found.temperature == pytest.approx(0.25, rel=0.15)
    assert found.nil == pytest.approx(1.3, abs=0.05)


def test_fit_beats_its_start() -> None:
    scores, gold = planted(0.4, 1.0, 300, 1)

    def likelihood(confidence: Confidence) -> float:
        chances = [confidence.probabilities(own) for own in scores]
        return sum(math.log(nil if g is None else c[g]) for (c, nil), g in zip(chances, gold, strict=True))

    start = Confidence(0.1, 0.5)
    assert likelihood(fit(scores, gold, start)) > likelihood(start)


def test_without_nil_the_nil_score_is_kept() -> None:
    scores, gold = planted(0.3, -math.inf, 400, 2)
    assert None not in gold
    for nil in (-math.inf, 0.7):
        found = fit(scores, gold, Confidence(0.1, nil))
        assert found.nil == nil and found.fitted
    assert fit(scores, gold, Confidence(0.1)).temperature == pytest.approx(0.3, rel=0.25)


def test_nothing_is_fitted_without_data() -> None:
    start = Confidence(0.07, 0.4)
    assert fit([], [], start) is start


def test_perfect_data_do_not_freeze_it() -> None:
    """Separable answers push T towards 0, where nothing can be computed any more."""
    found = fit([[1.0, 0.0]] * 50, [0] * 50, Confidence(0.1, -math.inf))
    assert found.temperature >= COLDEST
    assert round(found.temperature, 6) > 0
    assert found.probabilities([1.0, 0.0])[0].tolist() == pytest.approx([1.0, 0.0])


def test_mentions_without_candidates_can_be_fitted_on() -> None:
    found = fit([[], [0.9, 0.1], [0.2]], [None, 0, None], Confidence(0.1, 0.5))
    assert found.temperature > 0 and math.isfinite(found.nil)
