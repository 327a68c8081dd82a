"""Keeping the key out of everything that can be read later: answers, messages, and the logs of the HTTP packages."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

_SHORTEST: Final = 4
_TALKERS: Final = ("openai", "httpx2", "httpcore2")
"""At DEBUG they write what servers send, headers included; a server may send the key back."""


@dataclass(frozen=True, slots=True, repr=False)
class Scrub:
    """Takes the key out of what a server says."""

    key: str

    def __call__(self, text: str) -> str:
        """Return the text without the key."""
        return text.replace(self.key, "[key]") if len(self.key) >= _SHORTEST else text


class Quiet(logging.Filter):
    """Scrubs the log records of the HTTP packages between :meth:`begin` and :meth:`end`."""

    def __init__(self, scrub: Scrub) -> None:
        super().__init__()
        self._scrub = scrub
        self._loggers: list[logging.Logger] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the key."""
        record.msg, record.args = self._scrub(record.getMessage()), ()
        return True

    def begin(self) -> None:
        """Watch the loggers that these packages have made."""
        known = [*logging.root.manager.loggerDict]
        self._loggers = [logging.getLogger(name) for name in known if name.split(".")[0] in _TALKERS]
        for logger in self._loggers:
            logger.addFilter(self)

    def end(self) -> None:
        """Leave the loggers as they were."""
        for logger in self._loggers:
            logger.removeFilter(self)
