"""Templates: what is read of mentions and entities, and what is no template."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from melink.errors import ConfigError
from melink.features.template import ENTITY_FIELDS, MENTION_FIELDS, check, read_entities, read_mention
from melink.kb.store import KnowledgeBase
from melink.methods.biencoder import BiEncoderSettings
from melink.records import Entity, Mention, Triple

MARKED = "{surface}. {left}[ {surface} ]{right}"


def test_a_mention_marked_in_its_sentence() -> None:
    assert read_mention(MARKED, Mention("1", "Here sings Ann Lee.", "Ann Lee", 11, 18)) == (
        "Ann Lee. Here sings [ Ann Lee ]."
    )
    assert read_mention(MARKED, Mention("1", "Ann", "Ann", 0, 3)) == "Ann. [ Ann ]"


def test_a_mention_that_is_not_in_its_text() -> None:
    assert read_mention(MARKED, Mention("1", "A singer", "Ann")) == "Ann. A singer[ Ann ]"
    assert read_mention("{text} / {surface}", Mention("1", "A  singer\n", "Ann")) == "A singer / Ann"


def test_braces_in_a_text_are_text() -> None:
    assert read_mention(MARKED, Mention("1", "{left} x", "{left}", 0, 6)) == "{left}. [ {left} ] x"
    assert read_mention("{{{surface}}}", Mention("1", "a", "a")) == "{a}"


@pytest.fixture
def kb(make_kb: Callable[..., KnowledgeBase]) -> KnowledgeBase:
    facts = (
        Triple("member of the band", "E3"),
        Triple("spouse", "E2"),
        Triple("born", "1961", True),
        Triple("occupation", "E4"),
        Triple("sibling", "E9"),
    )
    return make_kb(
        Entity(
            "E1", "Ann", ("Annie", "A."), "Painter.", "Occupation: singer.", "Long text.", ("human", "artist"), facts
        ),
        Entity("E2", "Bob"),
        Entity("E3", "Red"),
        Entity("E4", "Singer"),
    )


def first(template: str, kb: KnowledgeBase, most: int = 6) -> str:
    return read_entities(template, kb.view(), most)[0]


def test_every_field_of_an_entity(kb: KnowledgeBase) -> None:
    template = "|".join(f"{{{name}}}" for name in ENTITY_FIELDS)
    assert first(template, kb) == (
        "Ann|Annie, A.|Painter.|Occupation: singer.|human, artist|spouse: Bob. member of the band: Red.|Long text."
    )


def test_facts_are_those_that_attributes_do_not_state(kb: KnowledgeBase) -> None:
    assert first("{triples}", kb) == "spouse: Bob. member of the band: Red."  # literals and nameless tails say nothing
    assert first("{triples}", kb, 1) == "spouse: Bob."
    assert first("{triples}", kb, 0) == ""


def test_empty_fields_leave_nothing_behind(kb: KnowledgeBase) -> None:
    template = BiEncoderSettings().entity_template
    assert read_entities(template, kb.view())[1:] == ["Bob.", "Red.", "Singer."]


def test_entities_come_in_the_order_of_the_view(kb: KnowledgeBase) -> None:
    view = kb.view()
    rows = [2, 0, 1]
    assert read_entities("{label} {triples}", view.take(np.array(rows))) == [
        read_entities("{label} {triples}", view)[row] for row in rows
    ]


@pytest.mark.parametrize("template", ["{label}", "{label!s} {triples:>5}", "{{x}} {types}"])
def test_what_is_a_template(template: str, kb: KnowledgeBase) -> None:
    check(template, ENTITY_FIELDS, "entity_template")
    assert len(read_entities(template, kb.view())) == 4


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("{name}", "unknown field {name}"),
        ("{label.__class__}", "unknown field {label.__class__}"),
        ("{label[0]}", r"\{label\[0\]\}"),
        ("{}", "field"),
        ("{0}", "field"),
        ("label", "has no field"),
        ("", "has no field"),
        ("{label", "expected"),
        ("label}", "Single"),
        ("{label:{width}}", "width"),
        ("{label:d}", "Unknown format code"),
    ],
)
def test_what_is_none(template: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong) as error:
        check(template, ENTITY_FIELDS, "entity_template")
    assert "entity_template" in str(error.value)


def test_sides_have_their_own_fields() -> None:
    check(BiEncoderSettings().mention_template, MENTION_FIELDS, "mention_template")
    with pytest.raises(ConfigError, match=r"use some of \{surface\}, \{text\}, \{left\}, \{right\}"):
        check("{label}", MENTION_FIELDS, "mention_template")
