"""A method that reads letters: small enough to be checked by eye, complete enough for every part of the engine."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from melink.kb.view import EntityView
from melink.methods.base import Parts
from melink.methods.pairwise import Bounds
from melink.records import Entity, Mention

LENGTH = 8


class Pair(NamedTuple):
    """Two halves of the alphabet, counted; nested, as terms may be."""

    first: Tensor
    last: Tensor


class LetterTerms(NamedTuple):
    """Terms: ``places`` are letters in order, for the remainder alone."""

    counts: Pair
    places: Tensor
    known: Tensor


class Letters:
    """Letters in common, and ``weight`` · tanh of how many stand at the same place.

    Args:
        weight: How much of the score is the remainder; also its bound.
    """

    name, paper, trains, needs = "letters", "none", False, frozenset[Any]()
    device = "cpu"
    heavy = frozenset({"places"})
    remainder = frozenset({"places", "known"})
    refining = frozenset({"counts"})

    def __init__(self, weight: float = 0.5) -> None:
        self.weight = weight
        self.computed: list[int] = []
        self.scored = 0

    def warm(self, view: EntityView) -> None:
        """Nothing is encoded."""

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        return {}

    def fingerprint(self) -> str:
        return f"letters {self.weight}"

    def terms(self, view: EntityView) -> LetterTerms:
        self.computed.append(len(view))
        return self._of(view.labels)

    def revived(self, terms: LetterTerms, view: EntityView | None) -> LetterTerms:
        return LetterTerms(Pair(*(x.float() for x in terms.counts)), terms.places.float(), terms.known)

    def mentions(self, mentions: Sequence[Mention]) -> LetterTerms:
        return self.revived(self._of([mention.surface for mention in mentions]), None)

    def entities(self, view: EntityView) -> LetterTerms:
        return self.revived(self.terms(view), view)

    def roughly(self, mentions: LetterTerms, entities: LetterTerms) -> Tensor:
        return mentions.counts.first @ entities.counts.first.T

    def refined(self, mentions: LetterTerms, m: int, entities: LetterTerms) -> tuple[Tensor, Tensor]:
        more = entities.counts.last @ mentions.counts.last[m]
        return more, torch.full_like(more, self.weight)

    def bounded(self, mentions: LetterTerms, entities: LetterTerms) -> Bounds:
        middle = self.roughly(mentions, entities) + mentions.counts.last @ entities.counts.last.T
        return Bounds(middle, torch.full((1, middle.shape[1]), self.weight))

    def tightened(self, mentions: LetterTerms, m: int, entities: LetterTerms) -> tuple[Tensor, Tensor]:
        most = torch.full((len(entities.known),), self.weight)
        return most * 0, most

    def exactly(self, mentions: LetterTerms, m: int, entities: LetterTerms) -> Tensor:
        self.scored += len(entities.known)
        return self.densely(
            LetterTerms(mentions.counts, mentions.places[m : m + 1], mentions.known[m : m + 1]), entities
        )[0]

    def densely(self, mentions: LetterTerms, entities: LetterTerms) -> Tensor:
        ours, theirs = mentions.places[:, None], entities.places[None]
        same = ((ours == theirs) & (ours > 0)).sum(2)
        return self.weight * torch.tanh(same * 0.3) * entities.known

    def score(self, mentions: LetterTerms, entities: LetterTerms, where: Any = None) -> Parts:
        cheap = self.bounded(mentions, entities).middle
        return {"letters": cheap.numpy(), "places": self.densely(mentions, entities).numpy()}

    def totals(self, mentions: Sequence[Mention], labels: Sequence[str]) -> np.ndarray:
        """Return every score, by hand: in 1e-4, as whole numbers."""
        out = np.zeros((len(mentions), len(labels)))
        for m, mention in enumerate(mentions):
            for n, label in enumerate(labels):
                common = sum(mention.surface.count(x) * label.count(x) for x in string.ascii_lowercase)
                same = sum(a == b for a, b in zip(mention.surface[:LENGTH], label[:LENGTH], strict=False))
                out[m, n] = common + self.weight * np.tanh(0.3 * same)
        found: np.ndarray = np.rint(out * 1e4).astype(np.int64)
        return found

    def _of(self, texts: Sequence[str]) -> LetterTerms:
        counts = torch.tensor([[t.count(x) for x in string.ascii_lowercase] for t in texts], dtype=torch.float16)
        places = torch.zeros(len(texts), LENGTH, 1, dtype=torch.float16)
        for row, text in enumerate(texts):
            for place, letter in enumerate(text[:LENGTH]):
                places[row, place] = ord(letter)
        counts = counts.reshape(len(texts), 26)
        known = torch.tensor([bool(text) for text in texts], dtype=torch.bool)
        return LetterTerms(Pair(counts[:, :20], counts[:, 20:]), places[..., 0], known)


def words(count: int, seed: int = 0) -> list[str]:
    """Draw words of one to nine letters, every seventh of them the one before again."""
    rng = np.random.default_rng(seed)
    found: list[str] = []
    for n in range(count):
        fresh = "".join(rng.choice(list("aabcdeeghiklmnoorstuxyz"), int(rng.integers(1, 10))))
        found.append(found[-1] if n % 7 == 6 else fresh)
    return found


def asked(count: int, seed: int = 1) -> list[Mention]:
    """Draw mentions."""
    return [Mention(str(n), word, word) for n, word in enumerate(words(count, seed))]
