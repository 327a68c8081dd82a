"""Where sentences end, and cutting a text there."""

from __future__ import annotations

import re
from typing import Final

_SHORT: Final = (
    "mr mrs ms dr prof st sr jr gen col capt lt maj sgt adm rev hon gov sen rep pres vs etc inc ltd co corp bros no "
    "vol op pp fl ca cf al approx est dept univ mt ft nee née lit e.g i.e a.k.a b d c r jan feb mar apr jun jul aug "
    "sep sept oct nov dec u.s u.k u.n ph.d m.d d.c a.m p.m b.c a.d"
)
_ABBREVIATIONS: Final = frozenset(_SHORT.split())
_END: Final = re.compile(r"[.!?…](?:[\"'”’)\]]{0,2})(?=\s+[\"'“‘(]?[^\sa-z])|[。！？]")
_WORD: Final = re.compile(r"[^\s(]+$")
_LONGEST_WORD: Final = 40
_INITIAL: Final = re.compile(r"(?:[A-Z]\.)*[A-Z]")


def sentences(text: str) -> list[str]:
    """Cut a line into sentences.

    Initials and usual abbreviations end none ("J. K. Rowling", "St. Louis"), and neither does a small letter behind
    the stop.

    >>> sentences("Dr. J. K. Doe lives in St. Louis. He sings! No.")
    ['Dr. J. K. Doe lives in St. Louis.', 'He sings!', 'No.']
    """
    found, start = [], 0
    for match in _END.finditer(text):
        if match[0] == "." and _abbreviates(text[max(start, match.start() - _LONGEST_WORD) : match.start()]):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    return [each for each in (*found, text[start:].strip()) if each]


def limited(text: str, longest: int) -> str:
    """Return as many whole sentences as fit; of a first sentence that is too long, its first words and an ellipsis."""
    if len(text) <= longest:
        return text
    kept = ""
    for each in sentences(text):
        more = f"{kept} {each}" if kept else each
        if len(more) > longest:
            break
        kept = more
    return kept or text[: longest - 1].rsplit(" ", 1)[0].rstrip(" ,;:–-(") + "…"


def finished(text: str) -> str:
    """Return a text that was cut off without its last, unfinished sentence; all of it when there is no other."""
    every = sentences(text)
    if len(every) > 1 and every[-1][-1] not in ".!?…\"”')。！？":
        del every[-1]
    return " ".join(every)


def _abbreviates(before: str) -> bool:
    match = _WORD.search(before)
    word = match[0].lstrip("\"'“‘([") if match else ""
    return bool(_INITIAL.fullmatch(word)) or word.casefold() in _ABBREVIATIONS
