"""The flow on one screen: candidates → parts → total → rank → confidence and evidence."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from melink import registry
from melink.candidates.base import Candidates, Generator
from melink.candidates.dense import Plain, Reader
from melink.candidates.fusion import fused
from melink.candidates.load import load_generators
from melink.errors import ConfigError, Problems
from melink.features.encoder import Encoder
from melink.features.load import load_image, load_pair, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.kb.texts import ORIGINAL
from melink.kb.view import EntityView
from melink.methods.base import Context, Method, Need, Parts, total
from melink.methods.pairwise import Pairwise
from melink.ranking.rank import rank
from melink.records import Link, Mention, Scored
from melink.rerank.again import cut, look_again
from melink.rerank.base import Reranker, load_reranker
from melink.runs import OWN, Run, copy_own, read_run, write_run

_log = logging.getLogger("melink")

BATCH = 128
"""Mentions linked at once."""


class Linker:
    """Links mentions to the entities of a knowledge base.

    Args:
        kb: The knowledge base.
        method: Scores candidates.
        generators: Propose them.
        run: What it is made of, as a run directory records it; ``run.k`` candidates of each mention are scored.
        reranker: Looks again at the first few, if there is one.
    """

    def __init__(
        self,
        kb: KnowledgeBase,
        method: Method,
        generators: Sequence[Generator],
        run: Run,
        reranker: Reranker | None = None,
    ) -> None:
        self.kb = kb
        self.method = method
        self.generators = tuple(generators)
        self.run = run
        self.reranker = reranker

    @classmethod
    def from_pretrained(cls, path: str | Path, kb: KnowledgeBase | str | Path | None = None) -> Linker:
        """Load a linker from a run directory, or make an untrained one by method name.

        Args:
            path: A run directory, or the name of a method that needs no training (``names``, ``zeroshot``).
            kb: The knowledge base or its path; by default the one that the run was made with.

        Raises:
            NotFound: Neither a run directory nor a known method.
            ConfigError: No knowledge base was given or recorded.
        """
        run = read_run(path)
        where = kb if kb is not None else run.kb
        if where is None:
            raise ConfigError(f"{path} names no knowledge base", "pass one: Linker.from_pretrained(path, kb=...)")
        return assemble(run, where if isinstance(where, KnowledgeBase) else KnowledgeBase.open(where))

    def save_pretrained(self, path: str | Path) -> None:
        """Write a run directory that :meth:`from_pretrained` reads: tensors, if any, ``config.json``, a model card."""
        copy_own(self.run, path)
        write_run(self.run, path, self.method.paper)

    @property
    def encoders(self) -> dict[str, str]:
        """Encoders in use: name → fingerprint."""
        context: Context | None = getattr(self.method, "context", None)
        used = (context.text, context.image) if context else ()
        return {encoder.name: encoder.fingerprint for encoder in used if encoder is not None}

    def link(self, mentions: Iterable[Mention], top: int = 10) -> list[Link]:
        """Link mentions; the answers come in the same order.

        Args:
            mentions: Any number; they are worked through in batches.
            top: How many candidates each answer carries, at least 1.
        """
        return [link for batch in batches(mentions, BATCH) for link in self.answer(batch, self.candidates(batch), top)]

    def answer(self, mentions: Sequence[Mention], candidates: Candidates, top: int) -> list[Link]:
        """Rank given candidates of a batch, and let the reranker look again at the first few."""
        if self.reranker is None:
            return self.rank(mentions, candidates, top)
        links = self.rank(mentions, candidates, max(top, self.reranker.scope.k))
        return [cut(link, top) for link in look_again(self.reranker, links, self.kb)]

    def candidates(self, mentions: Sequence[Mention], k: int | None = None) -> Candidates:
        """Return the fused candidates of a batch, ``k`` of each mention (as the run says when None)."""
        return fused(self.generators, mentions, k or self.run.k)

    def whole(self, mentions: Sequence[Mention], k: int | None = None, shortlist: int | None = None) -> Candidates:
        """Return the ``k`` best of the whole knowledge base for each mention, in place of generators' candidates.

        Args:
            mentions: Any number.
            k: How many; as the run says when None.
            shortlist: Approximately, by a shortlist of so many (:mod:`melink.ranking.shortlist`).
        """
        found = rank(self.method, self.kb, mentions, k or self.run.k, shortlist=shortlist, sample=0)
        ids = self.kb.view().ids
        return Candidates(tuple(tuple(ids[row] for row in rows if row >= 0) for rows in found.rows))

    def rank(self, mentions: Sequence[Mention], candidates: Candidates, top: int) -> list[Link]:
        """Score given candidates of a batch, rank them by score alone, and say how sure and why."""
        board = self.board(mentions, candidates)
        return [self._answer(board, m, mention, top) for m, mention in enumerate(mentions)]

    def board(self, mentions: Sequence[Mention], candidates: Candidates) -> Board:
        """Score given candidates of a batch; equal scores are ordered by id."""
        view = self.kb.take(candidates.union())
        column = {id: place for place, id in enumerate(view.ids)}
        parts = self._parts(mentions, view, [[column[id] for id in ids] for ids in candidates.ids])
        scores = total(parts)
        ranked = []
        for own, ids in zip(scores, candidates.ids, strict=True):
            order = sorted((column[id] for id in ids), key=lambda c: (-own[c], view.ids[c]))
            ranked.append(np.asarray(order, dtype=np.int64))
        return Board(view, parts, scores, ranked, candidates.sources)

    def _parts(self, mentions: Sequence[Mention], view: EntityView, columns: Sequence[Sequence[int]]) -> Parts:
        """Score each mention's own columns; a method that scores all pairs at the same price scores all."""
        ours, theirs = self.method.mentions(mentions), self.method.entities(view)
        if not isinstance(self.method, Pairwise):
            return self.method.score(ours, theirs)
        where = np.zeros((len(mentions), len(view)), dtype=bool)
        for row, own in zip(where, columns, strict=True):
            row[own] = True
        return self.method.score(ours, theirs, where)

    def _answer(self, board: Board, m: int, mention: Mention, top: int) -> Link:
        columns = board.ranked[m]
        confidence = self.method.confidence
        is_nil, certainty, sure, nil = confidence.decide(board.totals[m, columns])
        evidence = {"nil_probability": round(nil, 6), "calibrated": confidence.fitted}
        listed = zip(columns[: max(top, 1)], sure, strict=False)
        found = tuple(self._scored(board, m, mention, int(c), round(float(p), 6)) for c, p in listed)
        return Link(mention, found, is_nil, round(certainty, 6), evidence)

    def _scored(self, board: Board, m: int, mention: Mention, c: int, sure: float) -> Scored:
        entity = board.view.entity(c)
        own = {name: round(float(part[m, c]), 5) for name, part in board.parts.items() if not np.isnan(part[m, c])}
        sources = board.sources[m].get(entity.id, {}) if board.sources else {}
        evidence: dict[str, Any] = self.method.explain(mention, entity)
        score = round(float(board.totals[m, c]), 5)
        return Scored(entity.id, entity.label, score, own, evidence, dict(sources), sure)


