"""The nouns are values: frozen, equal by content, and without gold."""

from __future__ import annotations

import dataclasses

import pytest

from melink.records import NIL, Entity, Labelled, Link, Mention, Scored, Triple


@pytest.mark.parametrize(
    "record", [Triple("r", "t"), Entity("Q1", "a"), Mention("1", "t", "s"), Scored("Q1", "a", 1.0)]
)
def test_records_are_frozen(record: object) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, "other")  # type: ignore[arg-type]


def test_a_mention_cannot_hold_gold() -> None:
    fields = {field.name for field in dataclasses.fields(Mention)}
    assert fields == {"id", "text", "surface", "start", "end", "image", "triples", "attributes"}
    assert "gold" in {field.name for field in dataclasses.fields(Labelled)}


def test_names_are_label_then_aliases_once() -> None:
    assert Entity("Q1", "b", ("a", "b", "c", "a")).names == ("b", "a", "c")


def test_words_of_a_triple() -> None:
    assert Triple("P106", "Q33999", relation_label="occupation", tail_label="actor").words() == "occupation: actor"
    assert Triple("P106", "Q33999").words() == "P106: Q33999"


def test_the_answer_of_a_link() -> None:
    mention, found = Mention("1", "t", "s"), (Scored("Q1", "a", 1.0), Scored("Q2", "b", 0.5))
    assert Link(mention, found).id == "Q1"
    assert Link(mention, found, nil=True).id == NIL
    assert Link(mention).id == NIL
