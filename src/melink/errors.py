"""One exception tree. Every message ends with what to do next.

::

    MelinkError
    ├── InputError            a file, row or argument that cannot be used
    │   ├── BadRow            one row of a file: names the file and the line
    │   └── BadImage          one picture: names the reason code that reports count
    ├── NotFound              an id, a name or a path that is not there
    ├── StoreError            a knowledge base or feature store on disk
    │   └── Locked            another process is writing
    ├── ConfigError           a run file or an override
    ├── ProtocolError         two results that must not be compared, or a leak into selection
    └── NotInstalled          an optional dependency; names the extra
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO


class MelinkError(Exception):
    """Base of every error that melink raises on purpose.

    Args:
        message: What went wrong, naming the file, id or option.
        remedy: What the reader can do next.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}\n  Try: {remedy}")
        self.message = message
        self.remedy = remedy


class InputError(MelinkError):
    """A file, row or argument that cannot be used."""


class BadRow(InputError):
    """One row of an input file that cannot be used."""

    def __init__(self, problem: Problem, remedy: str = "correct the row, or drop --strict to skip it") -> None:
        super().__init__(str(problem), remedy)
        self.problem = problem


class BadImage(InputError):
    """One picture that cannot be decoded within the limits.

    Args:
        reason: Short code that reports count: ``missing``, ``empty``, ``too_large``, ``too_many_pixels``,
            ``format``, ``corrupt`` or ``timeout``.
        source: The path or name of the picture.
        detail: What the decoder said.
    """

    def __init__(self, reason: str, source: str, detail: str = "") -> None:
        super().__init__(
            f"{source}: {reason}{': ' + detail if detail else ''}",
            "replace the picture, or leave it: the image is then treated as absent and counted",
        )
        self.reason = reason
        self.source = source


class NotFound(MelinkError):
    """An id, a name or a path that is not there."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> NotFound:
        """Build the error for an unknown name, naming the closest known ones."""
        choices = sorted(known)
        close = get_close_matches(name, choices, n=3)
        remedy = f"did you mean {' or '.join(map(repr, close))}?" if close else f"choose one of: {', '.join(choices)}"
        return cls(f"unknown {kind} {name!r}", remedy)


class StoreError(MelinkError):
    """A knowledge base or feature store on disk that cannot be read or written."""


class Locked(StoreError):
    """Another process is writing to the same store."""


class ConfigError(MelinkError):
    """A run file or an override that cannot be used."""


class ProtocolError(MelinkError):
    """Results that must not be compared, or data that must not be seen."""


class NotInstalled(MelinkError):
    """An optional dependency is missing; names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed", f"pip install 'melink[{extra}]'")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in the input that was passed over: where, which, and why."""

    file: str
    line: int | None
    reason: str
    id: str | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.reason}" + (f" (id {self.id!r})" if self.id else "")


@dataclass
class Problems:
    """Collects what batch work passed over; in strict mode the first one stops the work.

    Counts are complete; only the first ``keep`` problems are held in memory, all of them go to ``path`` when given.

    Args:
        strict: Raise :class:`BadRow` at the first problem.
        path: A JSONL file that receives every problem as it happens.
        keep: How many problems to hold in memory.
    """

    strict: bool = False
    path: Path | None = None
    keep: int = 1000
    first: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _out: TextIO | None = field(default=None, repr=False)

    def add(self, file: str | Path, line: int | None, reason: str, id: str | None = None, kind: str = "") -> None:
        """Record one problem.

        Args:
            file: The input file.
            line: 1-based line, or None when the problem is not on a line.
            reason: What is wrong, for a person.
            id: The entity or mention concerned, when known.
            kind: Short code to count by; ``reason`` when empty.

        Raises:
            BadRow: In strict mode.
        """
        problem = Problem(str(file), line, reason, id)
        self.counts[kind or reason] += 1
        if len(self.first) < self.keep:
            self.first.append(problem)
        if self.path is not None:
            if self._out is None:
                self._out = self.path.open("a", encoding="utf-8", buffering=1)
            self._out.write(json.dumps({"file": str(file), "line": line, "reason": reason, "id": id}) + "\n")
        if self.strict:
            raise BadRow(problem)

    def __del__(self) -> None:
        if self._out is not None:
            self._out.close()

    @property
    def total(self) -> int:
        """How many problems were recorded."""
        return sum(self.counts.values())

    def summary(self, show: int = 10) -> str:
        """Return a few lines for a person: counts by kind, then the first problems."""
        if not self.counts:
            return "no problems"
        lines = [f"{self.total} problem(s): " + ", ".join(f"{n} {kind}" for kind, n in self.counts.most_common())]
        lines += [f"  {problem}" for problem in self.first[:show]]
        shown = min(show, len(self.first))
        if shown and self.total > shown:
            lines.append(f"  … and {self.total - shown} more")
        return "\n".join(lines)