@dataclass(frozen=True, slots=True)
class Board:
    """The scores of a batch against the union of its candidates.

    Attributes:
        view: The n entities of the union.
        parts: Named contributions, [m, n] each.
        totals: Their sums, [m, n]; meaningful where ``ranked`` points.
        ranked: For each mention, its candidates' columns, best first.
        sources: For each mention, entity id → generator → rank there.
    """

    view: EntityView
    parts: Parts
    totals: Float32[np.ndarray, "m n"]
    ranked: list[np.ndarray]
    sources: Sequence[Mapping[str, Mapping[str, int]]]


def batches(items: Iterable[Mention], size: int) -> Iterator[list[Mention]]:
    """Cut any iterable into lists of at most ``size``."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def assemble(run: Run, kb: KnowledgeBase, given: str | Path | None = None, problems: Problems | None = None) -> Linker:
    """Make the linker that a run describes, over a knowledge base."""
    context = context_of(run, kb, problems)
    kb = context.kb
    method = registry.load("method", run.method).build(context, run.settings)
    generators = load_generators(run.generators, kb, context.store, context.text, reader_of(method), given)
    made = {"kb": str(kb.path), "settings": method.settings()}
    linker = Linker(kb, method, generators, run.model_copy(update=made))
    if run.rerank is not None:
        reranker = load_reranker(run.rerank, context)
        _same_retriever(reranker, linker)
        linker.reranker = reranker
        linker.run = linker.run.model_copy(update={"rerank": {"name": reranker.name, **reranker.settings()}})
    return linker


def context_of(run: Run, kb: KnowledgeBase, problems: Problems | None = None) -> Context:
    """Load the encoders of a run over a knowledge base, which is read by the text that the run names.

    Raises:
        ConfigError: Another text than the original is named and nothing reads it.
        NotFound: The knowledge base has no such text.
    """
    needs = registry.load("method", run.method).needs
    text, image = _encoders(run, needs, "dense" in run.generators)
    if run.entity_text != ORIGINAL and text is None:
        raise ConfigError(
            f"nothing here reads the {run.entity_text} text of an entity", "choose a method that reads text"
        )
    kb = kb.reading(run.entity_text)
    return Context(kb, FeatureStore(kb.features_dir), text, image, run.folder, problems or Problems())


def states(linker: Linker) -> dict[str, Any]:
    """Return what decides a retriever's lists, wherever its run lies: method, settings, encoders, weights …"""
    left_out = {"kb", "kb_hash", "train", "fitted_on", "metrics", "melink", "rerank"}
    made = linker.run.model_dump(mode="json", exclude=left_out)
    digest = hashlib.sha256()
    for file in sorted(linker.run.folder.glob("*.safetensors")) if linker.run.folder else ():
        digest.update(file.read_bytes())
    return {**made, "encoders": linker.encoders, "tensors": digest.hexdigest()[:16]}


