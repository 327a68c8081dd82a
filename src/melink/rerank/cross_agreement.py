"""How a mention's text and an entity agree in what an encoder reads badly: names around, years, he or she.

Each function looks at one pair alone and returns NaN for what does not exist: no year, no further name, no pronoun.
Years, names and centuries are read in any language that writes them alike; pronouns and words of remembrance are
English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from jaxtyping import Float64
from rapidfuzz.distance import Levenshtein

from melink.kb.folding import tokens
from melink.methods.triple_score import STOPWORDS, context_words
from melink.records import Entity, Mention

AGES: Final = (-25, 0, 15, 30, 50, 75, 110)
"""Knots of the curve of years since an entity's first year."""
LATER: Final = (0, 2, 10, 50, 150)
"""Knots of the curve of years since its last."""
APART: Final = (0, 20, 40, 80, 160)
"""Knots of the curve of years between an entity and others that the text names."""
MOST_TEXT: Final = 20_000
"""Characters of a text that are searched for words and years."""
_ALMOST: Final = 0.66
"""Likeness of two spellings of a word, 1 − distance / length."""
_MOST_NAMES: Final = 50
_MOST_AROUND: Final = 200
_YEAR: Final = re.compile(r"(?<!\d)(?<!\d[.,:])(?:0\d{3}|1\d{3}|20\d{2})(?!\d|[.,:]\d)")
_CENTURY: Final = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)[ -]century", re.IGNORECASE)
_END: Final = re.compile(r"\b(?:death|died|dissolved|abolished|end)\b", re.IGNORECASE)
_BEFORE: Final = re.compile(r"(?:[^\W\d_][\w.'’-]*\s+){1,4}\Z")
_AFTER: Final = re.compile(r"\A(?:\s+[^\W\d_][\w.'’-]*){1,3}")
_MEN: Final = "he him his himself mr king prince duke father son brother husband actor"
_NAME: Final = re.compile(
    r"[A-ZÀ-ÖØ-ÞĀ-Ž][\w.'’-]*(?:\s+(?:de|da|di|du|van|von|der|la|el|al|bin|of)\b)*(?:\s+[A-ZÀ-ÖØ-ÞĀ-Ž][\w.'’-]*){1,3}"
)
_SEARCHED: Final = 2_000
_MOST_OTHERS: Final = 12
_HE: Final = frozenset(_MEN.split())
_WOMEN: Final = "she her hers herself mrs miss ms queen princess duchess mother daughter sister actress"
_SHE: Final = frozenset(_WOMEN.split())
_MEMORIALS: Final = (
    "anniversary bust cemetery commemorative copy depicted depicting depiction drawing engraving grave icon memorial "
    "memory monument mosaic mural museum named painting plaque portrait relief sculpture stamp statue tomb"
)
_REMEMBERED: Final = frozenset(_MEMORIALS.split())


@dataclass(frozen=True)
class Told:
    """What a mention's text tells.

    Attributes:
        context: Words around the mention.
        years: Years.
        own: Words of the mention.
        beside: Words right before and after it that begin like a name.
        around: All words but those of the mention.
        she: Whether it tells of a woman; None when it does not say, or of both.
        remembered: Whether it tells of a picture, a monument and the like, which come later than what they show.
        others: Runs of words that look like further names, as written.
    """

    context: frozenset[str]
    years: tuple[int, ...]
    own: frozenset[str]
    beside: frozenset[str]
    around: frozenset[str]
    she: bool | None
    remembered: bool
    others: tuple[str, ...]

    @classmethod
    def of(cls, mention: Mention) -> Self:
        """Read a mention."""
        text, own = mention.text[:MOST_TEXT], frozenset(tokens(mention.surface))
        words = frozenset(tokens(text)) - STOPWORDS
        beside: list[str] = []
        if mention.start is not None and mention.end is not None:
            before = _BEFORE.search(text[: mention.start][-80:])
            after = _AFTER.search(text[mention.end :][:80])
            beside = _run(before.group().split()[::-1] if before else []) + _run(after.group().split() if after else [])
        he, she = bool(words & _HE), bool(words & _SHE)
        around = frozenset(sorted(words - own)[:_MOST_AROUND])
        return cls(
            frozenset(context_words(mention)),
            tuple(years(text)),
            own,
            frozenset(beside) - STOPWORDS - own,
            around,
            she if he != she else None,
            bool(words & _REMEMBERED),
            _others(text, mention.start, mention.end),
        )


def _others(text: str, start: int | None, end: int | None) -> tuple[str, ...]:
    """Return the names of two to four words that stand in a text apart from the mention, each once."""
    pieces = [text] if start is None or end is None else [text[:start], text[end:]]
    runs = [run.group() for piece in pieces for run in _NAME.finditer(piece[:_SEARCHED])]
    return tuple(dict.fromkeys(runs))[:_MOST_OTHERS]


def _run(words: Sequence[str]) -> list[str]:
    """Return the folded words up to the first that does not begin like a name, or that ends a clause."""
    found: list[str] = []
    for word in words:
        if not word[0].isupper():
            break
        found += tokens(word)
    return found


