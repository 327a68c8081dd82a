"""What goes wrong with one attempt, and whether another one may help.

Another attempt follows 429, 5xx, a lost connection and a body that is no JSON; nothing else. A request that timed out
is not repeated: the model may have worked for it, and would be paid twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from melink.rerank.answer import Failure

_QUOTA: Final = ("insufficient_quota", "billing_hard_limit_reached")
_UNSUPPORTED: Final = frozenset({400, 404, 415, 422, 501})
_PICTURE_WORDS: Final = ("image", "picture", "vision", "multimodal", "multi-modal", "mmproj")
_SCHEMA_WORDS: Final = ("response_format", "json_schema", "schema", "grammar", "structured")


class Fault(Exception):
    """One attempt failed.

    Args:
        kind: The failure that the row has when no other attempt is made.
        detail: For a person; without the key and without control characters.
        again: Whether another attempt may help.
        wait: Seconds that the server asked to wait, or None.
        status: HTTP status, or None when there was no reply.
        worked: The model may have worked for it, so that it counts as paid.
        fatal: Every other request would fail in the same way.
    """

    def __init__(
        self,
        kind: Failure,
        detail: str,
        *,
        again: bool = False,
        wait: float | None = None,
        status: int | None = None,
        worked: bool = False,
        fatal: bool = False,
    ) -> None:
        super().__init__(detail)
        self.kind: Final = kind
        self.detail: Final = detail
        self.again: Final = again
        self.wait: Final = wait
        self.status: Final = status
        self.worked: Final = worked
        self.fatal: Final = fatal

    def refuses_pictures(self) -> bool:
        """Whether the reply may mean that pictures are not taken."""
        return self._refuses(_PICTURE_WORDS)

    def refuses_schema(self) -> bool:
        """Whether the reply may mean that answers cannot be held to a schema."""
        return self._refuses(_SCHEMA_WORDS)

    def names_pictures(self) -> bool:
        """Whether the reply speaks of pictures."""
        return any(word in self.detail.lower() for word in _PICTURE_WORDS)

    def _refuses(self, words: tuple[str, ...]) -> bool:
        said = any(word in self.detail.lower() for word in words)
        return self.status in _UNSUPPORTED or (self.status is not None and self.status >= 500 and said)


def of_status(status: int, headers: Mapping[str, str], code: str, detail: str) -> Fault:
    """Return the fault that an HTTP status means.

    Args:
        status: 300 or above.
        headers: Of the reply, in lower case.
        code: ``error.code`` or ``error.type`` of the body, when it has one.
        detail: What the server said, cleaned.
    """
    said = f"HTTP {status}{': ' + detail if detail else ''}"
    wait = retry_after(headers.get("retry-after", ""))
    if status == 429 and code in _QUOTA:
        return Fault("refused", said, status=status, fatal=True)
    if status == 429:
        return Fault("rate_limited", said, again=True, wait=wait, status=status)
    if status >= 500:
        return Fault("server_error", said, again=True, wait=wait, status=status)
    if status in (401, 403):
        return Fault("unauthorized", said, status=status, fatal=True)
    return Fault("refused", said, status=status)


def retry_after(value: str) -> float | None:
    """Read a ``Retry-After`` header: seconds, or a date; None when it is absent or unreadable."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


def backoff(attempt: int, first: float, longest: float) -> float:
    """Return the seconds to wait after an attempt (0 the first): doubled each time, less up to half by chance."""
    return float(min(first * 2**attempt, longest) * random.uniform(0.5, 1.0))
