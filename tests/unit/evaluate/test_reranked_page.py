"""What a report says of a reranker: the facts that it was shown, whom it put right or wrong, whom to ask about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from melink.evaluate.before_after import section
from melink.evaluate.cards import card
from melink.evaluate.instructive import instructive
from melink.evaluate.outcome import Outcome
from melink.records import Link, Mention, Scored

KEPT = (
    {"triple": "occupation: <b>actor</b>", "answers": "occupation: film actor", "similarity": 0.83},
    {"triple": "sex: male", "answers": "occupation: film actor", "similarity": 0.31},
    {"triple": "born: 1970", "similarity": 0.2, "supports": True},
    {"triple": "award: one"},
    {"triple": "award: two"},
)


def link(first: str, moved: bool, kept: Any = KEPT, **more: Any) -> Link:
    """Return a link of Q1 (0.9) and Q2 (0.5) after a reranker that put ``first`` first."""
    scores: Mapping[str, float] = {"Q1": 0.9, "Q2": 0.5}
    order = [first, *(id for id in scores if id != first)]
    found = []
    for place, id in enumerate(order):
        why = {"reranked_by": "kgmel:cited", "retrieved_at": 2} if moved and not place else {}
        found.append(Scored(id, f"Name {id}", scores[id], {}, {**why, "kept_triples": kept}))
    said = {"by": "kgmel:cited", "outcome": "answered", "changed": moved, "named": [first]}
    return Link(Mention(f"{first}-{moved}", "a text", "text"), tuple(found), evidence={"rerank": said}, **more)


def outcome(first: str, moved: bool, gold: str) -> Outcome:
    return Outcome(Mention(f"{first}-{moved}-{gold}", "a text", "text"), gold, True, 1.0 if first == gold else 2.0, 9,
                   link(first, moved))  # fmt: skip


def test_a_card_shows_the_facts_beside_those_of_the_mention() -> None:
    html = card(link("Q2", True), {}.get)
    tile = html.split('<li class="tile')[1]
    assert "facts shown to the reranker" in tile
    rows = re.findall(r"<tr(?: class=.supports.)?><td>(.*?)</td><td>(.*?)</td></tr>", tile.partition("facts shown")[2])
    assert rows == [
        ("<bdi>born: 1970</bdi><small>≈ the sentence</small>", "0.20"),  # what the model cited comes first
        ("<bdi>occupation: &lt;b&gt;actor&lt;/b&gt;</bdi><small>≈ <bdi>occupation: film actor</bdi></small>", "0.83"),
        ("<bdi>sex: male</bdi><small>≈ <bdi>occupation: film actor</bdi></small>", "0.31"),
        ("<bdi>award: one</bdi><small></small>", ""),
        ("… 1 more", ""),
    ]
    assert tile.count('class="supports"') == 1 and "kept triples" not in html
    assert "reranked by: <bdi>kgmel:cited</bdi>" in tile and "Decided by: kgmel:cited" in html


def test_a_card_shows_a_probability_of_the_reranker_s_own_beside_the_one_before() -> None:
    told = {"reranked_by": "cross-encoder", "figures": 1.0, "retrieved_probability": 0.25}
    found = Scored("Q2", "Name", 0.5, {}, told, probability=0.75)
    said = {"by": "cross-encoder", "outcome": "answered", "changed": True, "named": ["Q2"]}
    shown = Link(Mention("1", "a text", "text"), (found,), evidence={"rerank": said}, probability=0.75)
    assert "<li>probability: 0.75, by the retrieval 0.25</li>" in card(shown, {}.get)
    assert "by the retrieval" not in card(link("Q2", True), {}.get)


@pytest.mark.parametrize("kept", [None, "a", ["a", "b"], [], {"triple": "x"}, 7])
def test_other_evidence_of_that_name_is_no_fact(kept: object) -> None:
    assert "facts shown" not in card(link("Q1", False, kept), {}.get)


def test_whom_it_put_right_and_wrong() -> None:
    right, wrong = outcome("Q2", True, "Q2"), outcome("Q2", True, "Q1")
    either, calm = outcome("Q2", True, "Q9"), outcome("Q1", False, "Q1")
    groups = instructive([right, wrong, either, calm])
    assert groups["Put right by the reranker"] == [right] and groups["Put wrong by the reranker"] == [wrong]
    assert all(each not in group for name, group in groups.items() if "reranker" not in name for each in (right, wrong))
    assert not any("reranker" in name for name in instructive([either, calm]))


def found(**more: Any) -> dict[str, Any]:
    counts = {"asked": 4, "mentions": 4, "answered": 4, "changed": 1, "passed_over": {}, "failures": {},
              "agreement": {"mean": None}}  # fmt: skip
    figures = {"n": 4, **dict.fromkeys(("hits@1", "hits@3", "hits@5", "hits@10", "mrr"), 0.5)}
    block = {"by": "kgmel", "k": 5, "counts": counts, "per_mention": {}, "usage": {},
             "matrix": {"ranks": ["1", "miss"], "counts": [[1, 0], [0, 1]]},
             "before": {"overall": figures, "slices": {}}}  # fmt: skip
    return {"overall": figures, "slices": {}, "rerank": {**block, **more}}


def test_whom_to_ask_about() -> None:
    html = section(found(asked_curve=[(0.0, 0.5), (40.0, 0.75), (100.0, 0.6)]))
    assert "Whom to ask about" in html and html.count("<polyline") == 1
    for nothing in ([], [(0.0, 0.5)]):
        assert "Whom to ask about" not in section(found(asked_curve=nothing))
    assert "Whom to ask about" not in section(found())  # of results that were written before
