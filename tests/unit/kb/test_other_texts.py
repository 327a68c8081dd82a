"""Other texts of the entities: stored beside them, read in their place, stale ones never."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from melink.errors import ConfigError, NotFound
from melink.features.template import read_entities
from melink.features.text import entity_texts
from melink.kb.store import KnowledgeBase
from melink.kb.texts import Described, Texts, states
from melink.records import Entity, Triple

ANN = Entity("E1", "Ann", description="painter", attributes="Sex: female.", extract="Ann paints.")
BOB = Entity("E2", "Bob", description="sailor", triples=(Triple("r", "E1"),))
CAT = Entity("E3", "Cat")


@pytest.fixture
def kb(make_kb: Callable[..., KnowledgeBase]) -> KnowledgeBase:
    return make_kb(ANN, BOB, CAT)


def put(kb: KnowledgeBase, kind: str = "static", **texts: str) -> None:
    now = dict(zip(kb.view().ids, states(kb.view()), strict=True))
    Texts(kb.path, kind).put(Described(id, text, now[id], "m", {"source": "s"}) for id, text in texts.items())


def test_texts_come_back_with_their_origin(kb: KnowledgeBase) -> None:
    texts = Texts(kb.path, "static")
    assert not texts and list(texts.rows()) == []
    put(kb, E1="Ann is great.", E2="Bob sails.")
    put(kb, E1="Ann is greater.")
    found = {row.id: row for row in texts.rows()}
    assert {id: row.text for id, row in found.items()} == {"E1": "Ann is greater.", "E2": "Bob sails."}
    assert found["E1"].about == {"source": "s"} and found["E1"].made_from == "m"
    texts.delete(["E1"])
    assert [row.id for row in texts.rows()] == ["E2"] and [row.id for row in texts.rows(["E1", "E2"])] == ["E2"]


def test_the_original_is_never_touched(kb: KnowledgeBase) -> None:
    before, key, view = kb.content_hash(), kb.view().key, kb.view()
    put(kb, E1="Ann is great.")
    again = KnowledgeBase.open(kb.path)
    assert again.content_hash() == before and again.view().key == key and again.view().texts is None
    assert again.get("E1") == ANN == view.entity(0)


def test_another_text_is_read_in_the_place_of_the_own(kb: KnowledgeBase) -> None:
    put(kb, E1="Ann is great.", E3="")
    static = kb.reading("static")
    assert static is static.reading("static") and kb is kb.reading("original")
    assert static.view().texts == ["Ann is great.", "", ""]
    for source in ("auto", "description", "attributes", "extract", "all"):
        assert entity_texts(static.view(), source)[0] == "Ann. Ann is great."
        assert entity_texts(static.view(), source)[1:] == entity_texts(kb.view(), source)[1:]
    assert static.get("E1") == ANN  # the entity itself is what it was
    assert entity_texts(static.take(["E3", "E1"])) == ["Cat", "Ann. Ann is great."]
    assert static.view().take(np.array([1, 0])).texts == ["", "Ann is great."]
    assert static.view().slice(0, 1).texts == ["Ann is great."]
    assert entity_texts(static.reading("original").view()) == entity_texts(kb.view())


def test_templates_read_it_once(kb: KnowledgeBase) -> None:
    put(kb, E1="Ann is great.", E2="Bob knows Ann well.")
    view = kb.reading("static").view()
    assert read_entities("{label}: {attributes} {description} {extract}!", view)[0] == "Ann: Ann is great. !"
    assert read_entities("{label}: {extract}", view) == ["Ann: Ann is great.", "Bob: Bob knows Ann well.", "Cat:"]
    with pytest.raises(ConfigError, match="reads no text"):
        read_entities("{label} {triples}", view)


def test_hashes_and_keys_differ_by_what_is_read(kb: KnowledgeBase) -> None:
    put(kb, E1="Ann is great.")
    put(kb, "dynamic", E1="Ann is grand.")
    static, dynamic = kb.reading("static"), kb.reading("dynamic")
    assert len({each.content_hash() for each in (kb, static, dynamic)}) == 3
    assert len({each.view().key for each in (kb, static, dynamic)}) == 3
    put(kb, "dynamic", E1="")
    nothing = KnowledgeBase.open(kb.path).reading("dynamic")
    assert nothing.content_hash() == kb.content_hash() and nothing.view().key == kb.view().key


def test_a_text_of_another_description_is_outdated(kb: KnowledgeBase) -> None:
    put(kb, E1="Ann is great.", E2="Bob sails.")
    kb.upsert([replace(ANN, description="sculptor")])
    static = KnowledgeBase.open(kb.path).reading("static")
    assert static.view().texts == ["", "Bob sails.", ""]
    share = static.texts.share(static.view()) if static.texts else None
    assert share is not None and (share.own, share.outdated, share.entities) == (1, 1, 3)
    kb.upsert([ANN])
    assert KnowledgeBase.open(kb.path).reading("static").view().texts == ["Ann is great.", "Bob sails.", ""]


def test_texts_outlive_a_rebuild_and_a_half_made_table(kb: KnowledgeBase) -> None:
    (kb.path / "texts" / "static.lance" / "data").mkdir(parents=True)  # a writer died before its first commit
    with pytest.raises(NotFound, match="melink enrich descriptions"):
        kb.reading("static")
    put(kb, E1="Ann is great.")
    assert kb.reading("static").view().texts == ["Ann is great.", "", ""]


def test_a_text_out_of_use_keeps_what_it_said_and_comes_back_as_it_was(kb: KnowledgeBase) -> None:
    for about in ({"source": "s"}, {"source": "s", "outcome": "told", "turns": 2}):
        own = Described("E1", "Ann is great.", "now", "m", about)
        gone = own.dropped([{"kind": "birth year"}])
        assert (gone.text, gone.said, own.said) == ("", "Ann is great.", "")
        assert (gone.about["outcome"], gone.about["contradictions"]) == ("contradicts", [{"kind": "birth year"}])
        Texts(kb.path, "static").put([gone])
        (back,) = (row.restored() for row in Texts(kb.path, "static").rows())
        assert back == own
    assert Described("E1", "", "now", about={"outcome": "unknown", "said": "x"}).said == ""


def test_unknown_kinds_are_refused(kb: KnowledgeBase) -> None:
    with pytest.raises(NotFound, match="dynamic"):
        Texts(kb.path, "dynamik")
