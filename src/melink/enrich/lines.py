"""Lines of a model's answer without the decoration: bullets, numbers, bold, quotes, fences, table rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from melink.rerank.prompt import plain
from melink.rerank.reading import without_thoughts

_LONGEST: Final = 20_000
_MOST_LINES: Final = 400
_SIGNS: Final = str.maketrans(
    {**dict.fromkeys("｜￨│┃∣❘ǀ\t", "|"), **dict.fromkeys("→⇒➔➜", "|"), "：": ":", "，": ",", "、": ",", "；": ";"}
)
_ARROWS: Final = re.compile(r"\s*[-=]>\s*")
_MARKUP: Final = re.compile(r"\*\*|__|~~|`")
_BULLET: Final = re.compile(r"(?:(?:[-*+•·◦‣▪–—>]|\(?\d{1,3}[.):]|\(?[a-hA-H]\)|\[\d{1,3}\])\s+|#+\s*|[•◦‣▪]\s*)+")
_RULE: Final = re.compile(r"[\s|:+=\-_*.]*")
_EDGES: Final = " \t\"'“”„‟‘’‚«»‹›「」『』*_~`[]{}<>|"
_STEP: Final = re.compile(
    r"\W*(?:step|part|task)\s*[-:#.(]?\s*(?:(\d)|(one|two|three)\b)\s*[\s)\].:\-–—/|]*(.*)", re.IGNORECASE | re.DOTALL
)
_TITLE: Final = re.compile(
    r"(?:(?:mention|entity|name)s?\s+)?(types?|descriptions?|triples?|triplets?|facts?|relations?)\b([^:|]{0,40})(:?)(.*)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBERS: Final = {"one": 1, "two": 2, "three": 3}
TYPE, DESCRIPTION, TRIPLES = 1, 2, 3
_STEPS: Final = {"type": TYPE, "description": DESCRIPTION}


def answer_lines(text: str) -> Iterator[str]:
    """Yield the lines of an answer that hold something, each without decoration and with plain separators.

    At most 400 lines of 20,000 characters are read; what a reasoning model thinks aloud is dropped.
    """
    lines = without_thoughts(text[: 4 * _LONGEST])[:_LONGEST].splitlines()
    for raw in lines[:_MOST_LINES]:
        line = _ARROWS.sub(" | ", _MARKUP.sub("", raw.translate(_SIGNS).strip()))
        if _RULE.fullmatch(line) or raw.lstrip().startswith(("```", "~~~")):
            continue
        line = line[match.end() :] if (match := _BULLET.match(line)) else line
        line = _unbracketed(line.strip())
        if line:
            yield line


def heading(line: str) -> tuple[int, str] | None:
    """Return the step that a line begins and what else stands on it, or None for a line of content.

    >>> heading("Step 2 - Descriptions"), heading("Triples: Georgia | capital | Tbilisi")
    ((2, ''), (3, 'Georgia | capital | Tbilisi'))
    """
    match = _STEP.fullmatch(line)
    step = 0
    if match:
        step, line = int(match[1] or _NUMBERS[match[2].lower()]), match[3].strip()
    titled = _TITLE.fullmatch(line)
    if titled and (titled[3] or (not titled[4] and (step or not titled[2].strip()))):
        word = titled[1].lower().removesuffix("s")
        return step or _STEPS.get(word, TRIPLES), titled[4].strip()
    return (step, line) if step else None


def field(text: str, longest: int = 150) -> str:
    """Return one field of a line as harmless text: without quotes, brackets around it and a full stop behind it."""
    bare = _unbracketed(text.strip(_EDGES)).strip(_EDGES).rstrip(",;")
    last = bare.rpartition(" ")[2].strip(_EDGES)
    if bare.endswith(".") and "." not in last[:-1] and len(last) > 4:
        bare = bare[:-1]
    return plain(bare.strip(_EDGES), longest)


def _unbracketed(text: str) -> str:
    """Take away a pair of brackets that stands around the whole text."""
    whole = text.rstrip(",;. ")
    for opening, closing in ("()", "[]", "{}", "<>"):
        if whole.startswith(opening) and whole.find(closing) == len(whole) - 1:
            return whole[1:-1].strip()
    return text
