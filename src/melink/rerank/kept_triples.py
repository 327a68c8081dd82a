"""Which facts of the candidates speak to what is believed about the mention: KGMEL's filter of triples.

For each triple (m, r, t) of the mention, the n tails and the 2n relations of the candidates' triples that are most
similar to t and to r survive, by the dot product of text embeddings, among all K candidates together. A triple of a
candidate is kept when its tail and its relation both survive, each for any of the mention's triples (METHODS.md §3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float32

from melink.features.encoder import Encoder
from melink.features.store import FeatureStore
from melink.features.text import mention_text
from melink.records import Triple
from melink.rerank.base import Case
from melink.rerank.prompt import plain

MOST_OF_MENTION: Final = 50
"""Most triples of a mention that are used."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A triple of a candidate that is shown.

    Attributes:
        triple: The candidate's.
        answers: The triple of the mention that it is most similar to; None when the mention has none.
        similarity: To that triple, the mean over relation and tail; without one, of the whole to the sentence; None
            where nothing was compared.
    """

    triple: Triple
    answers: Triple | None = None
    similarity: float | None = None

    def evidence(self) -> dict[str, Any]:
        """Return plain values for a person."""
        found: dict[str, Any] = {"triple": words_of(self.triple)}
        if self.answers is not None:
            found["answers"] = words_of(self.answers)
        if self.similarity is not None:
            found["similarity"] = round(self.similarity, 3)
        return found


def surviving(wanted: Float32[np.ndarray, "q d"], offered: Float32[np.ndarray, "u d"], n: int) -> Bool[np.ndarray, u]:
    """Return which of the offered are among the ``n`` most similar to any of the wanted; the earlier of equal ones."""
    similar = np.round(wanted @ offered.T, 5)
    best = np.argsort(-similar, axis=1, kind="stable")[:, :n]
    found = np.zeros(len(offered), dtype=bool)
    found[best.ravel()] = True
    return found


class TripleFilter:
    """Keeps of each candidate's triples those that a language model should see.

    Args:
        store: Where embeddings are kept.
        encoder: Compares texts.
        n: Tails that survive for each triple of the mention; twice as many relations.
        most: Triples of a candidate that are kept, the most similar ones first.
        limit: Triples of a candidate that are looked at, the first ones of the knowledge base.
    """

    def __init__(self, store: FeatureStore, encoder: Encoder, n: int, most: int, limit: int) -> None:
        self._store, self._encoder = store, encoder
        self._n, self._most, self._limit = n, most, limit

    def kept(self, cases: Sequence[Case]) -> list[list[list[Kept]]]:
        """Return, for each case, what is kept of each candidate, most similar first.

        A mention without triples filters nothing: of each candidate the triples that are most similar to the sentence
        are kept.
        """
        owned = [[spelled(entity.triples)[: self._limit] for entity in case.entities] for case in cases]
        asked = [spelled(case.mention.triples)[:MOST_OF_MENTION] for case in cases]
        texts: dict[str, int] = {}
        for case, own, wanted in zip(cases, owned, asked, strict=True):
            triples = [*wanted, *(triple for each in own for triple in each)]
            words = (text for each in triples for text in (relation_of(each), tail_of(each)))
            whole = [_sentence(case), *map(words_of, triples)]
            for text in words if wanted else whole:
                texts.setdefault(text, len(texts))
        vectors = self._store.encode(self._encoder, list(texts)).vectors() if texts else np.zeros((0, 1), np.float32)
        space = _Space(texts, vectors)
        return [
            self._filtered(space, wanted, own) if wanted else self._nearest(space, _sentence(case), own)
            for case, own, wanted in zip(cases, owned, asked, strict=True)
        ]

    def _filtered(self, space: _Space, wanted: Sequence[Triple], owned: Sequence[Sequence[Triple]]) -> list[list[Kept]]:
        tails = list(dict.fromkeys(tail_of(triple) for own in owned for triple in own))
        relations = list(dict.fromkeys(relation_of(triple) for own in owned for triple in own))
        our_tails, our_relations = space(map(tail_of, wanted)), space(map(relation_of, wanted))
        those = surviving(our_tails, space(tails), self._n)
        these = surviving(our_relations, space(relations), 2 * self._n)
        good_tails = {tail for tail, stays in zip(tails, those, strict=True) if stays}
        good_relations = {relation for relation, stays in zip(relations, these, strict=True) if stays}
        found = []
        for own in owned:
            left = [each for each in own if tail_of(each) in good_tails and relation_of(each) in good_relations]
            both = our_relations @ space(map(relation_of, left)).T + our_tails @ space(map(tail_of, left)).T
            similar = np.clip(np.round(both / 2, 5), -1, 1)  # vectors are kept in 16 bits
            best = similar.argmax(axis=0)
            kept = [
                Kept(each, wanted[m], float(similar[m, at]))
                for at, (each, m) in enumerate(zip(left, best, strict=True))
            ]
            found.append(self._best(kept))
        return found

    def _nearest(self, space: _Space, sentence: str, owned: Sequence[Sequence[Triple]]) -> list[list[Kept]]:
        ours = space([sentence])[0]
        found = []
        for own in owned:
            similar = np.clip(np.round(space(map(words_of, own)) @ ours, 5), -1, 1)
            found.append(self._best([Kept(each, None, float(near)) for each, near in zip(own, similar, strict=True)]))
        return found

    def _best(self, kept: list[Kept]) -> list[Kept]:
        return sorted(kept, key=lambda each: -(each.similarity or 0.0))[: self._most]


def first(triples: Iterable[Triple], most: int) -> list[Kept]:
    """Return the first triples of a candidate, unfiltered."""
    return [Kept(triple) for triple in spelled(triples)[:most]]


def relation_of(triple: Triple) -> str:
    """Return the name of a relation as it is compared and shown."""
    return plain(triple.relation_label or triple.relation, 100)


def tail_of(triple: Triple) -> str:
    """Return the name of a tail as it is compared and shown."""
    return plain(triple.tail_label or triple.tail, 200)


def words_of(triple: Triple) -> str:
    """Return both as they are shown."""
    return f"{relation_of(triple)}: {tail_of(triple)}"


def spelled(triples: Iterable[Triple]) -> list[Triple]:
    """Return the triples that have words for relation and tail, each wording once, in order."""
    found: dict[tuple[str, str], Triple] = {}
    for each in triples:
        words = relation_of(each), tail_of(each)
        if all(words):
            found.setdefault(words, each)
    return list(found.values())


def _sentence(case: Case) -> str:
    return plain(mention_text(case.mention), 1000)


class _Space:
    """Vectors of texts."""

    def __init__(self, rows: dict[str, int], vectors: Float32[np.ndarray, "n d"]) -> None:
        self._rows, self._vectors = rows, vectors

    def __call__(self, texts: Iterable[str]) -> Float32[np.ndarray, "q d"]:
        found: np.ndarray = self._vectors[[self._rows[text] for text in texts]].reshape(-1, self._vectors.shape[1])
        return found
