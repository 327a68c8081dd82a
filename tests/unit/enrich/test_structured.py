"""Answers as JSON: what is asked for, what is read, and that no example is taken for an answer."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melink.enrich.facts import Facts
from melink.enrich.structured import _EXAMPLES, question, read
from melink.enrich.vocabulary import Vocabulary
from melink.records import Triple

OFFERED = Vocabulary()


def answer(name: str = "Georgia", **more: Any) -> str:
    said = {"name": name, "type": "country", "description": "A country.", "facts": [], **more}
    return json.dumps({"names": [said]})


def fact(relation: str, object: Any) -> dict[str, Any]:
    return {"relation": relation, "object": object}


def test_what_is_asked() -> None:
    asked = question("Georgia beat\nWales | 3", ["Georgia", "Wales"], "a.png", OFFERED)
    assert 'Sentence: Georgia beat Wales ¦ 3\nNames: "Georgia", "Wales"' in str(asked.parts[-1])
    assert asked.schema is not None
    item = asked.schema["properties"]["names"]["items"]["properties"]
    assert item["name"]["enum"] == ["Georgia", "Wales"] and item["type"]["enum"] == list(OFFERED.types)
    assert item["facts"]["items"]["properties"]["relation"]["enum"] == list(OFFERED.relations)
    assert len(asked.parts) == 2 and all(sentence in asked.system for sentence, *_ in _EXAMPLES)
    assert question("a", ["a"], None, OFFERED).system == asked.system  # servers reuse it


def test_an_answer_is_read() -> None:
    said = answer(facts=[fact("Capital", "Tbilisi"), fact("capital", "tbilisi."), fact("located in", "Asia")])
    found = read(said, ["Georgia", "Wales"], OFFERED)
    assert found.facts["Georgia"] == Facts("country", "A country", (
        Triple("capital", "Tbilisi", literal=True), Triple("located in", "Asia", literal=True),
        Triple("instance of", "country", literal=True),
    ))  # fmt: skip
    assert not found.facts["Wales"] and not found.dropped
    assert read(f"```json\n{said}\n```", ["Georgia"], OFFERED).facts["Georgia"].telling


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer("Atlantis"), "no mention"),
        (answer(facts=[fact("likes", "Asia")]), "unknown relation"),
        (answer(facts=[fact("capital", "unknown")]), "no object"),
        (answer(facts=[fact("capital", "GEORGIA")]), "no object"),
        (answer(facts=[fact("capital", 7)]), "no object"),
        (answer()[:-20], "no JSON"),
        (answer(facts=[fact("occupation", "Lighthouse keeper.")]), "echo"),
    ],
)
def test_what_does_not_count_is_counted(said: str, reason: str) -> None:
    found = read(said, ["Georgia"], OFFERED)
    assert found.dropped == Counter({reason: 1}) and not found.facts["Georgia"].telling


def test_an_example_is_no_answer() -> None:
    """Small models copy it, under the name that was asked about or its own."""
    for sentence, name, description, facts in _EXAMPLES:
        listed = [fact(relation, it) for relation, it in facts.items()]
        for own in (name, "Georgia"):
            found = read(answer(own, type="person", description=description, facts=listed), ["Georgia"], OFFERED)
            assert not found.facts["Georgia"].telling and not found.facts["Georgia"].description
        assert name in sentence and all(
            it in sentence or it.split()[0].lower() in description.lower() for it in facts.values()
        )


def test_relations_of_its_own_are_kept_when_asked() -> None:
    said = answer(facts=[fact("likes", "Asia"), fact("|", "Asia")])
    found = read(said, ["Georgia"], OFFERED, keep_unknown=True)
    assert [triple.words() for triple in found.facts["Georgia"].triples] == ["likes: Asia", "instance of: country"]


ALONE = {"name": "Georgia", "type": "country", "description": "", "facts": [fact("capital", "Tbilisi")]}


@pytest.mark.parametrize(
    "said",
    [json.dumps([ALONE]), json.dumps(ALONE), f"Sure [1]! {json.dumps({'names': [ALONE]})} Anything else?"],
    ids=["list", "object", "embedded"],
)
def test_json_without_a_schema_takes_other_shapes(said: str) -> None:
    found = read(said, ["Georgia"], OFFERED)
    assert found.facts["Georgia"].telling and not found.dropped


@pytest.mark.parametrize("said", ['{"names": {"Georgia": {}}}', "Sure! I can help.", '[{"name": "Georgia", "ty', "{}"])
def test_an_answer_that_holds_nothing_is_counted(said: str) -> None:
    found = read(said, ["Georgia"], OFFERED)
    assert found.dropped == {"no JSON": 1} and found.facts == {"Georgia": Facts()}
    assert not read('{"names": []}', ["Georgia"], OFFERED).dropped


def test_names_that_differ_in_case_only() -> None:
    said = {"names": [{**ALONE, "name": name} for name in ("APPLE", "Apple", "apple")]}
    found = read(json.dumps(said), ["Apple", "APPLE"], OFFERED)
    assert all(found.facts.values()) and found.dropped == {"repeated": 1}


def test_lines_are_read_as_lines() -> None:
    found = read("Step 3: Triples\nGeorgia | capital | Tbilisi", ["Georgia"], OFFERED)
    assert found.facts["Georgia"].triples == (Triple("capital", "Tbilisi", literal=True),)


FIELDS = st.sampled_from(["names", "name", "type", "description", "facts", "relation", "object"])
LEAF = st.none() | st.booleans() | st.integers() | st.text()
ANY = st.recursive(LEAF, lambda inside: st.lists(inside) | st.dictionaries(FIELDS, inside), max_leaves=12)


@given(ANY)
def test_any_json_is_read_or_dropped(said: Any) -> None:
    for text in (
        json.dumps(said),
        json.dumps({"names": said}),
        json.dumps({"names": [{"name": "Georgia", "facts": said}]}),
    ):
        facts = read(text, ["Georgia"], OFFERED).facts
        assert list(facts) == ["Georgia"] and all(
            triple.relation in OFFERED.relations for triple in facts["Georgia"].triples
        )
