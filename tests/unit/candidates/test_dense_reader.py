"""``dense`` with the eyes of a method: its texts, its heads, over the whole knowledge base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from melink.candidates import dense as dense_module
from melink.candidates.dense import Dense, Plain, missing
from melink.candidates.load import load_generators
from melink.features.load import load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.linker import reader_of
from melink.methods.base import Context
from melink.methods.biencoder import BiEncoder
from melink.methods.zeroshot import ZeroShot
from melink.records import Entity, Mention

MENTIONS = [Mention("1", "ann sings here", "ann", 0, 3), Mention("2", "the old ship", "ship"), Mention("3", "b", "b")]


@pytest.fixture
def context(make_kb: Callable[..., KnowledgeBase], small_bert: Path) -> Context:
    words = ("river", "singer", "ship", "moon", "band", "town", "novel")
    kb = make_kb(*(Entity(f"E{n}", word[:3], description=f"a {word} of the {n}") for n, word in enumerate(words)))
    return Context(kb, FeatureStore(kb.features_dir), load_text(str(small_bert)))


def shaken(context: Context, folder: Path) -> BiEncoder:
    method = BiEncoder.build(context, {"tune": 0, "hidden": 8})
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in method.module.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    method.save(folder)
    return BiEncoder.build(replace(context, folder=folder), method.settings())


def search(context: Context, method: BiEncoder, k: int = 7) -> list[list[tuple[str, float]]]:
    assert context.text is not None
    return Dense(context.kb, context.store, context.text, reader_of(method)).search(MENTIONS, k)


def test_hits_are_in_the_order_of_the_method(context: Context, tmp_path: Path) -> None:
    method, view = shaken(context, tmp_path), context.kb.view()
    text = method.score(method.mentions(MENTIONS), method.entities(view))["text"]
    for own, hits in zip(text, search(context, method), strict=True):
        assert [id for id, _ in hits] == [view.ids[column] for column in np.argsort(-own)]
        cosines = np.sort(own)[::-1] / method.module.towers.sharpness.exp().item()
        np.testing.assert_allclose([score for _, score in hits], cosines, atol=1e-4)
    plain = Dense(context.kb, context.store, context.text, Plain()).search(MENTIONS, 7)  # type: ignore[arg-type]
    assert plain != search(context, method)


def test_chunks_change_nothing(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = shaken(context, tmp_path)
    whole = search(context, method, 4)
    monkeypatch.setattr(dense_module, "CHUNK", 3)
    assert search(context, method, 4) == whole


def test_what_a_head_makes_is_kept_until_the_knowledge_base_changes(context: Context, tmp_path: Path) -> None:
    method, seen = shaken(context, tmp_path), []
    head = method.entity_head
    method.entity_head = lambda vectors: (seen.append(len(vectors)), head(vectors))[1]  # type: ignore[method-assign]
    assert context.text is not None
    dense = Dense(context.kb, context.store, context.text, method)
    before = dense.search(MENTIONS, 3)
    assert dense.search(MENTIONS, 3) == before and seen == [7]
    twin = method.read_mentions(MENTIONS[:1])[0]
    context.kb.upsert([Entity("E9", "ann", description=twin)])
    after = dense.search(MENTIONS, 8)
    assert seen == [7, 8] and "E9" in [id for id, _ in after[0]]


def test_missing_counts_the_texts_of_the_reader(context: Context, tmp_path: Path) -> None:
    method = BiEncoder.build(context, {"tune": 0, "entity_template": "{label} is {description}"})
    assert context.text is not None
    assert missing(context.kb, context.store, context.text, method) == 7
    method.warm(context.kb.view())
    assert missing(context.kb, context.store, context.text, method) == 0
    assert missing(context.kb, context.store, context.text, Plain()) == 7


def test_who_reads_for_whom(context: Context) -> None:
    method = BiEncoder.build(context, {"tune": 0})
    assert reader_of(method) is method
    assert reader_of(ZeroShot.build(context, {"entity_text": "description"})) == Plain("description")
    (dense,) = load_generators(["dense"], context.kb, context.store, context.text, reader_of(method))
    assert dense.search(MENTIONS, 7) == search(context, method)
