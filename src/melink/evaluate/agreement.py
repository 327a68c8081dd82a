"""Does another run of a recorded evaluation agree with it: under the same protocol, within its tolerance?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from melink.evaluate.measured import Measured
from melink.evaluate.reproduction import Reproduction, Terms

_MISSING: Final = {"miss": "a miss", "inject_gold": "put into the list", "drop": "left out"}
SHOWN: Final = ("hits@1", "hits@3", "hits@5", "hits@10", "mrr", "nil/f1")
_HASHES: Final = ("split_hash", "kb_hash")
_EXCUSED: Final = frozenset({"kb_hash"})
"""Told, but no failure by itself: another release of melink may hash the same entities otherwise."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, side by side.

    Attributes:
        figure: Its name, as :meth:`Measured.get` takes it.
        published: What a paper gives, None where none does.
        recorded: What was measured when it was recorded.
        now: What was measured now.
        tolerance: How far apart these may be; None when the figure is not judged.
    """

    figure: str
    published: float | None
    recorded: float | None
    now: float | None
    tolerance: float | None

    @property
    def difference(self) -> float | None:
        """Now minus recorded."""
        return None if self.now is None or self.recorded is None else round(self.now - self.recorded, 5)

    @property
    def within(self) -> bool | None:
        """Whether the difference is tolerated; None when the figure is not judged."""
        if self.tolerance is None:
            return None
        return self.difference is not None and abs(self.difference) <= self.tolerance + 1e-9


@dataclass(frozen=True, slots=True)
class Apart:
    """One term of the protocol that is not what was recorded; ``fatal`` when the figures cannot agree then."""

    term: str
    recorded: Any
    now: Any
    fatal: bool


def lines(recorded: Reproduction, now: Measured) -> list[Line]:
    """Return the figures side by side: the usual ones, those judged, and ``hits@1`` of each slice proper."""
    ours = recorded.ours
    slices = [name for name, row in ours.slices.items() if row.n != ours.overall.n]
    names = dict.fromkeys((*SHOWN, *recorded.tolerance, *(f"{name}/hits@1" for name in slices)))
    return [
        Line(name, published(recorded, name), ours.get(name), now.get(name), recorded.tolerance.get(name))
        for name in names
        if ours.get(name) is not None or now.get(name) is not None
    ]


def published(recorded: Reproduction, name: str) -> float | None:
    """Return the published value of a figure, from the first source that gives it."""
    return next((each.figures[name] for each in recorded.published if name in each.figures), None)


def apart(recorded: Terms, protocols: Sequence[Mapping[str, Any]]) -> list[Apart]:
    """Return the terms in which protocols of ``melink evaluate --json`` are not the recorded one."""
    found = []
    told = {"split", "kb", *(["approximate"] if recorded.shortlist is not None else [])}
    for term in (name for name in Terms.model_fields if name not in told):
        was = getattr(recorded, term)
        for now in (protocol.get(term) for protocol in protocols):
            now = str(now)[: len(was)] if term in _HASHES else now
            if _plain(now) != _plain(was):
                found.append(Apart(term, was, now, term not in _EXCUSED))
                break
    return found


def agrees(figures: Sequence[Line], terms: Sequence[Apart]) -> bool:
    """Return whether no judged figure is outside its tolerance and no term that matters differs."""
    return all(line.within is not False for line in figures) and not any(each.fatal for each in terms)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def terms(recorded: Terms) -> str:
    """Return a protocol in one line."""
    return (
        f"{recorded.split} (sha256 {recorded.split_hash}); {recorded.kb} (content {recorded.kb_hash}), "
        f"{ranking(recorded)}; ties: {recorded.ties}; gold that is no candidate: {_MISSING[recorded.miss_policy]}"
    )


def ranking(recorded: Terms) -> str:
    """Return what was ranked, and how, in words."""
    whole = recorded.candidates == "full"
    ranked = "all ranked" if whole else f"{recorded.candidates} candidates from {_plain(recorded.generators)} ranked"
    if recorded.approximate is None:
        return f"{ranked}, exactly"
    by = "" if recorded.shortlist is None else f" by a shortlist of {recorded.shortlist:,}"
    return f"{ranked}, approximately{by}, recall {recorded.approximate:.4f}"
