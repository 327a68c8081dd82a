"""Shares of training mentions: nested, whole, reproducible."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melink.errors import InputError
from melink.records import NIL, Entity, Labelled, Mention
from melink.train.shares import draw, linkable

Spec = list[tuple[int, int]]
ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=60)
"""Sentence and entity of each mention."""


def labelled(rows: Spec) -> list[Labelled]:
    return [
        Labelled(Mention(f"m{place}", f"text {said}", "name"), f"Q{gold}", {"sentence_id": said})
        for place, (said, gold) in enumerate(rows)
    ]


def ids(samples: list[Labelled]) -> list[str]:
    return [sample.mention.id for sample in samples]


@settings(deadline=None)
@given(ROWS, st.integers(0, 5), st.sampled_from(["sentence", "mention", "entity"]))
def test_a_share_is_inside_the_larger_ones_and_the_whole_is_the_file(rows: Spec, seed: int, by: str) -> None:
    samples = labelled(rows)
    found = [ids(draw(samples, share, seed, by).samples) for share in (0.5, 5, 10, 50, 100)]  # type: ignore[arg-type]
    for smaller, larger in pairwise(found):
        assert set(smaller) <= set(larger)
    assert found[0] and found[-1] == ids(samples)
    assert all(own == sorted(own, key=lambda id: int(id[1:])) for own in found)


@settings(deadline=None)
@given(ROWS, st.integers(0, 5), st.floats(1, 100))
def test_no_sentence_is_split_and_the_size_is_right(rows: Spec, seed: int, share: float) -> None:
    samples = labelled(rows)
    drawn = draw(samples, share, seed)
    inside = {sample.extra["sentence_id"] for sample in drawn.samples}
    outside = {sample.extra["sentence_id"] for sample in samples if sample not in drawn.samples}
    assert not inside & outside and drawn.sentences == len(inside)
    wanted = max(1, round(len(samples) * share / 100))
    largest = max(sum(said == own for said, _ in rows) for own in inside)
    assert wanted <= len(drawn.samples) < wanted + largest


def test_entities_are_drawn_with_all_their_mentions() -> None:
    samples = labelled([(place, place % 7) for place in range(70)])
    drawn = draw(samples, 30, 1, "entity").samples
    assert len({sample.gold for sample in drawn}) == 3 and len(drawn) == 30


def test_single_mentions_are_drawn_exactly() -> None:
    samples = labelled([(0, place) for place in range(40)])
    assert len(draw(samples, 25, 0, "mention").samples) == 10
    assert len(draw(samples, 25, 0, "sentence").samples) == 40


def test_seeds_differ_and_repeat() -> None:
    samples = labelled([(place, place) for place in range(200)])
    first, again, other = (ids(draw(samples, 10, seed).samples) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("share", [0, -1, 100.1])
def test_a_share_that_cannot_be(share: float) -> None:
    with pytest.raises(InputError, match="above 0 and up to 100"):
        draw(labelled([(0, 0)]), share, 0)


def test_nothing_to_draw_from() -> None:
    with pytest.raises(InputError, match="no mention"):
        draw([], 10, 0)


def test_only_what_can_be_learnt_from(make_kb) -> None:  # type: ignore[no-untyped-def]
    view = make_kb(Entity("Q1", "One")).view()
    mention = Mention("m", "text", "name")
    kept = linkable([Labelled(mention, gold) for gold in ("Q1", "Q2", NIL, None)], view)
    assert [sample.gold for sample in kept] == ["Q1"]
