"""Where a mention stands in its text: by the offsets given, or by search."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int] | tuple[None, None]
"""Start and end of a mention, or twice None when it is no substring."""

_MOST: Final = 1000  # occurrences to look at; bounds the work on a hostile text


def repair_span(text: str, surface: str, start: int) -> Span:
    """Return the span of the occurrence of ``surface`` that is closest to a wrong ``start``."""
    start = min(max(start, 0), len(text))
    before, after = text.rfind(surface, 0, start + len(surface)), text.find(surface, start)
    found = [at for at in (before, after) if at >= 0]
    if not found:
        return None, None
    at = min(found, key=lambda offset: abs(offset - start))
    return at, at + len(surface)


def find_span(text: str, surface: str, nth: int = 0) -> Span:
    """Return the span of ``surface`` where nobody gave one.

    Occurrences that are whole words come first; without any, all occurrences count.

    Args:
        text: The sentence.
        surface: The name to find.
        nth: Which one, when a sentence lists the same name several times; the last one stands for those beyond it.
    """
    found = list(islice(_occurrences(text, surface), _MOST)) if surface else []
    whole = [at for at in found if _whole(text, at, at + len(surface))] or found
    if not whole:
        return None, None
    at = whole[min(nth, len(whole) - 1)]
    return at, at + len(surface)


def find_spans(text: str, surfaces: Sequence[str]) -> list[Span]:
    """Return the spans of the names that a sentence lists in order; the same name again takes its next occurrence."""
    return [find_span(text, surface, surfaces[:at].count(surface)) for at, surface in enumerate(surfaces)]


def _occurrences(text: str, surface: str) -> Iterator[int]:
    at = text.find(surface)
    while at >= 0:
        yield at
        at = text.find(surface, at + 1)


def _whole(text: str, start: int, end: int) -> bool:
    return re.match(r"\w", text[start - 1 : start]) is None and re.match(r"\w", text[end : end + 1]) is None
