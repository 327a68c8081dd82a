"""Calibration figures against plain loops and against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from melink.evaluate.calibration import BINS, aurc, bins, brier, calibration, coverage, ece

SURE = np.array([0.95, 0.9, 0.9, 0.6, 0.3])
RIGHT = np.array([True, True, False, True, False])


def test_brier_by_hand() -> None:
    assert brier(SURE, RIGHT) == pytest.approx((0.05**2 + 0.1**2 + 0.9**2 + 0.4**2 + 0.3**2) / 5)


def test_ece_by_hand() -> None:
    """Five classes of width .2: {.3}, {.6} at its lower end, {.9, .9, .95}."""
    rows = bins(SURE, RIGHT, 5)
    assert [(row["from"], row["to"], row["n"]) for row in rows] == [(0.2, 0.4, 1), (0.6, 0.8, 1), (0.8, 1.0, 3)]
    assert [row["accuracy"] for row in rows] == pytest.approx([0, 1, 2 / 3])
    assert ece(SURE, RIGHT, 5) == pytest.approx((0.3 + 0.4 + abs(2.75 - 2)) / 5)


def test_certain_answers_are_in_the_last_class() -> None:
    (row,) = bins(np.ones(3), np.array([True, True, False]))
    assert (row["from"], row["n"], row["confidence"]) == (1 - 1 / BINS, 3, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_ece_by_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sure, right = rng.random(400), rng.random(400) < 0.5
    total = 0.0
    for b in range(BINS):
        inside = [i for i in range(400) if b / BINS <= sure[i] < (b + 1) / BINS]
        total += abs(sum(sure[i] for i in inside) - sum(right[i] for i in inside))
    assert ece(sure, right) == pytest.approx(total / 400)


def test_coverage_and_its_area_by_hand() -> None:
    """Equally sure answers share their outcomes: 1, then .5 and .5, then 1, then 0."""
    accuracies = [1, 1.5 / 2, 2 / 3, 3 / 4, 3 / 5]
    points = coverage(SURE, RIGHT)
    assert [share for share, _ in points] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [accuracy for _, accuracy in points] == pytest.approx(accuracies)
    assert aurc(SURE, RIGHT) == pytest.approx(1 - sum(accuracies) / 5)


def test_ties_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(1)
    sure, right = rng.integers(0, 4, 50) / 4, rng.random(50) < 0.6
    order = rng.permutation(50)
    assert aurc(sure[order], right[order]) == pytest.approx(aurc(sure, right))
    assert coverage(np.full(50, 0.5), right)[0][1] == pytest.approx(right.mean())


def test_honest_confidence_has_little_error_and_boasting_much() -> None:
    rng = np.random.default_rng(2)
    sure = rng.random(20_000)
    right = rng.random(20_000) < sure
    honest, boasting = ece(sure, right), ece(np.sqrt(sure), right)
    assert honest is not None and boasting is not None and honest < 0.02 < 0.15 < boasting
    assert aurc(np.sqrt(sure), right) == pytest.approx(aurc(sure, right))


def test_nobody_answered() -> None:
    none = np.zeros(0)
    assert calibration(none, none.astype(bool)) == {
        "n": 0, "ece": None, "brier": None, "aurc": None, "bins": [], "coverage": [],
    }  # fmt: skip
