"""How alike are two names? One number in 0–1, the same for a pair, a shortlist and a whole knowledge base.

With token sets M, N and character-gram sets G_m, G_n of the folded mention and entity name::

    s(m, n) = 0.4 |M∩N|/|M|  +  0.24 |G_m∩G_n|/|G_m|  +  0.16 · 2|G_m∩G_n|/(|G_m|+|G_n|)  +  0.2 [M = N]

and an entity's score is the best over its names. Containment leads, so that a surname alone finds its bearers; the
symmetric third term prefers "Oscar II" over "Oscar II of Nowhere"; the last one keeps "Canada" ahead of everything
that has Canada in its name, and does not mind "Jordan, Michael". Nothing here depends on other entities: a score
never moves when an entity is added. Our own design: the papers leave name evidence to their text encoders.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
from jaxtyping import Float32
from scipy import sparse

from melink.kb.folding import fold

KEPT = 1 << 16
"""Names whose columns are remembered, so that a batch does not read again what the one before read."""
TOKEN_COVER, GRAM_COVER, GRAM_DICE, SAME_WORDS = 0.4, 0.24, 0.16, 0.2


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
        + SAME_WORDS * (words == their_words)
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

    One instance shares one vocabulary between both sides; it grows as names are seen. Names seen lately are kept.
    """

    def __init__(self) -> None:
        self._words: dict[str, int] = {}
        self._grams: dict[str, int] = {}
        self._grams_of: dict[str, frozenset[int]] = {}
        self._columns = lru_cache(maxsize=KEPT)(self._look_up)
        self._busy = threading.Lock()

    def side(self, names: Iterable[Sequence[str]]) -> NameSide:
        """Index the names of each owner (an entity's label and aliases, or a mention's one surface)."""
        starts: list[int] = []
        words: list[frozenset[int]] = []
        parts: list[frozenset[int]] = []
        with self._busy:  # two threads must not give one number to two words
            for own in names:
                starts.append(len(words))
                for name in own or ("",):
                    found = self._columns(name)
                    words.append(found[0])
                    parts.append(found[1])
            widths = len(self._words), len(self._grams)
        matrices = _indicator(words, widths[0]), _indicator(parts, widths[1])
        return NameSide(*matrices, np.asarray(starts, dtype=np.int64))

    def _look_up(self, name: str) -> tuple[frozenset[int], frozenset[int]]:
        words = set(fold(name).split())
        for word in [word for word in words if word not in self._grams_of]:
            self._words.setdefault(word, len(self._words))
            self._grams_of[word] = frozenset(self._grams.setdefault(gram, len(self._grams)) for gram in grams(word))
        parts = chain.from_iterable(self._grams_of[word] for word in words)
        return frozenset(self._words[word] for word in words), frozenset(parts)

    def score(self, mentions: NameSide, entities: NameSide) -> Float32[np.ndarray, "m n"]:
        """Return the best name similarity of each mention with each entity."""
        if not len(mentions) or not len(entities):
            return np.zeros((len(mentions), len(entities)), dtype=np.float32)
        mention_words, mention_grams = _sizes(mentions.words), _sizes(mentions.grams)
        name_grams = _sizes(entities.grams)
        scores = _product(mentions.grams, entities.grams)
        scores *= GRAM_COVER / mention_grams[:, None] + 2 * GRAM_DICE / (mention_grams[:, None] + name_grams[None])
        words = _product(mentions.words, entities.words)
        same = (words == mention_words[:, None]) & (words == _sizes(entities.words)[None])
        words *= TOKEN_COVER / mention_words[:, None]
        scores += words + np.float32(SAME_WORDS) * same
        if len(entities.starts) == scores.shape[1]:
            return scores
        return np.maximum.reduceat(scores, entities.starts, axis=1)


def _indicator(rows: Sequence[frozenset[int]], width: int) -> sparse.csr_matrix:
    ends = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=ends[1:])
    indices = np.fromiter(chain.from_iterable(rows), np.int32, int(ends[-1]))
    return sparse.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, ends), shape=(len(rows), width))


def _sizes(matrix: sparse.csr_matrix) -> Float32[np.ndarray, " n"]:
    sizes: np.ndarray = np.maximum(np.diff(matrix.indptr), 1).astype(np.float32)
    return sizes


def _product(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Float32[np.ndarray, "m n"]:
    width = max(left.shape[1], right.shape[1])
    wide = [sparse.csr_matrix((x.data, x.indices, x.indptr), shape=(x.shape[0], width)) for x in (left, right)]
    product: np.ndarray = (wide[0] @ wide[1].T).toarray()
    return product
