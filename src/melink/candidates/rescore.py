"""Names of proposed entities, and their order by name similarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from melink.candidates.base import Hits
from melink.candidates.name_score import NameScorer
from melink.kb.store import KnowledgeBase
from melink.records import Mention

FEW = 256
"""Up to so many entities are fetched; for more, the columns of the whole knowledge base are read once and kept."""
BLOCK = 64
"""Mentions scored at once against the union of their proposals: few, so that the union stays small."""


def names_of(kb: KnowledgeBase, found: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return label and aliases of every id in ``found``."""
    union = list(dict.fromkeys(id for ids in found for id in ids))
    view = kb.take(union) if len(union) <= FEW else kb.view()
    labels, aliases = view.labels, view.column("aliases")
    return {id: (labels[row], *aliases[row]) for id, row in zip(union, view.rows(union).tolist(), strict=True)}


def by_name_similarity(
    kb: KnowledgeBase, scorer: NameScorer, mentions: Sequence[Mention], found: Sequence[Sequence[str]]
) -> list[Hits]:
    """Order each mention's proposals by name similarity; ids break ties."""
    ranked: list[Hits] = []
    for start in range(0, len(mentions), BLOCK):
        proposals = found[start : start + BLOCK]
        names = names_of(kb, proposals)
        row = {id: place for place, id in enumerate(names)}
        surfaces = scorer.side([mention.surface] for mention in mentions[start : start + BLOCK])
        scores = scorer.score(surfaces, scorer.side(names.values()))
        for own, ids in zip(np.round(scores, 5), proposals, strict=True):
            values = own[[row[id] for id in ids]].tolist() if ids else []
            ranked.append(sorted(zip(ids, values, strict=True), key=lambda hit: (-hit[1], hit[0])))
    return ranked
