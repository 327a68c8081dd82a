"""The hull of a mention's values: no context that attention can form lies outside of what is certified."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from melink.methods.hull import Hull, between, hull_of

EPS = 1e-5
D = 12
KINDS = ("scattered", "alike", "identical", "around", "opposite", "long", "one")


def drawn(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return the centred values of some tokens, in 32 bits."""
    count = 1 if kind == "one" else int(rng.integers(2, 20))
    values = rng.normal(size=(count, D))
    if kind == "alike":
        values = rng.normal(size=D) * 3 + 0.1 * values
    elif kind == "identical":
        values = np.repeat(values[:1], count, 0)
    elif kind == "around":
        values -= values.mean(0)  # the mean of the tokens is the origin
    elif kind == "opposite":
        values = np.concatenate([values, -values * rng.uniform(0.1, 3, (count, 1))])
    elif kind == "long":
        values = 300 * (values - values.mean(0)) + rng.normal(size=D) * 10.0 ** rng.uniform(-4, 2)
    return (values - values.mean(1, keepdims=True)).astype(np.float32)


def cases(each: int = 40) -> Iterator[tuple[str, np.ndarray, np.random.Generator]]:
    rng = np.random.default_rng(4)
    for kind in KINDS:
        for _ in range(each):
            yield kind, drawn(kind, rng), rng


def distance(values: np.ndarray) -> float:
    """Return how far the hull lies from the origin: min ‖Vᵀw‖ over w ≥ 0, Σw = 1, by non-negative least squares."""
    scale = np.abs(values).max()
    matrix = values.T.astype(np.float64) / scale
    # with Σw = s the least of ‖Vᵀw‖² + (1 − s)² lies, for any s, in the direction of the hull's nearest point
    weights, _ = nnls(np.vstack([matrix, np.ones((1, len(values)))]), np.append(np.zeros(D), 1.0), maxiter=10_000)
    return float(np.linalg.norm(matrix @ (weights / weights.sum())) * scale)


def nearest_of(hull: Hull) -> float:
    """Return the certified distance from the origin."""
    return max(0.0, (hull.high**-2 - EPS) * D) ** 0.5


def weighted(count: int, rng: np.random.Generator, many: int = 200) -> np.ndarray:
    """Return convex weights: even, near corners, corners, along edges."""
    flat, sharp = rng.dirichlet(np.ones(count), many), rng.dirichlet(np.full(count, 0.05), many)
    ends = np.eye(count)[rng.integers(0, count, (2, many))]
    along = rng.uniform(size=(many, 1))
    return np.concatenate([flat, sharp, np.eye(count), ends[0] * along + ends[1] * (1 - along)])


def test_no_convex_combination_lies_outside() -> None:
    inside = 0
    for kind, values, rng in cases():
        gained = rng.normal(size=(7, D)) * 10.0 ** rng.uniform(-2, 2, (7, 1))
        gained = (gained - gained.mean(1, keepdims=True)).astype(np.float32)
        hull = hull_of(torch.from_numpy(values), EPS)
        low, high = (x.numpy() for x in between(torch.from_numpy(gained @ values.T), hull))
        context = weighted(len(values), rng) @ values.astype(np.float64)
        spread = np.sqrt((context**2).mean(1) + EPS)
        assert (1 / spread <= hull.high * (1 + 1e-9)).all() and (1 / spread >= hull.low * (1 - 1e-9)).all(), kind
        said = (context @ gained.T.astype(np.float64)) / spread[:, None]
        room = 1e-5 * np.linalg.norm(gained, axis=1) * D**0.5  # what the ranking adds to bounds
        assert (said >= low - room).all() and (said <= high + room).all(), kind
        inside += said.size
    assert inside > 500_000


def test_the_distance_is_never_overstated_and_often_met() -> None:
    met: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind, values, _ in cases():
        certified, true = nearest_of(hull_of(torch.from_numpy(values), EPS)), distance(values)
        longest = float(np.linalg.norm(values, axis=1).max())
        assert certified <= true + 1e-7 * longest, (kind, certified, true)
        if true > 1e-3 * longest:
            met[kind].append(certified / true)
    assert min(met["identical"]) > 0.999 and min(met["one"]) > 0.999
    assert np.median(met["alike"]) > 0.99, "the bound would help nobody"
    assert not met["opposite"] and not met["around"]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e5])
@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_hull_that_holds_the_origin_is_not_taken_for_one_that_does_not(count: int, scale: float) -> None:
    """In 32 bits two values on either side of it show a distance that is nothing but rounding errors."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        values = rng.normal(size=(count, D)) * scale
        values -= values.mean(1, keepdims=True)
        values = (values - rng.dirichlet(np.ones(count)) @ values).astype(np.float32)
        assert nearest_of(hull_of(torch.from_numpy(values), EPS)) <= 1e-6 * scale + 1e-8


def test_bounds_are_met_by_a_single_token() -> None:
    rng = np.random.default_rng(2)
    for sign in (1.0, -1.0):
        values = drawn("one", rng)
        gained = sign * values * 3
        low, high = between(torch.from_numpy(gained @ values.T), hull_of(torch.from_numpy(values), EPS))
        true = float(gained[0] @ values[0]) / np.sqrt(float((values**2).mean()) + EPS)
        assert float(low[0]) <= true <= float(high[0])
        assert float(high[0]) == pytest.approx(true, rel=1e-4) and float(low[0]) == pytest.approx(true, rel=1e-4)


def test_which_end_of_the_range_bounds_which_sign() -> None:
    products = torch.tensor([[-2.0, 3.0], [1.0, 4.0], [-5.0, -1.0], [0.0, 0.0]])
    low, high = between(products, Hull(0.5, 2.0))
    assert low.tolist() == [-4.0, 0.5, -10.0, 0.0] and high.tolist() == [6.0, 8.0, -0.5, 0.0]
