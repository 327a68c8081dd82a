"""Where a mention stands in its text: by the offsets given, or by search."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

_MOST: Final = 1000  # occurrences to look at; bounds the work on a hostile text


def repair(text: str, surface: str, start: int) -> tuple[int, int] | None:
    """Return the span of the occurrence of ``surface`` that is closest to a wrong ``start``; None when it has none."""
    start = min(max(start, 0), len(text))
    before, after = text.rfind(surface, 0, start + len(surface)), text.find(surface, start)
    found = [at for at in (before, after) if at >= 0]
    at = min(found, key=lambda offset: abs(offset - start), default=None)
    return None if at is None else (at, at + len(surface))


def search(text: str, surface: str, nth: int = 0) -> tuple[int, int] | None:
    """Return the span of ``surface`` where nobody gave one.

    Occurrences that are whole words come first; without any, all occurrences count.

    Args:
        text: The sentence.
        surface: The name to find.
        nth: Which one, when a sentence lists the same name several times; the last one stands for those beyond it.

    Returns:
        Start and end, or None when the name is not a substring.
    """
    found = list(islice(_occurrences(text, surface), _MOST))
    whole = [at for at in found if _whole(text, at, at + len(surface))] or found
    if not whole:
        return None
    at = whole[min(nth, len(whole) - 1)]
    return at, at + len(surface)


def search_all(text: str, surfaces: Sequence[str]) -> list[tuple[int, int] | None]:
    """Return the spans of the names that a sentence lists in order; the same name again takes its next occurrence."""
    return [
        search(text, surface, surfaces[:at].count(surface)) if surface else None for at, surface in enumerate(surfaces)
    ]


def _occurrences(text: str, surface: str) -> Iterator[int]:
    at = text.find(surface)
    while at >= 0:
        yield at
        at = text.find(surface, at + 1)


def _whole(text: str, start: int, end: int) -> bool:
    return re.match(r"\w", text[start - 1 : start]) is None and re.match(r"\w", text[end : end + 1]) is None
