"""Reading JSON out of what a model said."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_LONGEST: Final = 200_000
_THOUGHTS: Final = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_FENCE: Final = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def without_thoughts(text: str) -> str:
    """Drop what a reasoning model thinks aloud; a thought without an end reaches to the end of the text."""
    if "</think>" in text and "<think>" not in text:
        text = text.rpartition("</think>")[2]
    return _THOUGHTS.sub(" ", text[:_LONGEST])


def read_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that an answer consists of, alone or as its first fenced block; else None.

    An object inside other words does not count: nobody knows which of several would be meant.
    """
    plain = without_thoughts(text).strip()
    fenced = _FENCE.search(plain)
    for candidate in (plain, fenced[1] if fenced else ""):
        try:
            found = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None
