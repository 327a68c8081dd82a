"""How alike are two names? One number in 0–1, the same for a pair, a shortlist and a whole knowledge base.

With token sets M, N and character-gram sets G_m, G_n of the folded mention and entity name::

    s(m, n) = ½ |M∩N|/|M|  +  3/10 |G_m∩G_n|/|G_m|  +  1/5 · 2|G_m∩G_n|/(|G_m|+|G_n|)

and an entity's score is the best over its names. Containment leads, so that a surname alone finds its bearers; the
symmetric last term prefers "Oscar II" over "Oscar II of Nowhere". Nothing here depends on other entities: a score
never moves when an entity is added. Our own design; METHODS.md is silent on name evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy import sparse

from melink.kb.folding import fold

TOKEN_COVER, GRAM_COVER, GRAM_DICE = 0.5, 0.3, 0.2


def grams(folded: str) -> set[str]:
    """Return the character grams of a folded name: each word's padded trigrams and its first letter."""
    found = set()
    for word in folded.split():
        padded = f"^{word}$"
        found.add(padded[:2])
        found.update(padded[i : i + 3] for i in range(len(padded) - 2))
    return found


def similarity(mention: str, name: str) -> float:
    """Score one pair of raw strings; 0 when either has nothing to compare."""
    left, right = fold(mention), fold(name)
    words, their_words, parts, their_parts = set(left.split()), set(right.split()), grams(left), grams(right)
    if not words or not their_words:
        return 0.0
    shared = len(parts & their_parts)
    return (
        TOKEN_COVER * len(words & their_words) / len(words)
        + GRAM_COVER * shared / len(parts)
        + GRAM_DICE * 2 * shared / (len(parts) + len(their_parts))
    )


@dataclass(frozen=True, slots=True)
class NameSide:
    """Names as sparse indicator rows; ``starts`` marks the first name of each owner (mentions own exactly one)."""

    words: sparse.csr_matrix
    grams: sparse.csr_matrix
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


class NameScorer:
    """Scores every mention of a batch against every entity of a chunk with two sparse products.

    One instance shares one vocabulary between both sides; it grows as names are seen.
    """

    def __init__(self) -> None:
        self._columns: tuple[dict[str, int], dict[str, int]] = ({}, {})

    def side(self, names: Iterable[Sequence[str]]) -> NameSide:
        """Index the names of each owner (an entity's label and aliases, or a mention's one surface)."""
        starts, folded = [], []
        for own in names:
            starts.append(len(folded))
            folded += dict.fromkeys(map(fold, own)) or [""]
        words = _indicator([set(name.split()) for name in folded], self._columns[0])
        parts = _indicator([grams(name) for name in folded], self._columns[1])
        return NameSide(words, parts, np.asarray(starts, dtype=np.int64))

    def score(self, mentions: NameSide, entities: NameSide) -> Float32[np.ndarray, "m n"]:
        """Return the best name similarity of each mention with each entity."""
        if not len(mentions) or not len(entities):
            return np.zeros((len(mentions), len(entities)), dtype=np.float32)
        mention_words, mention_grams = _sizes(mentions.words), _sizes(mentions.grams)
        name_grams = _sizes(entities.grams)
        scores = _product(mentions.grams, entities.grams)
        scores *= GRAM_COVER / mention_grams[:, None] + 2 * GRAM_DICE / (mention_grams[:, None] + name_grams[None])
        words = _product(mentions.words, entities.words)
        words *= TOKEN_COVER / mention_words[:, None]
        scores += words
        if len(entities.starts) == scores.shape[1]:
            return scores
        return np.maximum.reduceat(scores, entities.starts, axis=1)


def _indicator(rows: list[set[str]], columns: dict[str, int]) -> sparse.csr_matrix:
    indices, ends = [], [0]
    for row in rows:
        indices += [columns.setdefault(item, len(columns)) for item in row]
        ends.append(len(indices))
    data = np.ones(len(indices), dtype=np.float32)
    return sparse.csr_matrix((data, np.asarray(indices, np.int32), np.asarray(ends)), shape=(len(rows), len(columns)))


def _sizes(matrix: sparse.csr_matrix) -> Float32[np.ndarray, " n"]:
    return np.maximum(np.diff(matrix.indptr), 1).astype(np.float32)


def _product(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Float32[np.ndarray, "m n"]:
    width = max(left.shape[1], right.shape[1])
    wide = [sparse.csr_matrix((x.data, x.indices, x.indptr), shape=(x.shape[0], width)) for x in (left, right)]
    product: np.ndarray = (wide[0] @ wide[1].T).toarray()
    return product
