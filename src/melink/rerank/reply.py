"""What a server said: an answer with its count of tokens, or a complaint. Nothing it says is taken on trust."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from melink.rerank.faults import Fault

_MOST_TOKENS: Final = 10_000_000
_LONGEST_DETAIL: Final = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the server gave it.

    Attributes:
        text: What the model said.
        cut: It reached the longest answer.
        counts: Tokens of the prompt, of the answer, and of the prompt what was reused; None when no count came.
    """

    text: str
    cut: bool
    counts: tuple[int, int, int] | None


def read_reply(content: bytes, scrub: Callable[[str], str]) -> Reply:
    """Read the body of a chat completion.

    Args:
        content: The whole body.
        scrub: Takes the key out of a text.

    Raises:
        Fault: ``nonsense`` for anything else, and another attempt when it is not JSON; ``refused`` where the model
            declined or a filter stopped it.
    """
    data = _json(content)
    if data is None:
        raise Fault("nonsense", "the body is no JSON: cut off, or of another kind", again=True, worked=True)
    choice = _at(data, "choices", 0)
    text = _at(choice, "message", "content")
    if isinstance(text, list):
        text = "".join(piece for part in text if isinstance(piece := _at(part, "text"), str))
    finish = _at(choice, "finish_reason")
    if finish == "content_filter" or isinstance(_at(choice, "message", "refusal"), str):
        said = clean(scrub(str(_at(choice, "message", "refusal") or "stopped by a filter")))
        raise Fault("refused", said, worked=True)
    if not isinstance(text, str) or not text.strip():
        _, said = complaint(content, scrub)
        raise Fault("nonsense", said or "the reply holds no answer", worked=True)
    return Reply(scrub(text.encode("utf-8", "replace").decode()), finish == "length", _counts(_at(data, "usage")))


def complaint(content: bytes, scrub: Callable[[str], str]) -> tuple[str, str]:
    """Return the code and the message of an error body, cleaned for a person; empty where there is none."""
    data = _json(content)
    if data is None:
        return "", clean(scrub(content[:2000].decode("utf-8", "replace")))
    error = _at(data, "error")
    said = error if isinstance(error, str) else _at(error, "message") or _at(data, "message") or _at(data, "detail")
    code = _at(error, "code") or _at(error, "type")
    return (code if isinstance(code, str) else ""), clean(scrub(said if isinstance(said, str) else ""))


def clean(text: str) -> str:
    """Return one line without control characters, short enough for a message."""
    plain = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text[:2000])
    return " ".join(plain.split())[:_LONGEST_DETAIL]


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _at(value: Any, *path: str | int) -> Any:
    """Follow keys and places into parsed JSON; None where there is nothing."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _counts(usage: Any) -> tuple[int, int, int] | None:
    given, said = _at(usage, "prompt_tokens"), _at(usage, "completion_tokens")
    reused = _at(usage, "prompt_tokens_details", "cached_tokens") or 0
    if all(type(count) is int and 0 <= count <= _MOST_TOKENS for count in (given, said, reused)):
        return given, said, min(reused, given)
    return None
