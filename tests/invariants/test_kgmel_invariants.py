"""KGMEL's vector of an item depends on that item alone: not on its company, on the order of its facts, on padding."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from melink.methods import kgmel_tower as module
from melink.methods.kgmel_inputs import Facts, Items, chosen
from melink.methods.kgmel_tower import Tower, TowerSettings

DT, DV, D = 5, 4, 6
RELATIONS, TAILS = 4, 7
TOPS = st.sampled_from([1, 2, 3, None])


def random_tower(top: int | None = 3, pictures: bool = True, seed: int = 0) -> Tower:
    """Return a tower in 64 bits whose every parameter is random."""
    tower, g = Tower(DT, DV if pictures else None, TowerSettings(width=D, top=top)), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=g))
    return tower.double().eval().requires_grad_(False)


def made(own: list[list[tuple[int, int]]], seed: int = 1) -> Items:
    """Return items with given facts; the vectors of an item are those of its place, of a text those of its number."""
    vectors = np.random.default_rng(seed)
    relations, tails = vectors.normal(size=(RELATIONS, DT)), vectors.normal(size=(2000, DT))
    rows = [np.random.default_rng([seed, place]) for place in range(len(own))]
    text = np.asarray([row.normal(size=DT) for row in rows]).reshape(-1, DT)
    image = np.asarray([row.normal(size=DV) for row in rows]).reshape(-1, DV)
    seen = np.asarray([row.random() < 0.5 for row in rows], bool)
    pairs = sorted({each for mine in own for each in mine})
    at = {pair: place for place, pair in enumerate(pairs)}
    places = np.asarray([at[each] for mine in own for each in mine], np.int64)
    bounds = np.cumsum([0, *map(len, own)])
    facts = Facts(relations, tails, np.asarray(pairs, np.int64).reshape(-1, 2), bounds, places)
    return Items(text, np.where(seen[:, None], image, 0.0), seen, facts)


def vectors(tower: Tower, items: Items, rows: list[int] | None = None) -> torch.Tensor:
    places = np.arange(len(items.text)) if rows is None else np.asarray(rows, np.int64)
    return F.normalize(tower(items.take(places, "cpu", torch.float64)).whole(), dim=-1)


FACTS = st.lists(st.tuples(st.integers(0, RELATIONS - 1), st.integers(0, TAILS - 1)), max_size=9, unique=True)
ITEMS = st.lists(FACTS, min_size=1, max_size=7)


@given(ITEMS, TOPS, st.booleans())
@settings(max_examples=40, deadline=None)
def test_one_at_a_time_is_all_at_once(own, top, pictures):
    tower, items = random_tower(top, pictures), made(own)
    alone = torch.cat([vectors(tower, items, [row]) for row in range(len(own))])
    torch.testing.assert_close(alone, vectors(tower, items), rtol=1e-9, atol=1e-9)


@given(ITEMS, TOPS, st.integers(10, 200))
@settings(max_examples=40, deadline=None)
def test_a_longer_neighbour_changes_nothing(own, top, long):
    tower = random_tower(top)
    neighbour = [(place % RELATIONS, place) for place in range(long)]
    together = vectors(tower, made([*own, neighbour]))[: len(own)]
    torch.testing.assert_close(together, vectors(tower, made(own)), rtol=1e-9, atol=1e-9)


@given(ITEMS, TOPS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_facts_changes_nothing(own, top, random):
    tower, moved = random_tower(top), [random.sample(mine, len(mine)) for mine in own]
    torch.testing.assert_close(vectors(tower, made(moved)), vectors(tower, made(own)), rtol=1e-9, atol=1e-9)


@given(ITEMS, TOPS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_permuting_the_items_permutes_the_scores(own, top, random):
    tower, items, rows = random_tower(top), made(own), list(range(len(own)))
    random.shuffle(rows)
    queries = vectors(tower, made([[(0, 0)], [(1, 3), (2, 1)]], seed=2))
    scores = queries @ vectors(tower, items).T
    torch.testing.assert_close(queries @ vectors(tower, items, rows).T, scores[:, rows], rtol=1e-9, atol=1e-9)


@given(ITEMS, st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_how_the_work_is_cut_changes_nothing(own, block):
    tower, items = random_tower(None), made(own)
    whole, before = vectors(tower, items), module.BLOCK
    try:
        module.BLOCK = block
        cut = vectors(tower, items)
    finally:
        module.BLOCK = before
    torch.testing.assert_close(cut, whole, rtol=1e-9, atol=1e-9)


def test_a_thousand_facts_beside_none():
    tower = random_tower(5)
    many = [(place % RELATIONS, place) for place in range(1500)]
    items = made([many, [], many[:1]])
    terms = tower(items.take(np.arange(3), "cpu", torch.float64))
    assert int((terms.weights[:1500] > 0).sum()) == 5 and terms.weights[-1] == 1
    assert not terms.triples[1].any() and terms.triples[[0, 2]].any(dim=1).all()
    assert terms.whole().isfinite().all()


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.text("xyz ", max_size=3)), max_size=60), st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_facts_are_chosen_as_pairs_and_by_what_they_are(facts, most):
    found = chosen(facts, most)
    known = {own for own in facts if own[1].strip()}
    assert len(found) == min(most, len(known)) and set(found) <= known  # never a relation with another's tail
    assert found == chosen(reversed([*facts, *facts]), most)
    relations = {relation for relation, _ in known}
    assert len({relation for relation, _ in found}) == min(most, len(relations))


@given(st.lists(st.integers(0, 500), min_size=30, max_size=60, unique=True), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_a_larger_choice_holds_the_smaller(tails, most):
    facts = [(f"r{tail % 4}", str(tail)) for tail in tails]
    assert set(chosen(facts, most)) <= set(chosen(facts, most + 5))


def test_no_fact_is_favoured_by_the_alphabet():
    facts = [("occupation", f"{place:04}") for place in range(1000)]
    kept = [int(tail) for _, tail in chosen(facts, 100)]
    assert 300 < np.mean(kept) < 700 and kept == sorted(kept)
