"""What was generated about a mention, and how it becomes part of its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from melink.enrich.vocabulary import INSTANCE
from melink.records import Triple


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about one mention.

    Attributes:
        type: Kind of thing, one of those that were offered; empty when unknown.
        description: One sentence or less; empty when unknown.
        triples: Facts with bare words as relation and tail.
    """

    type: str = ""
    description: str = ""
    triples: tuple[Triple, ...] = ()

    @property
    def telling(self) -> bool:
        """Whether there is a triple that says more than the type."""
        return any(triple.relation != INSTANCE for triple in self.triples)

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self.type or self.description or self.triples)


@dataclass(frozen=True, slots=True)
class Made:
    """What a generator made of one sentence.

    Attributes:
        facts: By id of the mention.
        about: Where they come from, for the row: model, date, version of the prompt, or why there are none.
        failed: There is no answer for this sentence.
    """

    facts: Mapping[str, Facts] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False


def enriched_row(row: Mapping[str, Any], facts: Facts, made: Made) -> dict[str, Any]:
    """Return a row of mentions JSONL with what was generated.

    Facts go to ``triples``, type and description to ``attributes``, their origin to ``enriched``; what stood in these
    fields under the same names is replaced. Nothing else changes. After a failure only the origin is noted.

    Args:
        row: The row as it was read.
        facts: Those of its mention.
        made: The sentence that they belong to.
    """
    before = row.get("enriched")
    noted = {**(before if isinstance(before, dict) else {}), "triples": dict(made.about)}
    if made.failed:
        return {**row, "enriched": noted}
    triples = [{"relation": each.relation, "tail": each.tail, "literal": True} for each in facts.triples]
    known = row.get("attributes")
    attributes = {key: value for key, value in known.items() if key not in _OWN} if isinstance(known, dict) else {}
    attributes |= {key: value for key in _OWN if (value := getattr(facts, key))}
    changed: dict[str, Any] = {"triples": triples, "attributes": attributes, "enriched": noted}
    if not attributes:
        del changed["attributes"]
        row = {key: value for key, value in row.items() if key != "attributes"}
    return {**row, **changed}


_OWN = ("type", "description")
