"""Tails of a knowledge base found as whole words in a sentence, with the relation that they most often have."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from melink.kb.folding import fold
from melink.records import Triple

if TYPE_CHECKING:
    from melink.kb.store import KnowledgeBase

MOST_WORDS: Final = 7
"""Longest tail that is looked for."""
_SHORTEST: Final = 3
_WORD: Final = re.compile(r"[^\W_]+(?:['’](?!s\b)[^\W_]+)*")
_EVERYDAY: Final = (
    "the and for with from his her its their this that was were are has have had not you all one two new first last",
    "who may will can june march april august art act man woman people other life live time day year left right",
)
_COMMON: Final = frozenset(" ".join(_EVERYDAY).split())
"""Words that are no evidence of a fact, though some knowledge base has them as a tail."""


class Word(NamedTuple):
    """A word of a text: folded, where it begins and ends, and whether it begins with a capital letter."""

    folded: str
    start: int
    end: int
    capital: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """A tail of the knowledge base.

    Attributes:
        label: Its usual spelling.
        relations: Relations that it has, most frequent first, each with its share.
        rarity: 1 − log(1 + df) / log(1 + N), in 0–1: df of the N entities have it.
    """

    label: str
    relations: tuple[tuple[str, float], ...]
    rarity: float

    @property
    def relation(self) -> str:
        """The relation that it most often has."""
        return self.relations[0][0]

    @property
    def share(self) -> float:
        """How large a part of its facts has that relation, in 0–1."""
        return self.relations[0][1]

    @property
    def named(self) -> bool:
        """Whether it is a proper name, so that small letters in a text do not mean it."""
        return not self.label[:1].islower()


def words(text: str) -> list[Word]:
    """Return the words of a text, in order."""
    return [Word(_folded(m[0]), m.start(), m.end(), m[0][:1].isupper()) for m in _WORD.finditer(text)]


@lru_cache(maxsize=1 << 16)
def _folded(word: str) -> str:
    return fold(word)


class TailIndex:
    """Finds tails in texts.

    Args:
        facts: Different facts, each with the number of entities that state it.
        entities: How many entities there are.
    """

    def __init__(self, facts: Iterable[tuple[Triple, int]], entities: int) -> None:
        spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        relations: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for triple, count in facts:
            label = triple.tail if triple.literal else triple.tail_label
            key, relation = fold(label), triple.relation_label or triple.relation
            if key and (triple.relation_label or triple.literal):
                spellings[key][label] += count
                relations[key][relation] += count
        log_all = math.log1p(max(entities, 2))
        self._tails: dict[str, Tail] = {}
        for key, counts in relations.items():
            total = counts.total()
            ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            label = min(spellings[key], key=lambda spelling: (-spellings[key][spelling], spelling))
            rarity = max(0.0, 1 - math.log1p(total) / log_all)
            self._tails[key] = Tail(label, tuple((name, n / total) for name, n in ranked), rarity)
        self._longest: dict[str, int] = {}
        for key in filter(_worth_finding, self._tails):
            first, length = key.partition(" ")[0], key.count(" ") + 1
            self._longest[first] = max(length, self._longest.get(first, 0))

    @classmethod
    def of(cls, kb: KnowledgeBase) -> TailIndex:
        """Index all tails of a knowledge base."""
        return cls(kb.view().distinct_facts(), len(kb))

    def __len__(self) -> int:
        return len(self._tails)

    def get(self, label: str) -> Tail | None:
        """Return a tail by its name, whatever its case and signs."""
        return self._tails.get(fold(label))

    def find(self, text: Sequence[Word]) -> Iterator[tuple[int, int, Tail]]:
        """Yield the tails in a text with their first word and the word behind them: the longest at each place, none
        inside another. A proper name counts only with capital letters.
        """
        at = 0
        while at < len(text):
            longest = min(self._longest.get(text[at].folded, 0), len(text) - at)
            for length in range(longest, 0, -1):
                key = " ".join(word.folded for word in text[at : at + length])
                tail = self._tails.get(key) if _worth_finding(key) else None
                if tail is not None and _spelled(tail, text[at], text[at + length - 1]):
                    yield at, at + length, tail
                    at += length
                    break
            else:
                at += 1


def _spelled(tail: Tail, first: Word, last: Word) -> bool:
    """Return whether a proper name begins and ends as it should: "The night watch" is no painting."""
    small = tail.label.rpartition(" ")[2][:1].islower()
    return not tail.named or (first.capital and (last.capital or small))


def _worth_finding(key: str) -> bool:
    if len(key) < _SHORTEST or key in _COMMON or not any(map(str.isalpha, key)):
        return False
    return key.count(" ") < MOST_WORDS and not key[0].isdigit()
