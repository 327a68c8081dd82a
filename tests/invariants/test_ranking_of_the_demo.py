"""Exact ranks over the demo knowledge base: against all scores at once, and whatever the chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from melink.candidates.base import Candidates
from melink.demo.run import Demo
from melink.evaluate.run import outcomes, rank_candidates, rank_full
from melink.kb.store import KnowledgeBase
from melink.linker import Linker, assemble
from melink.methods.base import Parts, total
from melink.methods.confidence import Confidence
from melink.ranking import full as full_pass
from melink.records import NIL, Entity, Labelled, Mention
from melink.runs import Run


def all_scores(linker: Linker, samples: Sequence[Labelled]) -> np.ndarray:
    method = linker.method
    mentions = method.mentions([sample.mention for sample in samples])
    return total(method.score(mentions, method.entities(linker.kb.view())))


def rank_by_hand(scores: np.ndarray, gold: int, ties: str) -> float:
    better = sum(float(score) > float(scores[gold]) for score in scores)
    equal = sum(float(score) == float(scores[gold]) for score in scores) - 1
    return 1 + better + equal * {"mean": 0.5, "optimistic": 0.0, "pessimistic": 1.0}[ties]


@pytest.fixture(scope="module")
def samples(demo: Demo) -> list[Labelled]:
    """The demo's mentions; one whose gold is another entity, one with an unknown gold, one without gold."""
    first = demo.samples[0]
    return [*demo.samples, replace(first, gold="Q1428"), replace(first, gold="not-there"), replace(first, gold=None)]


@pytest.mark.parametrize("ties", ["mean", "optimistic", "pessimistic"])
def test_full_ranks_are_those_of_all_scores(demo: Demo, samples: list[Labelled], ties: Any) -> None:
    scores, view = all_scores(demo.linker, samples), demo.linker.kb.view()
    ranked = rank_full(demo.linker, samples, ties)
    expected = [
        None if (row := view.row(sample.gold or "")) is None else rank_by_hand(own, row, ties)
        for sample, own in zip(samples, scores, strict=True)
    ]
    assert ranked.ranks == expected
    assert None in expected and max(rank for rank in expected if rank is not None) > 1
    for ids, own in zip(ranked.top.ids, scores, strict=True):
        best = sorted(range(len(own)), key=lambda row: (-own[row], row))[: len(ids)]
        assert list(ids) == [view.ids[row] for row in best]
        assert len(ids) == min(demo.linker.run.k, len(view))
    assert set(ranked.sizes) == {len(view)}


@pytest.mark.parametrize(("chunk", "block"), [(1000, 1), (31, 1000), (7, 16), (100, 77)])
def test_chunks_and_blocks_change_nothing(
    demo: Demo, samples: list[Labelled], monkeypatch: pytest.MonkeyPatch, chunk: int, block: int
) -> None:
    whole = rank_full(demo.linker, samples)
    monkeypatch.setattr(full_pass, "CHUNK", chunk)
    monkeypatch.setattr(full_pass, "BLOCK", block)
    assert rank_full(demo.linker, samples) == whole


def test_a_constant_scorer_earns_chance(demo: Demo, samples: list[Labelled]) -> None:
    class Constant:
        """Says the same of everybody."""

        name, paper, needs, trains = "constant", "", frozenset(), False
        confidence = Confidence()

        def settings(self) -> dict[str, Any]:
            return {}

        def warm(self, view: object) -> None:
            return None

        def entities(self, view: Any) -> int:
            return len(view)

        def mentions(self, mentions: Sequence[Mention]) -> int:
            return len(mentions)

        def score(self, mentions: int, entities: int) -> Parts:
            return {"same": np.full((mentions, entities), 0.5, np.float32)}

        def explain(self, mention: Mention, entity: Entity) -> Mapping[str, Any]:
            return {}

    linker = Linker(demo.linker.kb, Constant(), demo.linker.generators, demo.linker.run)  # type: ignore[arg-type]
    n = len(demo.linker.kb)
    ranks = {rank for rank in rank_full(linker, samples).ranks if rank is not None}
    assert ranks == {(n + 1) / 2}
    optimist = {rank for rank in rank_full(linker, samples, "optimistic").ranks if rank is not None}
    assert optimist == {1.0}
    for rank, size in zip(*_lists(linker, samples), strict=True):
        assert rank is None or rank == (size + 1) / 2


