"""Person names by token: surname only, initials, titles, one misspelled letter.

"Sen. J. Q. Public Jr." and "Public" both find "John Quincy Public". Titles in front and suffixes behind are dropped;
what is left must agree token by token: the same word (1), an initial (0.8), or a word one edit away (0.7). The
surname, the last word, must agree as a word. A score is the mean over the mention's tokens. Works on any name of
several words, not only on those of people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rapidfuzz.distance import OSA

from melink.candidates.base import Hits
from melink.candidates.rescore import names_of
from melink.kb.folding import tokens
from melink.kb.store import KnowledgeBase
from melink.records import Mention

_TITLES: Final = (
    "mr mrs ms miss dr prof professor sir dame lord lady rev reverend fr father sister brother saint st pope cardinal",
    "bishop archbishop president chancellor minister premier sen senator rep representative gov governor mayor judge",
    "justice king queen prince princess duke duchess count countess baron baroness earl emperor empress sultan emir",
    "sheikh shah tsar gen general col colonel capt captain lt lieutenant maj major sgt sergeant admiral adm marshal",
    "commander cmdr hon",
)
TITLES: Final = frozenset(" ".join(_TITLES).split())
"""Words that are dropped in front of a name."""
SUFFIXES: Final = frozenset(("jr", "sr", "ii", "iii", "iv", "phd", "md", "esq", "mp", "obe", "kbe", "mbe"))
"""Words that are dropped behind a name."""

SAME, INITIAL, CLOSE = 1.0, 0.8, 0.7


def name_words(surface: str) -> list[str]:
    """Return the words of a name without titles before it and suffixes behind it; all of them when none are left.

    A title elsewhere is a name: the last word of "Stephen King" is his surname.
    """
    words = tokens(surface)
    start, end = 0, len(words)
    while start < end and words[start] in TITLES:
        start += 1
    while end > start and words[end - 1] in SUFFIXES:
        end -= 1
    return words[start:end] or words


def agreement(mention: Sequence[str], name: Sequence[str]) -> float:
    """Score the words of a mention against those of one name in 0–1; 0 when the surname or any word disagrees."""
    if not mention or not name or _word(mention[-1], name) < CLOSE or len(mention[-1]) == 1:
        return 0.0
    scores = [_word(word, name) for word in mention]
    return sum(scores) / len(scores) if min(scores) > 0 else 0.0


def _word(word: str, name: Sequence[str]) -> float:
    if word in name:
        return SAME
    if len(word) == 1:
        return INITIAL if any(other.startswith(word) for other in name) else 0.0
    if any(len(other) == 1 and word.startswith(other) for other in name):
        return INITIAL
    if len(word) >= 5 and any(OSA.distance(word, other, score_cutoff=1) <= 1 for other in name):
        return CLOSE
    return 0.0


class Persons:
    """Finds bearers of the surname, then compares the whole name token by token."""

    name: ClassVar[str] = "persons"

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return entities whose name agrees, best first; ids break ties."""
        words = [name_words(mention.surface) for mention in mentions]
        found = [[id for id, _ in self._lookup(own, k)] for own in words]
        names = names_of(self._kb, found)
        split = {id: [tokens(name) for name in names[id]] for id in names}
        ranked = []
        for own, ids in zip(words, found, strict=True):
            scored = [(id, max((agreement(own, name) for name in split[id]), default=0.0)) for id in ids]
            ranked.append(sorted((hit for hit in scored if hit[1] > 0), key=lambda hit: (-hit[1], hit[0])))
        return ranked

    def _lookup(self, words: Sequence[str], k: int) -> Hits:
        long = [word for word in words if len(word) > 1]
        return self._kb.names.by_tokens(long, k) if long else []
