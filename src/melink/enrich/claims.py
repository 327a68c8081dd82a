"""What a description says of its subject: years of life, places of birth and death, nationality, occupation.

Only what is plainly said of the subject counts: the bracket behind its name, the first "is a ...", and sentences that
begin with its name or a pronoun. A father's birth is no claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from melink.enrich.families import nation, titled, trades
from melink.enrich.sentences import sentences
from melink.kb.folding import fold, tokens

Kind = Literal["birth year", "death year", "birth place", "death place", "nationality", "occupation"]
_MOST: Final = 12
_YEAR: Final = re.compile(
    r"\b(c\.|ca\.|circa|about|around|before|after)?\s*(\d{3,4})(?!\d|s\b|°)\s*(BCE?\b)?", re.IGNORECASE
)
_MONTHS: Final = "January|February|March|April|May|June|July|August|September|October|November|December"
_OR: Final = re.compile(
    rf"\s*(?:/|\b(?:or|and)\b)\s*(?:(?:\d{{1,2}} )?(?:{_MONTHS})\s+(?:\d{{1,2}},\s*)?)?{_YEAR.pattern}|/(\d\d)\b",
    re.IGNORECASE,
)
"""Another year that may be meant: "1948 or 1950", "1948/49"."""
_SPAN: Final = re.compile(
    r"([^()]{0,80}?\b\d{3,4}(?:\s*BCE?)?)[^()\d–—-]{0,40}?\s*[–—-]\s*([^()]{0,60}?\b\d{3,4}(?:\s*BCE?)?)\b"
)
_BIRTH: Final = re.compile(r"(?<![\w-])(?:was |were )?born\b(?!-)|\bb\.\s?(?=\d)", re.IGNORECASE)
_DEATH: Final = re.compile(
    r"\b(?:died|passed away|was (?:killed|assassinated|executed|murdered))\b|\bd\.\s?(?=\d)", re.IGNORECASE
)
_OTHERS: Final = re.compile(
    r"\b(?:father|mother|parents?|son|daughter|brother|sister|wife|husband|child|children|grand\w+|uncle|aunt|cousin|twins?"
    r"|widow|partner|colleague|friend|siblings?)\b",
    re.IGNORECASE,
)
_BEHIND: Final = (
    "to|on|where|and (?:raised|grew|moved|educated|brought|lived|studied|is|was|has)|as|into|the (?:son|daughter|eldest"
    "|youngest|second|third)|during|when|after|before|while|who|which|with|by|from|at the age|aged|he|she|they|in \\d"
    "|in the|but|then|of"
)
_PLACE: Final = re.compile(
    r"\b(?:in|at|near)\s+(?:the\s+(?:city|town|village|municipality|small town|suburb)\s+of\s+)?"
    rf"((?!(?:{_MONTHS})\b)[A-ZÀ-ÞŁŚŠŽ][^.;()\d]*?)(?=,?\s+(?:{_BEHIND})\b|\s*[.;()]|,?\s*(?:in\s+)?\d|$)"
)
_IS: Final = re.compile(r"\b(?:is|was|are|were)\s+(?:an?|the|one of the|among the)\s+", re.IGNORECASE)
_STOP: Final = re.compile(
    r"[.;:(]|\b(?:who|which|that|whose|where|when|known|best|serving|of|for|from|in|at|with|during|born|active"
    r"|and (?:the|is|was|has)|noted|famous|based|working|remembered|considered)\b"
)
_BORN_THERE: Final = re.compile(r"\b\w+-born\b")
_OFFICE: Final = re.compile(
    r"\b(?:president|king|queen|emperor|empress|shah|sultan|khan|pope|minister|chancellor|governor|senator|premier|ruler"
    r"|monarch|era|period|mayor|ambassador|secretary|member|representative|director|leader|lady|prince|caliph|tsar"
    r"|reign\w*)\b",
    re.IGNORECASE,
)
"""Behind such words a bracket holds the years of an office."""
_PREDICATE: Final = 160
_PRONOUNS: Final = frozenset(("he", "she", "they", "born"))


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that a text says of its subject.

    Attributes:
        kind: What about.
        values: Years of which one is meant, parts of a place's name (narrowest first), countries, or occupations.
        sentence: Where it is said.
        vague: A year with "about" or the like.
    """

    kind: Kind
    values: tuple[str, ...]
    sentence: str
    vague: bool = False


def claims(text: str, names: Sequence[str]) -> list[Claim]:
    """Return what a text says of its subject; each kind at its first mention only.

    Args:
        text: A description.
        names: Names of the subject.
    """
    found: dict[Kind, Claim] = {}
    own = frozenset(word for name in names for word in tokens(name) if len(word) > 2)
    for place, each in enumerate(sentences(text)[:_MOST]):
        for claim in (*(_opening(each) if place == 0 else ()), *_life(each, own)):
            found.setdefault(claim.kind, claim)
    return list(found.values())