def _lists(linker: Linker, samples: list[Labelled]) -> tuple[list[float | None], list[int]]:
    ranked = rank_candidates(linker, samples, 12)
    return ranked.ranks, ranked.sizes


@pytest.fixture(scope="module")
def narrow(demo: Demo) -> Linker:
    """Proposes so few that gold is often not among them."""
    return assemble(Run(generators=("lexical",)), demo.linker.kb)


def test_a_missed_gold_has_no_rank(narrow: Linker, samples: list[Labelled]) -> None:
    ranked = rank_candidates(narrow, samples, 3)
    listed = narrow.candidates([sample.mention for sample in samples], 3)
    missed = 0
    for sample, rank, size, ids in zip(samples, ranked.ranks, ranked.sizes, listed.ids, strict=True):
        assert size == len(ids) <= 3
        assert (rank is not None) == (sample.gold in ids)
        missed += sample.gold not in ids
    assert 10 < missed < len(samples)


def test_ranks_among_candidates_by_hand(narrow: Linker, samples: list[Labelled]) -> None:
    ranked = rank_candidates(narrow, samples, 5)
    scores, view = all_scores(narrow, samples), narrow.kb.view()
    for sample, rank, ids, own in zip(samples, ranked.ranks, ranked.top.ids, scores, strict=True):
        values = np.array([own[view.row(id)] for id in ids])
        assert rank == (rank_by_hand(values, ids.index(sample.gold), "mean") if sample.gold in ids else None)


def test_injected_gold_is_ranked_where_it_can_be(narrow: Linker, samples: list[Labelled]) -> None:
    ranked = rank_candidates(narrow, samples, 3, inject=True)
    view = narrow.kb.view()
    for sample, rank in zip(samples, ranked.ranks, strict=True):
        assert (rank is not None) == (sample.gold is not None and view.row(sample.gold) is not None)


def test_gold_outside_the_knowledge_base_is_nil(demo: Demo, samples: list[Labelled]) -> None:
    for ranked in (rank_full(demo.linker, samples), rank_candidates(demo.linker, samples, 5)):
        found = outcomes(demo.linker, samples, ranked)
        outside, unlabelled = found[-2], found[-1]
        assert (outside.gold, outside.gold_in_kb, outside.rank) == (NIL, False, None)
        assert outside.is_nil and not outside.linkable and outside.gold_scored is None
        assert (unlabelled.gold, unlabelled.labelled, unlabelled.correct) == (None, False, None)
        assert all(o.gold_scored is not None and o.gold_scored.id == o.gold for o in found if o.linkable)
        assert all(o.correct == (o.link.id == o.gold) for o in found if o.labelled)


def test_full_and_list_ranking_agree_when_the_list_is_everybody(demo: Demo, samples: list[Labelled]) -> None:
    class Everybody:
        name = "everybody"

        def search(self, mentions: Sequence[Mention], k: int) -> list[list[tuple[str, float]]]:
            ids = demo.linker.kb.view().ids
            return [[(id, 1.0) for id in ids] for _ in mentions]

    linker = Linker(demo.linker.kb, demo.linker.method, [Everybody()], demo.linker.run)
    listed, full = rank_candidates(linker, samples, len(demo.linker.kb)), rank_full(demo.linker, samples)
    assert listed.ranks == full.ranks
    assert [ids[:100] for ids in listed.top.ids] == list(full.top.ids)


def test_nobody_to_rank(demo: Demo, demo_copy: KnowledgeBase) -> None:
    assert rank_full(demo.linker, []).ranks == []
    assert rank_candidates(demo.linker, [], 5).ranks == []
    assert outcomes(demo.linker, [], rank_full(demo.linker, [])) == []
    demo_copy.delete(demo_copy.view().ids)
    empty = assemble(Run(generators=("names",)), demo_copy)
    ranked = rank_full(empty, demo.samples[:3])
    assert ranked.ranks == [None, None, None]
    assert [o.link.nil for o in outcomes(empty, demo.samples[:3], ranked)] == [True] * 3
    assert Candidates(((), (), ())).ids == ranked.top.ids
