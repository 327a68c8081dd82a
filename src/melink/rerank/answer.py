"""What became of a request: a text, or a named failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Failure = Literal[
    "timeout",
    "connection",
    "rate_limited",
    "server_error",
    "refused",
    "unauthorized",
    "nonsense",
    "picture",
    "budget",
    "offline",
    "stopped",
]
"""Why there is no text; ``docs/language-models.md`` says what each means."""

NOT_ASKED: Final[frozenset[Failure]] = frozenset({"picture", "budget", "offline", "stopped"})
"""Failures of requests that were never sent: asking again later may answer them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request.

    Attributes:
        text: What the model said; empty after a failure.
        failure: Why there is no text, or None.
        detail: What the server or melink said about a failure, for a person; never the key.
        cached: Nothing was paid now: it was answered before, or stands twice in the batch.
        cut: The model reached the longest answer and was cut off.
        structured: The server held the text to the request's schema.
        pictures: How many pictures the model saw.
        text_only: The request had pictures, but the model saw the text alone.
        tokens_in: Tokens of the prompt.
        tokens_out: Tokens of the answer.
        reused: Tokens of the prompt that the server had kept from an earlier one.
        cost: What it cost now, in the unit of the prices; 0 when cached.
        seconds: From sending to the last byte, of the attempt that succeeded; as first measured when cached.
    """

    text: str = ""
    failure: Failure | None = None
    detail: str = ""
    cached: bool = False
    cut: bool = False
    structured: bool = False
    pictures: int = 0
    text_only: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    reused: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is a text."""
        return self.failure is None

    @property
    def asked(self) -> bool:
        """Whether the request reached the point of being sent, now or in an earlier run."""
        return self.failure not in NOT_ASKED
