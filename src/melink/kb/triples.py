"""Triples and the names of relations from tab-separated files."""

from __future__ import annotations

import sys
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from melink.errors import Problems
from melink.kb.inverse import turned
from melink.kb.items import Relation
from melink.kb.jsonl import MAX_NAME
from melink.kb.lines import text_lines
from melink.records import Triple


@dataclass
class TripleFile:
    """Facts by head, from lines ``head<TAB>relation<TAB>tail``; tails are entity ids.

    All facts are held in memory, about 100 bytes each. More columns than three are ignored.

    Attributes:
        path: The file.
        facts: Relation and tail of each fact, by head.
    """

    path: Path
    facts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def read(self, problems: Problems, inverse: bool = False) -> TripleFile:
        """Read the file, reporting lines that are no triples, and return this object.

        Args:
            problems: Where to report.
            inverse: Turn every fact round as well (:mod:`melink.kb.inverse`).
        """
        for number, text in text_lines(self.path):
            parts = text.split("\t")
            if len(parts) < 3 or not all(0 < len(part.strip()) <= MAX_NAME for part in parts[:3]) or "\0" in text:
                if text.strip():
                    problems.add(self.path, number, "expected head, relation and tail between tabs", kind="bad triple")
                continue
            head, relation, tail = (sys.intern(part.strip()) for part in parts[:3])
            self.facts.setdefault(head, []).append((relation, tail))
        for head, facts in turned(self.facts).items() if inverse else ():
            self.facts.setdefault(head, []).extend(facts)
        return self

    def of(self, head: str) -> list[Triple]:
        """Return the facts of one entity."""
        return [Triple(relation, tail) for relation, tail in self.facts.get(head, ())]

    def relations(self) -> set[str]:
        """Return the ids of the relations that facts have."""
        return {relation for own in self.facts.values() for relation, _ in own}

    def report_unknown(self, known: Container[str], relations: Container[str] | None, problems: Problems) -> None:
        """Report facts whose head, tail or relation is unknown.

        A fact with an unknown head is not stored; one with an unknown tail or relation is, by id and without a label.

        Args:
            known: Entity ids that were seen.
            relations: Relation ids that have names, or None when no names were given.
            problems: Where to report.
        """
        unnamed: dict[str, int] = {}
        for number, text in text_lines(self.path):
            head, relation, tail, *_ = (*(part.strip() for part in text.split("\t")), "", "", "")
            if not (head and relation and tail):
                continue
            if head not in known:
                problems.add(self.path, number, f"unknown head {head}, the triple is left out", head, "unknown head")
            elif tail not in known:
                problems.add(self.path, number, f"unknown tail {tail}, kept without a label", head, "unknown tail")
            if relations is not None and relation not in relations:
                unnamed.setdefault(relation, number)
        for relation, number in unnamed.items():
            problems.add(self.path, number, f"no name for relation {relation}", relation, "unnamed relation")


def read_relations(path: Path, problems: Problems) -> list[Relation]:
    """Read relation names: ``id<TAB>label<TAB>description``, with or without a header line."""
    found: dict[str, Relation] = {}
    for number, text in text_lines(path):
        id, label, description, *_ = (*(part.strip() for part in text.split("\t")), "", "", "")
        if number == 1 and id.lower() in ("pid", "id", "relation", "property"):
            continue
        if not id or not label or "\0" in text or len(id) > MAX_NAME or len(label) > MAX_NAME:
            if text.strip():
                problems.add(path, number, "expected an id and a label between tabs", kind="bad relation")
        elif id in found:
            problems.add(path, number, f"relation {id} was there before; the first counts", id, "duplicate relation")
        else:
            found[id] = Relation(id, label, description)
    return list(found.values())
