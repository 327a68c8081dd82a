"""What stands beside the reading in the cross-encoder: the retriever's figures, and a few plain agreements.

    score, part …    the retriever's total, and its parts by name (a picture that was compared, say)
    name, same       similarity of the best name (candidates/name_score.py); whether it is the same name
    beside, around   share of the name's other words that stand beside the mention, or anywhere in its text
    foreign          share of the words beside the mention that no name has
    facts            1 − Π (1 − 0.9 · match · rarity) over stated facts (methods/triple_score.py)
    words            log(1 + words around the mention that the entity's text has)
    known            log(1 + facts), a prior
    gender           whether "she" is a woman and "he" a man
    age …, later …   years of the sentence, counted from the entity's first year and from its last, as curves;
    after …          the latter for sentences about portraits, monuments and the like

Each is computed from its own pair alone (:mod:`melink.rerank.cross_agreement`). A figure that does not exist (no
picture, no year) is NaN here; for the linear head it becomes the pair (0, 0), and one that exists (value, 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float64

from melink.candidates.name_score import similarity
from melink.kb.folding import fold, tokens
from melink.kb.store import KnowledgeBase
from melink.methods.triple_score import MOST, STOPWORDS, TripleScorer, coverage, tail_words
from melink.records import Entity, Mention
from melink.rerank.base import Case
from melink.rerank.cross_agreement import (
    AGES,
    APART,
    LATER,
    Profile,
    Told,
    about,
    alike,
    apart,
    called,
    dated,
    gendered,
)

OWN: Final = (
    *("name", "same", "beside", "around", "foreign", "facts", "words", "rare", "known", "gender"),
    *("company", "elsewhere"),
    *(f"apart {knot}" for knot in APART),
    *(f"age {knot}" for knot in AGES),
    *(f"later {knot}" for knot in LATER),
    *(f"after {knot}" for knot in LATER),
)
"""Figures that need no retriever."""


KEPT: Final = 1 << 14
"""Words and entities that are remembered."""


class CrossFeatures:
    """Computes them.

    Args:
        kb: Where rarity of facts comes from.
        parts: Names of the retriever's parts, in the order of the columns; others are not looked at.
    """

    def __init__(self, kb: KnowledgeBase, parts: Sequence[str]) -> None:
        self.parts = tuple(parts)
        self._kb = kb
        self._rarity = TripleScorer(kb.names.tail_doc_freq, len(kb)).rarity
        self._weight = lru_cache(maxsize=KEPT)(TripleScorer(kb.names.text_doc_freq, len(kb)).rarity)
        self._profile = lru_cache(maxsize=KEPT)(lambda id: Profile.of(kb.get(id)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return ("score", *(f"part {part}" for part in self.parts), *OWN)

    def __call__(self, case: Case) -> Float64[np.ndarray, "k f"]:
        """Return one row for each candidate, NaN where a figure does not exist."""
        told = Told.of(case.mention)
        company = self._company(told)
        rows = []
        for scored, entity in zip(case.candidates, case.entities, strict=True):
            retrieved = [scored.score, *(scored.parts.get(part, np.nan) for part in self.parts)]
            rows.append([*retrieved, *self._own(case.mention, entity, told, company)])
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(self.names))

    def _own(self, mention: Mention, entity: Entity, told: Told, company: Mapping[str, Profile]) -> list[float]:
        surface, text = fold(mention.surface), about(entity)
        name = max(similarity(mention.surface, own) for own in entity.names)
        same = float(bool(surface) and surface in {fold(own) for own in entity.names})
        words = frozenset(tokens(text))
        shared = sorted((words - STOPWORDS) & told.context)
        facts, known = self._stated(entity, told.context), float(np.log1p(len(entity.triples)))
        rare = float(np.log1p(sum(self._weight(word) ** 2 * 3 for word in shared)))
        agreed = [*called(entity.names, told), facts, float(np.log1p(len(shared))), rare, known]
        return [
            name,
            same,
            *agreed,
            gendered(entity, words, told),
            *self._among(entity, company),
            *dated(told, entity, text),
        ]

    def _company(self, told: Told) -> dict[str, Profile]:
        """Return the entities that the text names in full beside the mention, where a name stands for one alone."""
        found = {}
        for name in told.others:
            hits = self._kb.names.exact(name, 2)
            if len(hits) == 1:
                found[hits[0][0]] = self._profile(hits[0][0])
        return found

    def _among(self, entity: Entity, company: Mapping[str, Profile]) -> list[float]:
        others = [profile for id, profile in company.items() if id != entity.id]
        if not company:
            return [float("nan")] * (2 + len(APART))
        own = Profile.of(entity)
        near = max((alike(own, other, self._weight) for other in others), default=float("nan"))
        return [near, float(entity.id in company), *apart(own, others)]

    def _stated(self, entity: Entity, context: frozenset[str]) -> float:
        if not entity.triples:
            return float("nan")
        tails = {(triple.tail, tail_words(triple)) for triple in entity.triples}
        around = set(context)
        found = ((tail, coverage(words, around)) for tail, words in tails)
        return 1 - float(np.prod(sorted(1 - MOST * match * self._rarity(tail) for tail, match in found if match)))


def filled(figures: Float64[np.ndarray, "k f"]) -> Float64[np.ndarray, "k g"]:
    """Return values with 0 for what does not exist, and beside them which exist (columns that can't be missing too)."""
    there = ~np.isnan(figures)
    return np.concatenate([np.where(there, figures, 0.0), there.astype(np.float64)], axis=1)