def year(text: str) -> tuple[int, bool] | None:
    """Return the first year in a text, negative before our era, and whether it is only about right."""
    found = years(text)
    return None if found is None else (found[0][0], found[1])


def years(text: str) -> tuple[tuple[int, ...], bool] | None:
    """Return the first year in a text and those that may be meant instead, and whether they are only about right."""
    match = _YEAR.search(text)
    if match is None:
        return None
    found, vague, before = [int(match[2])], match[1] is not None, match[3] is not None
    while other := _OR.match(text, match.end()):
        found.append(int(other[2] or f"{found[-1] // 100}{other[4]}"))
        vague, before = vague or other[1] is not None, before or other[3] is not None
        match = other
    return tuple(-number if before else number for number in dict.fromkeys(found)), vague


def _opening(sentence: str) -> Iterator[Claim]:
    """Yield what the first sentence says: dates in the bracket behind the name, and what the subject is."""
    verb, head = _IS.search(sentence), re.split(r"\b(?:is|was|are|were)\b", sentence, maxsplit=1)[0]
    bracket = re.search(r"\(([^()]{0,150}\d{3}[^()]{0,100})\)", head[: 2 * _PREDICATE])
    if bracket:
        yield from _dates(bracket[1], sentence)
    if verb is None:
        return
    said = _BORN_THERE.sub("", sentence[verb.end() : verb.end() + _PREDICATE])
    words = said[: stop.start()] if (stop := _STOP.search(said)) else said
    nations = tuple(dict.fromkeys(country for word in re.split(r"[\s,/–-]+", words) if (country := nation(word))))
    if nations:
        yield Claim("nationality", nations, sentence)
    parts = map(_without_nations, re.split(r",|/|\band\b|\bor\b", words))
    jobs = tuple(part for part in parts if trades(part) and not titled(part))
    if jobs:
        yield Claim("occupation", jobs, sentence)
    after = re.search(r"\(([^()]{3,80})\)\W*$", sentence[verb.end() :])
    if bracket is None and after is not None and not _OFFICE.search(sentence[verb.end() :]):
        yield from _dates(after[1], sentence)


def _without_nations(words: str) -> str:
    return " ".join(word for word in words.split() if not any(map(nation, re.split(r"[-–/]", word))))


def _dates(bracket: str, sentence: str) -> Iterator[Claim]:
    """Yield the years of life in a bracket: "1 May 1901 – 1980", "born 1950", "d. 1700"."""
    if _OTHERS.search(bracket) or re.search(r"\b(?:reign\w*|r\.|fl\.|active|in office|served|ruled)\b", bracket):
        return
    if span := _SPAN.search(bracket):
        first, second = years(span[1]), years(bracket[span.start(2) :])
        if first and second:
            born = tuple(-abs(number) for number in first[0]) if second[0][0] < 0 else first[0]
            yield Claim("birth year", tuple(map(str, born)), sentence, first[1])
            yield Claim("death year", tuple(map(str, second[0])), sentence, second[1])
        return
    for kind, pattern in _VERBS:
        if (verb := pattern.search(bracket)) and (found := years(bracket[verb.end() :])):
            yield Claim(kind, tuple(map(str, found[0])), sentence, found[1])


def _life(sentence: str, own: frozenset[str]) -> Iterator[Claim]:
    """Yield what a sentence about the subject says of birth and death."""
    for kind, pattern in _VERBS:
        verb = pattern.search(sentence)
        if verb is None or not _about(sentence, verb.start(), own):
            continue
        said = re.split(r"[;(]|,? (?:was|is|were|who)\b|\bdied\b|\bborn\b", sentence[verb.end() : verb.end() + 160])[0]
        if found := years(said[:90]):
            yield Claim(kind, tuple(map(str, found[0])), sentence, found[1])
        if where := _PLACE.search(said):
            parts = tuple(part.strip(" .") for part in where[1].split(",") if part.strip(" ."))
            if parts and len(parts[0].split()) <= 6:
                yield Claim(_WHERE[kind], parts, sentence)


def _about(sentence: str, end: int, own: frozenset[str]) -> bool:
    """Return whether what stands before a verb is the subject and nobody else."""
    before = sentence[:end]
    words = tokens(before)
    if _OTHERS.search(before) or len(words) > 20:
        return False
    if not words:
        return True
    return words[0] in _PRONOUNS or bool(own & set(words)) or any(fold(word) in _PRONOUNS for word in words[-2:])


_VERBS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (("birth year", _BIRTH), ("death year", _DEATH))
_WHERE: Final[dict[Kind, Kind]] = {"birth year": "birth place", "death year": "death place"}
