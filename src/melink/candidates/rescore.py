"""Names of proposed entities, and their order by name similarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from melink.candidates.base import Hits
from melink.candidates.name_score import NameScorer
from melink.kb.store import KnowledgeBase
from melink.records import Mention


def names_of(kb: KnowledgeBase, found: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return label and aliases of every id in ``found``."""
    union = list(dict.fromkeys(id for ids in found for id in ids))
    view = kb.take(union)
    return {id: (label, *(aliases or ())) for id, label, aliases in zip(view.ids, view.labels, view.column("aliases"), strict=True)}


def by_name_similarity(kb: KnowledgeBase, mentions: Sequence[Mention], found: Sequence[Sequence[str]]) -> list[Hits]:
    """Order each mention's proposals by name similarity; ids break ties."""
    names = names_of(kb, found)
    row = {id: place for place, id in enumerate(names)}
    scorer = NameScorer()
    scores = scorer.score(scorer.side([m.surface] for m in mentions), scorer.side(names.values()))
    ranked = []
    for own, ids in zip(scores, found, strict=True):
        values = np.round(own[[row[id] for id in ids]], 5)
        ranked.append(sorted(zip(ids, values.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0])))
    return ranked
