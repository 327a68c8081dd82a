"""Which words of a sentence speak about a mention: the title before it, the apposition or the "is a" behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from melink.enrich.tails import Word
from melink.records import Mention

_TITLE_WORDS: Final = 6
_LONGEST: Final = 200
_STOPS: Final = "and with by at in from for to between vs against the or under after before"
_STOP_LEFT: Final = frozenset(_STOPS.split())
_BEHIND: Final = re.compile(
    r"\s*(?:\([^()]{0,80}\)\s*)?(?:,?\s*(?:is|was|became|as)\s+(?:(?:an?|the|one of the)\s+)?|,\s*(?:(?:an?|the)\s+)?"
    r"|\s+[-–—]\s+(?:(?:an?|the)\s+)?)"
)
_END: Final = re.compile(
    r"[.;()](?:\s|$)|,\s(?:in|at|on|and)\s|\s[–—-]\s|\b(?:who|which|where|when|while|with|by|as|at|until|since)\s|$"
)
_COPULA: Final = re.compile(r"\s*(?:\([^()]{0,80}\)\s*)?,?\s*(?:is|was)\s+(?:an?|the|one of the)\s")
_ARTICLE: Final = re.compile(r"\s*(?:\([^()]{0,80}\)\s*)?,\s*(?:an?|the)\s")


@dataclass(frozen=True, slots=True)
class Zones:
    """Ranges of characters, empty where there is no such zone.

    Attributes:
        own: The mention.
        before: Words right before it, such as "former US president".
        behind: What is said of it right behind it, such as ", a Dutch painter of ..." or "is a ...".
        described: ``behind`` is a phrase that says what it is.
    """

    own: tuple[int, int]
    before: tuple[int, int]
    behind: tuple[int, int]
    described: bool


def zones(mention: Mention, text: list[Word]) -> Zones:
    """Return the zones of a mention; all are empty when it is no substring of its sentence."""
    if mention.start is None or mention.end is None:
        return Zones((0, 0), (0, 0), (0, 0), False)
    start, end = mention.start, mention.end
    behind = _behind(mention.text, end)
    described = any(pattern.match(mention.text, end) for pattern in (_COPULA, _ARTICLE))
    return Zones((start, end), (_before(mention.text, start, text), start), behind, described)


def _before(sentence: str, start: int, text: list[Word]) -> int:
    """Return where the title begins: at most six words, none across a comma or a word such as "and"."""
    begin = start
    for word in reversed([word for word in text if word.end <= start][-_TITLE_WORDS:]):
        between = sentence[word.end : begin]
        if word.folded in _STOP_LEFT or between.strip(" -.'’") or (between[:1] == "." and len(word.folded) > 4):
            break
        begin = word.start
    return begin


def _behind(sentence: str, end: int) -> tuple[int, int]:
    match = _BEHIND.match(sentence, end)
    if match is None:
        return end, end
    stop = _END.search(sentence, match.end(), match.end() + _LONGEST)
    return match.end(), stop.start() if stop else min(len(sentence), match.end() + _LONGEST)
