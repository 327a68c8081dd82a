"""The protocol is part of a result: what was ranked, by which rules, on which data, made with what."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from melink.errors import InputError, ProtocolError

MISS_POLICIES: Final = ("miss", "inject_gold", "drop")
COMPARED: Final = (
    "candidates", "generators", "kb_size", "kb_hash", "ties", "miss_policy", "shortlist", "approximate", "split_hash",
)  # fmt: skip
"""What two results must share. Method, encoders, weights, seeds, and which fields of the same knowledge base are read,
are what one compares (docs/decisions/0007-what-a-protocol-is.md)."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that a figure depends on (docs/evaluation.md).

    Attributes:
        candidates: ``full`` for the whole knowledge base, or how many candidates each mention had.
        kb_size: Entities in the knowledge base.
        kb_hash: Content hash of the knowledge base, with the texts that its entities are read by.
        entity_text_source: Entity text used, such as ``attributes`` or ``label+description``.
        split_file: Name of the file of mentions.
        split_hash: sha256 of it.
        method: Registered name.
        generators: Where candidates came from; empty when the whole knowledge base was ranked.
        kb_version: Version of the knowledge base, for a person.
        ties: Tie rule of ranks.
        miss_policy: Gold that is not among the candidates is a ``miss`` (default); ``inject_gold`` and ``drop`` exist
            only to repeat published protocols.
        shortlist: How many entities of each mention an approximate ranking of the whole knowledge base looked at.
        approximate: Recall of an approximate ranking: the share of a sample of the mentions whose exact best entity it
            found; None when the ranking is exact, or nothing was there to measure it on.
        leaks: What the leak report found against train, or that no train file was given.
        seeds: Every seed that played a part.
        encoders: Encoder → fingerprint.
        weights: Part → weight.
        run: Run directory or method name that was evaluated.
        reranker: What a reranker's answers depend on, its name and model among it; empty without a reranker.
        entities_hash: Content hash of the entities without other texts of them (``--entity-text``); empty where it
            is ``kb_hash``.
    """

    candidates: str | int
    kb_size: int
    kb_hash: str
    entity_text_source: str
    split_file: str
    split_hash: str
    method: str
    generators: tuple[str, ...] = ()
    kb_version: str | int | None = None
    ties: str = "mean"
    miss_policy: str = "miss"
    shortlist: int | None = None
    approximate: float | None = None
    leaks: str | Mapping[str, Any] = "train not given"
    seeds: tuple[int, ...] = (0,)
    encoders: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    run: str | None = None
    reranker: Mapping[str, Any] = field(default_factory=dict)
    entities_hash: str = ""

    def __post_init__(self) -> None:
        if self.miss_policy not in MISS_POLICIES:
            raise ProtocolError(
                f"unknown miss policy {self.miss_policy!r}", f"choose one of: {', '.join(MISS_POLICIES)}"
            )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Protocol:
        """Read what :meth:`to_dict` wrote.

        Raises:
            ProtocolError: A field is missing or unknown.
        """
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ProtocolError(f"unknown protocol field(s): {', '.join(unknown)}", "evaluate again with this melink")
        lists = {name: tuple(data[name]) for name in ("generators", "seeds") if name in data}
        try:
            return cls(**{**data, **lists})
        except TypeError as error:
            raise ProtocolError(f"incomplete protocol: {error}", "evaluate again with this melink") from error

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = asdict(self)
        return {**plain, "generators": list(self.generators), "seeds": list(self.seeds)}

    def lines(self) -> list[str]:
        """Return ``name: value`` lines for a person, in a fixed order."""
        return [f"{name}: {value}" for name, value in self.items()]

    def items(self) -> list[tuple[str, str]]:
        """Return names and values in words, as reports print them."""
        many = self.candidates == "full"
        ranked = (
            "the whole knowledge base" if many else f"{self.candidates} candidates from {', '.join(self.generators)}"
        )
        version = "" if self.kb_version is None else f", version {self.kb_version}"
        misses = {
            "miss": "a miss",
            "inject_gold": "injected (published protocols only)",
            "drop": "dropped (published protocols only)",
        }
        return [
            ("ranked", f"{ranked}, {self.exactness()}"),
            ("knowledge base", f"{self.kb_size:,} entities, content {self.kb_hash[:12]}{version}"),
            ("entity text", self.entity_text_source),
            ("ties", self.ties),
            ("gold not among the candidates", misses[self.miss_policy]),
            ("mentions", f"{self.split_file}, sha256 {self.split_hash[:12]}"),
            ("leaks", self.leaks if isinstance(self.leaks, str) else _words(self.leaks)),
            ("seeds", ", ".join(map(str, self.seeds)) or "none"),
            ("method", self.method + (f" ({self.run})" if self.run and self.run != self.method else "")),
            ("encoders", _words(self.encoders) or "none"),
            ("weights", _words(self.weights) or "none"),
            ("reranker", _words(self.reranker) or "none"),
        ]

    def _compared(self, name: str) -> Any:
        """Return what must agree under a name: of a knowledge base its entities, whatever text they are read by."""
        return self.entities_hash or self.kb_hash if name == "kb_hash" else getattr(self, name)

    def exactness(self) -> str:
        """Return in words whether the ranking is exact and, if it is not, how good it is."""
        if self.shortlist is None and self.approximate is None:
            return "exact"
        by = "" if self.shortlist is None else f" by a shortlist of {self.shortlist:,}"
        recall = "" if self.approximate is None else f", recall {self.approximate:.4f} of the exact answer"
        return f"approximate{by}{recall}"

    def comparable_with(self, other: Protocol) -> None:
        """Return when figures of both may stand in one table.

        Raises:
            ProtocolError: They may not; names every field that differs, with both values.
        """
        differing = [name for name in COMPARED if self._compared(name) != other._compared(name)]
        if "full" in (self.candidates, other.candidates):  # then no generator had a say
            differing = [name for name in differing if name != "generators"]
        if None not in (self.approximate, other.approximate) and self.shortlist is not None:  # then it is a figure
            differing = [name for name in differing if name != "approximate"]
        if differing:
            apart = "; ".join(f"{name}: {getattr(self, name)!r} and {getattr(other, name)!r}" for name in differing)
            raise ProtocolError(f"different protocols: {apart}", "evaluate both with the same protocol")


def file_hash(path: str | Path) -> str:
    """Return the sha256 of a file.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "check the path") from error


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
