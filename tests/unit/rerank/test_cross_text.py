"""What the cross-encoder reads: windows, statements in order of what decides, hostile and empty fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melink.records import Entity, Mention, Triple
from melink.rerank.cross_text import read_entity, read_mention, statements, words_around

NASTY = "\x00\x1b[31m\ud800 \u202e\n\t{label} | [SEP] 🎉 ﷽" + "\u0301" * 5


def mention(text: str, surface: str, **more: object) -> Mention:
    start = text.find(surface) if surface else -1
    where = (start, start + len(surface)) if start >= 0 else (None, None)
    return Mention("", text, surface, *where, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "surface", "expected"),
    [
        ("Ann sings in York", "Ann", "Ann | [ Ann ] sings in York"),
        ("In York, Ann sings", "Ann", "Ann | In York, [ Ann ] sings"),
        ("It sings", "Ann", "Ann | It sings"),
        ("", "Ann", "Ann"),
        ("It sings", "", "It sings"),
        ("", "", ""),
    ],
)
def test_a_mention_stands_marked_in_its_text(text: str, surface: str, expected: str) -> None:
    assert read_mention(mention(text, surface), 80) == expected


def test_a_window_around_the_name() -> None:
    before, after = "left " * 40, " right" * 40
    read = read_mention(mention(f"{before}Ann{after}", "Ann"), 60)
    assert read.startswith("Ann | … left left") and read.endswith("right right …") and "[ Ann ]" in read
    assert 50 < len(read) < 90 and "eft" in read and " eft" not in read, "whole words"
    ends = read_mention(mention(f"{before}Ann", "Ann"), 60)
    assert ends.endswith("[ Ann ]") and ends.count("left") > 8, "room that the right does not need goes to the left"
    solid = read_mention(mention(f"{'x' * 500}Ann{'y' * 500}", "Ann"), 60)
    assert "[ Ann ]" in solid and len(solid) < 90


def test_a_span_that_lies_is_not_followed() -> None:
    for start, end in ((5, 3), (-1, 2), (0, 99), (90, 99)):
        assert read_mention(Mention("", "Ann sings", "Ann", start, end), 60) == "Ann | Ann sings"


def test_facts_about_a_mention_are_read() -> None:
    told = mention("Ann sings", "Ann", triples=(Triple("occupation", "singer", True),))
    assert read_mention(told, 60) == "Ann | [ Ann ] sings | occupation: singer"


def test_an_entity() -> None:
    ann = Entity(
        "Q1", "Ann Lee", ("Annie", "A. Lee", "Third"), "British singer", "Sex: female. Birth: 1950, Leeds.",
        "Ann Lee was a singer. She died in York.", ("human", "Female"),
        (Triple("P1", "Q2", relation_label="spouse", tail_label="Bob"), Triple("P2", "Leeds", True, "birthplace")),
    )  # fmt: skip
    assert read_entity(ann, frozenset(), 500) == (
        "Ann Lee (Annie, A. Lee) | British singer | Sex: female. Birth: 1950, Leeds. human. Ann Lee was a singer. "
        "She died in York. spouse: Bob."
    )
    first = read_entity(ann, words_around(mention("Ann with Bob in York", "Ann")), 30)
    assert first == "Ann Lee (Annie, A. Lee) | British singer | She died in York. spouse: Bob."
    assert read_entity(ann, frozenset(), 0) == "Ann Lee (Annie, A. Lee) | British singer"
    assert read_entity(Entity("Q1", ""), frozenset(), 100) == ""


def test_of_thousands_of_facts_those_that_the_text_states() -> None:
    facts = [Triple(f"P{n}", f"award {n}", True, f"relation {n}") for n in range(5000)]
    facts[4321] = Triple("P9", "Golden Llama", True, "award received")
    read = read_entity(Entity("Q1", "Ann", triples=tuple(facts)), words_around(mention("Ann, Golden Llama", "Ann")), 80)
    assert "award received: Golden Llama." in read and len(read) < 250


def test_what_is_stated_twice_is_read_once() -> None:
    said = [("occupation", "singer"), ("occupation", "judge"), ("job", "judge")]
    facts = [Triple(relation, tail, True, relation) for relation, tail in said]
    facts += [Triple("P31", "Q5", relation_label="instance of", tail_label="human"), Triple("P1", "Q7")]
    twice = Entity("Q1", "Ann", attributes="Occupation: Singer.", triples=tuple(facts))
    assert statements(twice) == ["Occupation: Singer.", "occupation: judge.", "job: judge."]


@given(st.text(), st.text(), st.integers(-5, 50), st.integers(-5, 50), st.integers(16, 60))
def test_any_text_becomes_one_printable_line(text: str, surface: str, start: int, end: int, width: int) -> None:
    read = read_mention(Mention("", text + NASTY, surface, start, end), width)
    about = read_entity(Entity("Q1", text, (NASTY,), text, NASTY, text), frozenset({"a"}), width)
    for line in (read, about):
        assert "\n" not in line and line.isprintable() and line.encode("utf-8")
    assert len(read) <= 3 * width + 40
