"""Nearest vectors: entities whose text embedding is closest to the mention's, exactly, in bounded memory.

Exact batched search beats an index at these sizes (up to a few hundred thousand entities) at equal recall; the entity
vectors are memory-mapped in 16 bits and read in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float32

from melink.candidates.base import Hits
from melink.features.encoder import Encoder
from melink.features.store import FeatureStore, FeatureTable
from melink.features.text import entity_texts, mention_text
from melink.kb.store import KnowledgeBase
from melink.kb.view import EntityView
from melink.records import Mention

CHUNK = 32_768
"""Entities scored at once."""


class Reader(Protocol):
    """What an encoder is given of each side, and what is made of its vectors; a trained method brings its own.

    One whose vectors come from more than a text gives them itself: it has ``entity_vectors(view)`` and
    ``mention_vectors(mentions)`` instead of the heads.
    """

    def read_mentions(self, mentions: Sequence[Mention]) -> list[str]:
        """Return the text of each mention."""

    def read_entities(self, view: EntityView) -> list[str]:
        """Return the text of each entity."""

    def mention_head(self, vectors: Float32[np.ndarray, "m d"]) -> Float32[np.ndarray, "m d"]:
        """Return the vectors that are compared."""

    def entity_head(self, vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Return the vectors that are compared."""


@dataclass(frozen=True)
class Plain:
    """Reads ``surface. text`` and the given entity text; compares the encoder's own vectors."""

    entity_text: str = "auto"

    def read_mentions(self, mentions: Sequence[Mention]) -> list[str]:
        """Return ``surface. text``."""
        return [mention_text(mention) for mention in mentions]

    def read_entities(self, view: EntityView) -> list[str]:
        """Return the entity texts."""
        return entity_texts(view, self.entity_text)

    def mention_head(self, vectors: Float32[np.ndarray, "m d"]) -> Float32[np.ndarray, "m d"]:
        """Return them as they are."""
        return vectors

    def entity_head(self, vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Return them as they are."""
        return vectors


class Dense:
    """Exact inner-product search over the global text vectors of a knowledge base.

    Nothing is encoded before the first search: who never asks pays nothing, and what a method encodes first, tokens
    and all, is not encoded again.
    """

    name: ClassVar[str] = "dense"

    def __init__(self, kb: KnowledgeBase, store: FeatureStore, encoder: Encoder, reader: Reader | None = None) -> None:
        self._kb, self._store, self._encoder = kb, store, encoder
        self._reader: Reader = reader or Plain()
        self._view: Any = None

    def _read(self, view: EntityView) -> None:
        self._view = view
        self._ids = np.asarray(view.ids, dtype=object)
        self._table = self._store.encode(self._encoder, self._reader.read_entities(view))
        self._made: dict[int, np.ndarray] = {}

    def _chunk(self, start: int, rows: slice) -> np.ndarray:
        """Return the vectors of a chunk; those that a head made are kept, the encoder's own stay on disk."""
        if isinstance(self._reader, Plain):
            return self._table.vectors(rows)
        if start not in self._made:
            whole: Any = getattr(self._reader, "entity_vectors", None)
            part = self._view.slice(rows.start, rows.stop)
            self._made[start] = whole(part) if whole else self._reader.entity_head(self._table.vectors(rows))
        return self._made[start]

    def _queries(self, mentions: Sequence[Mention], table: FeatureTable) -> np.ndarray:
        whole: Any = getattr(self._reader, "mention_vectors", None)
        found: np.ndarray = whole(mentions) if whole else self._reader.mention_head(table.vectors())
        return found

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return the nearest entities by cosine; ids break ties; nothing for a mention without text.

        Entities are encoded at the first search; when the knowledge base has changed, what is new is.
        """
        if self._kb.view() is not self._view:
            self._read(self._kb.view())
        table = self._store.encode(self._encoder, self._reader.read_mentions(mentions))
        queries, best = self._queries(mentions, table), [np.empty(0)] * len(mentions)
        rows = [np.empty(0, np.int64)] * len(mentions)
        for start in range(0, len(self._ids), CHUNK):
            chunk = slice(start, min(start + CHUNK, len(self._ids)))
            scores = np.round(queries @ self._chunk(start, chunk).T, 5)
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


def missing(kb: KnowledgeBase, store: FeatureStore, encoder: Encoder, reader: Reader) -> int:
    """Return how many entity texts of a knowledge base the store has not encoded yet."""
    return store.lacking(encoder, reader.read_entities(kb.view()))
