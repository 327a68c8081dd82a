"""What may be a negative and what may not, which mentions share a batch, and that all of it repeats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melink.train.negatives import (
    NONE,
    NegativesConfig,
    Pools,
    batch_of,
    epoch_batches,
    epoch_size,
    make_pools,
    most_doubles,
    refilled,
    reordered,
)

TEXTS = ["ann, singer", "ann, river", "bob", "ann, singer", "cid", "dan"]
"""Entities 0 and 3 read the same."""


def pools(
    gold: list[int], candidates: list[list[int]], pool: int = 4, easy: list[bool] | None = None, surface: str = "x"
) -> Pools:
    marks = np.asarray(easy if easy is not None else [False] * len(gold))
    return make_pools([surface] * len(gold), np.asarray(gold), candidates, TEXTS, marks, pool)


def drawn(*rows: list[int]) -> np.ndarray:
    return np.asarray(rows, dtype=np.int64)


def negatives(found: Pools, mentions: list[int], hard: np.ndarray) -> list[set[int]]:
    """Return the entities that each mention of a batch is told apart from."""
    batch = batch_of(found, np.asarray(mentions), hard)
    assert (batch.entities[batch.gold] == found.gold[mentions]).all()
    assert batch.allowed[np.arange(len(mentions)), batch.gold].all()
    return [
        {int(entity) for column, entity in enumerate(batch.entities) if may[column] and column != gold}
        for may, gold in zip(batch.allowed, batch.gold, strict=True)
    ]


def test_gold_and_what_reads_the_same_are_never_mined() -> None:
    found = pools([0, 1, 3], [[0, 1, 3, 2], [3, 1, 0], [0, 3]])
    assert found.hard.tolist() == [[1, 2, NONE, NONE], [3, 0, NONE, NONE], [NONE] * 4]


def test_a_pool_keeps_the_likeliest_without_repeats() -> None:
    assert pools([5], [[4, 4, 2, 5, 1, 0]], pool=3).hard.tolist() == [[4, 2, 1]]
    assert pools([5], [[4]], pool=0).hard.shape == (1, 0)


def test_the_gold_of_another_mention_is_a_negative() -> None:
    found = pools([0, 2, 4], [[], [], []])
    assert negatives(found, [0, 1, 2], drawn([NONE], [NONE], [NONE])) == [{2, 4}, {0, 4}, {0, 2}]


def test_a_candidate_of_another_mention_is_a_negative() -> None:
    found = pools([0, 2], [[1], [5]])
    assert negatives(found, [0, 1], drawn([1], [5])) == [{1, 2, 5}, {0, 1, 5}]


def test_two_mentions_of_one_entity_share_its_column() -> None:
    found = pools([2, 2, 4], [[], [], []])
    batch = batch_of(found, np.arange(3), drawn([NONE], [NONE], [NONE]))
    assert batch.entities.tolist() == [2, 4] and batch.gold.tolist() == [0, 0, 1]
    assert negatives(found, [0, 1, 2], drawn([NONE], [NONE], [NONE])) == [{4}, {4}, {2}]


def test_gold_mined_for_another_mention_is_no_negative_of_its_own() -> None:
    found = pools([2, 4], [[4], [2]])
    assert negatives(found, [0, 1], drawn([4], [2])) == [{4}, {2}]
    assert len(batch_of(found, np.arange(2), drawn([4], [2])).entities) == 2


def test_doubles_are_masked_however_they_came_into_the_batch() -> None:
    found = pools([0, 3, 1], [[], [], [0]])
    hard = drawn([NONE], [NONE], [0])
    assert negatives(found, [0, 1, 2], hard) == [{1}, {1}, {0, 3}]
    batch = batch_of(found, np.arange(3), hard)
    assert batch.entities.tolist() == [0, 1, 3]
    assert batch.allowed.tolist() == [[True, True, False], [False, True, True], [True, True, True]]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_holds_in_every_epoch(data: st.DataObject) -> None:
    m = data.draw(st.integers(1, 30))
    places = st.integers(0, len(TEXTS) - 1)
    gold = data.draw(st.lists(places, min_size=m, max_size=m))
    candidates = data.draw(st.lists(st.lists(places, max_size=6), min_size=m, max_size=m))
    easy = data.draw(st.lists(st.booleans(), min_size=m, max_size=m))
    found = pools(gold, candidates, data.draw(st.integers(0, 5)), easy)
    config = NegativesConfig(
        hard=data.draw(st.integers(0, 4)),
        group=data.draw(st.integers(1, 4)),
        easy=data.draw(st.sampled_from([0, 0.5, 1])),
    )
    size = data.draw(st.integers(1, 7))
    batches = epoch_batches(found, config, size, 3, 1)
    assert len(batches) == epoch_size(found, config, size, 3, 1) > 0
    met = np.concatenate([batch.mentions for batch in batches])
    assert len(set(met.tolist())) == len(met)
    assert set(np.flatnonzero(~found.easy)) <= set(met.tolist())
    for batch in batches:
        assert 1 <= len(batch.mentions) <= size
        assert len(set(batch.entities.tolist())) == len(batch.entities)
        for m_, own, may in zip(batch.mentions, batch.gold, batch.allowed, strict=True):
            assert batch.entities[own] == found.gold[m_] and may[own]
            same = found.doubles[batch.entities] == found.doubles[found.gold[m_]]
            assert (may == (~same | (np.arange(len(same)) == own))).all()


def test_each_mention_brings_its_own_candidates() -> None:
    found = pools([0] * 200, [[1, 2, 4, 5]] * 200)
    config = NegativesConfig(hard=2, sharpness=6.0, group=1)
    counts = np.zeros(6, dtype=int)
    for batch in epoch_batches(found, config, 1, 0, 0):
        own = [int(entity) for entity in batch.entities if entity != 0]
        assert len(own) == 2
        counts[own] += 1
    assert counts[1] > counts[2] > counts[4] > counts[5] > 0  # the likeliest more often


def test_without_sharpness_all_are_drawn_alike() -> None:
    found = pools([0] * 400, [[1, 2, 4, 5]] * 400)
    config = NegativesConfig(hard=1, sharpness=0.0, group=1)
    drawn_ = [int(e) for batch in epoch_batches(found, config, 1, 0, 0) for e in batch.entities if e != 0]
    counts = np.bincount(drawn_, minlength=6)[[1, 2, 4, 5]]
    assert counts.sum() == 400 and counts.min() > 70


def named(surfaces: list[str]) -> Pools:
    gold = np.arange(len(surfaces)) % len(TEXTS)
    return make_pools(surfaces, gold, [[]] * len(surfaces), TEXTS, np.zeros(len(surfaces), bool), 0)


def test_confusable_names_share_a_batch() -> None:
    surfaces = [f"{first} {last}" for last in ("Bush", "Lee", "KING", "Öz") for first in ("Ann", "Bob", "Cid", "Dan")]
    found = named(surfaces)
    assert found.surname[:2] == ["bush", "bush"] and found.surname[8] == "king"
    for batch in epoch_batches(found, NegativesConfig(group=4), 4, 0, 0):
        assert len({found.surname[m] for m in batch.mentions}) == 1
    mixed = [
        len({found.surname[m] for m in batch.mentions})
        for batch in epoch_batches(found, NegativesConfig(group=1), 4, 0, 0)
    ]
    assert max(mixed) > 1


def test_a_blank_surface_has_no_surname() -> None:
    assert named(["", " ", "Ann"]).surname == ["", "", "ann"]


def test_an_epoch_is_decided_by_seed_and_number() -> None:
    found = pools([0, 1, 2, 4, 5] * 6, [[1, 2], [0, 4], [5], [2, 0], [1]] * 6)

    def key(seed: int, epoch: int) -> list[tuple[list[int], list[int]]]:
        batches = epoch_batches(found, NegativesConfig(), 4, seed, epoch)
        return [(batch.mentions.tolist(), batch.entities.tolist()) for batch in batches]

    assert key(0, 0) == key(0, 0)
    assert key(0, 0) != key(0, 1) != key(1, 0)


def test_easy_mentions_are_met_at_their_rate() -> None:
    found = pools([0] * 1000, [[1]] * 1000, easy=[n % 2 == 0 for n in range(1000)])
    for rate, least, most in ((0.0, 0, 0), (0.2, 60, 140), (1.0, 500, 500)):
        met = np.concatenate([b.mentions for b in epoch_batches(found, NegativesConfig(easy=rate), 16, 0, 0)])
        assert least <= (met % 2 == 0).sum() <= most and (met % 2 == 1).sum() == 500
    first, second = (
        set(np.concatenate([b.mentions for b in epoch_batches(found, NegativesConfig(easy=0.2), 16, 0, e)]).tolist())
        for e in (0, 1)
    )
    assert first != second  # drawn anew


def test_where_everything_is_easy_everything_is_met() -> None:
    found = pools([0, 1, 2], [[], [], []], easy=[True] * 3)
    assert epoch_size(found, NegativesConfig(easy=0.0), 2, 0, 0) == 2
    assert sorted(np.concatenate([b.mentions for b in epoch_batches(found, NegativesConfig(easy=0.0), 2, 0, 0)])) == [
        0,
        1,
        2,
    ]


def test_pools_are_put_into_a_new_order() -> None:
    found = pools([0, 2], [[1, 2, 4], [5]])
    new = reordered(found, np.array([[0.5, 3.0, 1.0, 9.0], [1.0, 9.0, 9.0, 9.0]], dtype=np.float32))
    assert new.hard.tolist() == [[2, 4, 1, NONE], [5, NONE, NONE, NONE]]
    same = reordered(found, np.zeros((2, 4), dtype=np.float32))
    assert same.hard.tolist() == found.hard.tolist()  # ties keep their order
    assert (new.gold is found.gold, new.easy is found.easy, new.surname is found.surname) == (True, True, True)


def test_pools_are_filled_anew() -> None:
    found = pools([0, 3, 5], [[1], [], [2]], pool=2)
    assert most_doubles(found) == 2 and most_doubles(pools([5], [[1]])) == 1
    new = refilled(found, [[0, 3, 2, 2, 5, 1], [3, 0, NONE, NONE], [4, 5, 1, NONE]])
    assert new.hard.tolist() == [[2, 5], [NONE, NONE], [4, 1]]
    assert (new.gold is found.gold, new.easy is found.easy, new.surname is found.surname) == (True, True, True)


@pytest.mark.parametrize("wrong", [{"easy": 1.5}, {"hard": -1}, {"group": 0}, {"sharpness": -1.0}, {"pol": 3}])
def test_settings_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NegativesConfig.model_validate(wrong)