def called(names: Sequence[str], told: Told) -> tuple[float, float, float]:
    """Return how the names of an entity go with the words beside a mention.

    A word counts in full, as 0.9 where it is spelt almost so, and beside a mention as 0.7 where one is the beginning of
    the other ("Cz. Lang", "Ashton Carter").

    Returns:
        Shares of a name's other words that stand beside the mention, and anywhere in its text, for the best name (NaN
        when no name that shares a word with the mention has another one); and the share of the words beside the mention
        that none of the names has (NaN when there are none).
    """
    best: tuple[float, float] | None = None
    known = set[str]()
    for name in names[:_MOST_NAMES]:
        words = frozenset(tokens(name))
        known |= words
        others = sorted(words - told.own - STOPWORDS)
        if others and words & told.own:
            beside = sum(max(_spelt(word, told.beside), _begun(word, told.beside)) for word in others)
            around = sum(_spelt(word, told.around) for word in others)
            best = max(best or (0.0, 0.0), (beside / len(others), around / len(others)))
    met = [max(_spelt(word, known), _begun(word, known)) for word in sorted(told.beside)]
    nan = float("nan")
    return (*(best or (nan, nan)), 1 - sum(met) / len(met) if met else nan)


def _spelt(word: str, among: Set[str]) -> float:
    """Return how surely a word stands among others."""
    if word in among:
        return 1.0
    others = [other for other in among if min(len(word), len(other)) > 3]
    return 0.9 if any(Levenshtein.normalized_similarity(word, other) >= _ALMOST for other in others) else 0.0


def _begun(word: str, among: Set[str]) -> float:
    """Return 0.7 when a word is the beginning of another, or another of it."""
    return 0.7 if any(word.startswith(other) or other.startswith(word) for other in among) else 0.0


def gendered(entity: Entity, words: frozenset[str], told: Told) -> float:
    """Return 1 when the text tells of a woman and the entity is one, or neither; 0 when they differ; else NaN."""
    said = words | {triple.tail_label.casefold() or triple.tail.casefold() for triple in entity.triples}
    female, male = "female" in said, "male" in said
    if told.she is None or female == male:
        return float("nan")
    return float(told.she == female)


def about(entity: Entity) -> str:
    """Return what is said of an entity, without its names."""
    parts = (entity.description, entity.attributes, entity.extract, " ".join(entity.types))
    return " ".join(filter(None, parts))[:MOST_TEXT]


def years(text: str) -> list[int]:
    """Return the years that a text names, in order of appearance; a century stands for its middle."""
    found = [int(year) for year in _YEAR.findall(text)]
    return found + [100 * int(number) - 50 for number in _CENTURY.findall(text) if 0 < int(number) <= 21]


def _signed(date: str) -> list[int]:
    """Return the years of a date as knowledge bases write it, below 0 before the common era."""
    return [-year if date.endswith("BCE") else year for year in years(date)]


def dated(told: Told, entity: Entity, text: str) -> list[float]:
    """Return where the sentence's years lie in an entity's time; NaN when the sentence or the entity has no year.

    Args:
        told: With the years of the sentence.
        entity: Its dates as triples count, too.
        text: What is said of it.

    Returns:
        The mean over years of one hat function for each of :data:`AGES` (years since the first); of :data:`LATER`
        (years since the last, 0 while it is not known to have ended) where nothing is remembered; and of the same
        where something is.
    """
    nothing = [float("nan")]
    facts = [(triple.relation_label or triple.relation, triple.tail) for triple in entity.triples if triple.literal]
    dates = [(relation, when) for relation, when in facts if "date" in relation]
    own = years(text) + [year for _, when in dates for year in _signed(when)]
    if not told.years or not own:
        return nothing * (len(AGES) + 2 * len(LATER))
    over = len(own) > 1 and bool(_END.search(text) or any(_END.search(relation) for relation, _ in dates))
    when = np.asarray(told.years, dtype=np.float64)
    ages, later = _hats(when - min(own), AGES), _hats(when - max(own) if over else np.zeros(1), LATER)
    two = [nothing * len(LATER), later] if told.remembered else [later, nothing * len(LATER)]
    return [*ages, *two[0], *two[1]]


def alike(one: Profile, other: Profile, rarity: Callable[[str], float]) -> float:
    """Return how much two entities have in common: shared words by rarity, 0–1."""
    weight = [sum(map(rarity, sorted(words))) for words in (one.words & other.words, one.words, other.words)]
    return float(weight[0] / np.sqrt(weight[1] * weight[2])) if weight[0] else 0.0


@dataclass(frozen=True)
class Profile:
    """What an entity has in common with others.

    Attributes:
        words: Of what is said of it, without years.
        first: Its first year; None when it is not known.
    """

    words: frozenset[str]
    first: int | None

    @classmethod
    def of(cls, entity: Entity) -> Self:
        """Read an entity."""
        text = about(entity)
        own = years(text)
        words = frozenset(word for word in tokens(text) if not word.isdigit()) - STOPWORDS
        return cls(words, min(own) if own else None)


def apart(one: Profile, others: Sequence[Profile]) -> list[float]:
    """Return how many years lie between the first years of an entity and of others, as the mean of hat functions."""
    gaps = [abs(one.first - other.first) for other in others if one.first is not None and other.first is not None]
    return _hats(np.asarray(gaps, dtype=np.float64), APART) if gaps else [float("nan")] * len(APART)


def _hats(values: Float64[np.ndarray, " n"], knots: Sequence[int]) -> list[float]:
    """Return the mean of each hat function; beyond the outermost knots the outermost hats are 1."""
    found = np.zeros(len(knots))
    for value in values:
        place = int(np.searchsorted(knots, value))
        if place in (0, len(knots)):
            found[min(place, len(knots) - 1)] += 1
        else:
            share = (value - knots[place - 1]) / (knots[place] - knots[place - 1])
            found[place - 1 : place + 1] += 1 - share, share
    return list((found / len(values)).tolist())
