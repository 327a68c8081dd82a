"""Nearest vectors: entities whose text embedding is closest to the mention's, exactly, in bounded memory.

Exact batched search beats an index at these sizes (up to a few hundred thousand entities) at equal recall; the entity
vectors are memory-mapped in 16 bits and read in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from melink.candidates.base import Hits
from melink.features.encoder import Encoder
from melink.features.store import FeatureStore
from melink.features.text import entity_texts, mention_text
from melink.kb.store import KnowledgeBase
from melink.kb.view import EntityView
from melink.records import Mention

CHUNK = 32_768
"""Entities scored at once."""


class Dense:
    """Exact inner-product search over the global text vectors of a knowledge base."""

    name: ClassVar[str] = "dense"

    def __init__(self, kb: KnowledgeBase, store: FeatureStore, encoder: Encoder, entity_text: str = "auto") -> None:
        self._kb, self._store, self._encoder, self._entity_text = kb, store, encoder, entity_text
        self._read(kb.view())

    def _read(self, view: EntityView) -> None:
        self._view = view
        self._ids = np.asarray(view.ids, dtype=object)
        self._table = self._store.encode(self._encoder, entity_texts(view, self._entity_text))

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return the nearest entities by cosine; ids break ties; nothing for a mention without text.

        When the knowledge base has changed, what is new is encoded first.
        """
        if self._kb.view() is not self._view:
            self._read(self._kb.view())
        table = self._store.encode(self._encoder, [mention_text(mention) for mention in mentions])
        queries, best = table.vectors(), [np.empty(0)] * len(mentions)
        rows = [np.empty(0, np.int64)] * len(mentions)
        for start in range(0, len(self._ids), CHUNK):
            chunk = slice(start, min(start + CHUNK, len(self._ids)))
            scores = np.round(queries @ self._table.vectors(chunk).T, 5)
            scores[:, ~self._table.present[chunk]] = -np.inf
            kept = min(k, scores.shape[1])
            bounds = np.partition(scores, -kept, axis=1)[:, -kept]
            for m, own in enumerate(scores):
                top = np.flatnonzero(own >= bounds[m])
                values, places = np.r_[best[m], own[top]], np.r_[rows[m], top + start]
                order = np.lexsort((places, -values))[:k]
                best[m], rows[m] = values[order], places[order]
        return [self._hits(best[m], rows[m]) if table.present[m] else [] for m in range(len(mentions))]

    def _hits(self, scores: np.ndarray, rows: np.ndarray) -> Hits:
        known = np.isfinite(scores)
        return list(zip(self._ids[rows[known]].tolist(), scores[known].tolist(), strict=True))


def missing(kb: KnowledgeBase, store: FeatureStore, encoder: Encoder, entity_text: str = "auto") -> int:
    """Return how many entity texts of a knowledge base the store has not encoded yet."""
    return store.lacking(encoder, entity_texts(kb.view(), entity_text))