def _same_retriever(reranker: Any, linker: Linker) -> None:
    """Say so when a reranker was trained behind another retriever."""
    known, here = getattr(reranker, "retriever", None) or {}, states(linker)
    names = ("method", "entity_text", "encoders", "tensors")
    other = [name for name in names if known.get(name, here[name]) != here[name]]
    if other:
        _log.warning(
            "%s was trained behind a retriever with another %s: its last word may not fit; train it again",
            reranker.label,
            " and ".join(other),
        )


def reader_of(method: Method) -> Reader:
    """Return how ``dense`` reads for a method: as the method itself does, where it says so."""
    reader: Any = method if hasattr(method, "read_entities") else Plain(method.settings().get("entity_text", "auto"))
    return reader  # type: ignore[no-any-return]


def _encoders(run: Run, needs: frozenset[Need], wants_dense: bool) -> tuple[Encoder | None, Encoder | None]:
    wants_text = wants_dense or bool(needs & {Need.TEXT_GLOBAL, Need.TEXT_TOKENS})
    wants_image = bool(needs & {Need.IMAGE_GLOBAL, Need.IMAGE_PATCHES})
    if run.encoder is not None and (wants_text or wants_image):
        both = load_pair(run.located(run.encoder))
        for side in both if run.encoder.startswith(OWN) else ():
            side.name = f"{OWN}encoder {side.modality}"  # wherever the run lies
        return (both[0] if wants_text else None), (both[1] if wants_image else None)
    text = load_text(run.located(run.text_encoder)) if wants_text and run.text_encoder else None
    if text is not None and str(run.text_encoder).startswith(OWN):
        text.name = f"{OWN}encoder"  # wherever the run lies
    image = load_image(run.located(run.image_encoder)) if wants_image and run.image_encoder else None
    if image is not None and str(run.image_encoder).startswith(OWN):
        image.name = f"{OWN}image-encoder"
    return text, image
