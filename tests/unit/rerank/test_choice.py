"""Only what was offered can be chosen, whatever the answer says and whatever the texts hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melink.records import NIL
from melink.rerank.choice import Choices

CHOICES = Choices({"k47": "Q1", "b12": "Q2", "z90": "Q3"})


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("k47", "Q1"),
        ("  B12.\n", "Q2"),
        ("The answer is [z90], not k47.", "Q3"),
        ("**k47**", "Q1"),
        ("答案是k47。", "Q1"),
        ("k47b12 xk47 k470 k47_ b-12 b12", "Q2"),
        ("<think>it could be b12</think> z90", "Q3"),
        ("it could be b12 </think> z90", "Q3"),
        ("<think>b12, no, wait", None),
        ('{"id": "k47"}', "Q1"),
        ('{"id": " K47 "}', "Q1"),
        ('{"id": "[k47]", "why": "b12 is older"}', "Q1"),
        ('{"why": "b12 is older", "id": "k47"}', "Q1"),
        ('{"why": "b12 is older", "id": "Q1"}', None),
        ('{"why": "b12 is older", "id": null}', None),
        ('{"id": ["b12"]}', "Q2"),  # one, in a list
        ('{"ids": ["b12"]}', "Q2"),
        ('{"id": ["b12", "z90"]}', None),  # several: nobody knows which
        ('{"ids": ["b12", "z90"]}', None),
        ('{"id": []}', None),
        ('{"ids": []}', None),
        ('{"id": ["Q1"]}', None),
        ('{"id": [["k47"]]}', None),
        ('{"ids": ["b12"], "id": "z90"}', "Q3"),
        ('{"ids": "b12"}', "Q2"),
        ('{"answer": "z90"}', "Q3"),
        ('```json\n{"id": "z90"}\n```', "Q3"),
        ('{"id": "z90', "Q3"),
        ("Q1", None),
        ("1", None),
        ("", None),
        ("none of them", None),
        ("ｋ47", None),
        ("\u212a47", None),
    ],
)
def test_one(said: str, chosen: str | None) -> None:
    assert CHOICES.one(said) == chosen


@pytest.mark.parametrize(
    ("said", "order"),
    [
        ("z90 > k47 > b12", ["Q3", "Q1", "Q2"]),
        ("b12", ["Q2", "Q1", "Q3"]),
        ("b12, b12, k99, z90, Q7", ["Q2", "Q3", "Q1"]),
        ('{"ids": ["z90", "z90", "x11", 7, null, "k47"]}', ["Q3", "Q1", "Q2"]),
        ('{"ids": "b12 then z90", "note": "k47"}', ["Q2", "Q3", "Q1"]),
        ('{"ids": []}', None),
        ('{"ids": {"k47": 1}}', None),
        ("1. Q3\n2. Q1", None),
        ("", None),
    ],
)
def test_ranked(said: str, order: list[str] | None) -> None:
    assert CHOICES.ranked(said) == order


def test_another_field() -> None:
    said = '{"triples": ["k47"], "entity": "b12", "order": ["z90"]}'
    assert CHOICES.one(said, "entity") == "Q2"
    assert CHOICES.ranked(said, "order") == ["Q3", "Q1", "Q2"]


@given(st.text(), st.sampled_from(["id", "ids"]))
def test_any_text_chooses_an_entity_or_nothing(said: str, field: str) -> None:
    for text in (said, f"{{{json.dumps(field)}: {said}}}", json.dumps({field: said}), f"{said} k47 {said}"):
        assert CHOICES.one(text) in {None, "Q1", "Q2", "Q3"}
        assert sorted(CHOICES.ranked(text) or ["Q1", "Q2", "Q3"]) == ["Q1", "Q2", "Q3"]


def test_deep_json_is_no_choice() -> None:
    assert CHOICES.one('{"id": ' + "[" * 200_000) is None
    assert CHOICES.one('{"id": ' + "[" * 200_000 + "k47") is None


def test_local_ids_are_new_short_and_repeatable() -> None:
    entities = [f"Q{n}" for n in range(16)]
    choices = Choices.offer(entities, ["some text"], seed=3)
    assert list(choices.ids.values()) == entities
    assert all(len(local) == 3 for local in choices.ids)
    assert choices == Choices.offer(entities, ["some text"], seed=3)
    assert choices != Choices.offer(entities, ["some text"], seed=4) != Choices.offer(entities, ["other"], seed=4)
    assert [choices.ids[choices.local(entity)] for entity in entities] == entities
    with pytest.raises(KeyError):
        choices.local("Q99")
    with pytest.raises(ValueError, match="twice"):
        Choices.offer(["Q1", "Q1"])


def test_ids_change_with_the_sentence_only_where_it_holds_one() -> None:
    """So that a server can reuse the candidates that stand before the sentence."""
    entities = [f"Q{n}" for n in range(8)]
    plain = Choices.offer(entities, ["some text"])
    assert Choices.offer(entities, ["some text"], last=["One sentence", "name"]) == plain
    taken = list(plain.ids)[3]
    other = Choices.offer(entities, ["some text"], last=[f"answer {taken[0]}-{taken[1:]}"])
    assert taken not in other.ids and list(other.ids)[:3] == list(plain.ids)[:3]


def test_nil_is_offered_last() -> None:
    choices = Choices.offer(["Q1"], nil=True)
    assert list(choices.ids.values()) == ["Q1", NIL]
    assert choices.one(choices.local(NIL)) == NIL


HIDDEN = ("{0}", "{0[0]} {0[1]} {0[2]}", "{0[0]}\u200b{0[1]}\u00ad{0[2]}", "x{0}y", "{0[0]}-{0[1]}.{0[2]}")
FILLED = tuple(f"{{0[0]}}{filler}{{0[1]}}{{0[2]}}" for filler in "\u115f\u1160\u3164\uffa0\u2800\u034f\U000e0061")
"""With a letter inside that shows nothing and that prompts leave out."""


@pytest.mark.parametrize("shape", [*HIDDEN, *FILLED, "upper", "wide", "arabic"])
def test_no_local_id_stands_in_the_texts(shape: str) -> None:
    """A text that names all short ids, however spelt, leaves only longer ones."""
    every = [f"{letter}{number}" for letter in "bcdfghjkmnpqrstvwxz" for number in range(10, 100)]
    wide = {ord(letter): ord(letter) + 0xFEE0 for letter in "bcdfghjkmnpqrstvwxz0123456789"}
    arabic = {ord(str(n)): 0x0660 + n for n in range(10)}
    spelt = {
        "upper": [each.upper() for each in every],
        "wide": [each.translate(wide) for each in every],
        "arabic": [each.translate(arabic) for each in every],
    }.get(shape) or [shape.format(each) for each in every]
    choices = Choices.offer([f"Q{n}" for n in range(8)], [" ".join(spelt)])
    assert not set(every) & set(choices.ids)
    assert len(choices.ids) == 8


def test_schemas_name_what_is_offered() -> None:
    one, every = CHOICES.schema_of_one(), CHOICES.schema_of_all()
    assert one["properties"]["id"]["enum"] == ["k47", "b12", "z90"] and one["required"] == ["id"]
    assert (every["properties"]["ids"]["minItems"], every["properties"]["ids"]["maxItems"]) == (3, 3)
    assert one["additionalProperties"] is every["additionalProperties"] is False
