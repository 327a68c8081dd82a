"""Reading rows into the tables, batch by batch, each batch committed and noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from melink import progress
from melink.errors import InputError, Problems
from melink.kb.checkpoint import READ, Checkpoint
from melink.kb.disk import storing
from melink.kb.items import Item, Outside, Parser, Relation, Unusable
from melink.kb.lines import LONGEST, Line, lines
from melink.kb.schema import LABELS, RELATIONS, to_table
from melink.kb.seen import Seen
from melink.kb.tables import Tables, batches
from melink.kb.triples import TripleFile
from melink.kb.where import Where
from melink.records import Entity

_LINES = 50_000


@dataclass
class Ingest:
    """One build's reading.

    Attributes:
        tables: Where rows go.
        root: Folder of the knowledge base.
        where: Which entities to keep.
        facts: Triples to attach, by head.
        pictures: Picture paths to attach, by id.
        problems: Receives what is passed over.
        checkpoint: Where to start, and what is updated after each commit.
        seen: Ids in the table.
        batch: Rows, or outside labels, per commit.
    """

    tables: Tables
    root: Path
    where: Where
    facts: TripleFile | None
    pictures: dict[str, list[str]]
    problems: Problems
    checkpoint: Checkpoint
    seen: Seen = field(default_factory=Seen)
    batch: int = 8192
    _entities: list[Entity] = field(default_factory=list)
    _relations: list[Relation] = field(default_factory=list)
    _outside: list[Outside] = field(default_factory=list)

    def run(self, sources: Sequence[tuple[Path, Parser]]) -> None:
        """Read all sources from the checkpoint on.

        Raises:
            InputError: A file is cut off or damaged; the lines before are committed.
        """
        for batch in batches(self.tables.entities, ["id"]):
            for id in batch["id"].to_pylist():
                self.seen.add(id)
        for index, (path, parser) in enumerate(sources):
            if index >= self.checkpoint.source:
                self._read(index, path, parser)
        self.checkpoint.stage = READ
        self.checkpoint.save(self.tables, self.problems)

    def start(self, relations: Sequence[Relation]) -> None:
        """Store the names of relations and note the beginning."""
        self._relations += relations
        self._commit(0, 0, 0)

    def _read(self, index: int, path: Path, parser: Parser) -> None:
        point = self.checkpoint
        with progress.task(f"reading {path.name}", unit="rows") as advance:
            advance(point.line)
            last = Line(point.line, point.position, b"")
            try:
                for last in lines(path, point.line, point.position):
                    self._line(path, last, parser)
                    advance(1)
                    if max(len(self._entities), len(self._outside)) >= self.batch or last.number - point.line >= _LINES:
                        self._commit(index, last.number, last.end)
            except InputError:
                self._commit(index, last.number, last.end)
                raise
        self._commit(index + 1, 0, 0)

    def _line(self, path: Path, line: Line, parser: Parser) -> None:
        if line.too_long:
            self.problems.add(path, line.number, f"longer than {LONGEST:,} bytes", kind="line too long")
            return
        try:
            item = parser(line.raw)
        except Unusable as problem:
            self.problems.add(path, line.number, str(problem), problem.id, problem.kind)
            return
        if item is not None:
            self._item(path, line.number, item)

    def _item(self, path: Path, line: int, item: Item) -> None:
        if isinstance(item, Relation):
            self._relations.append(item)
        elif isinstance(item, Outside):
            self._outside.append(item)
        elif item.id in self.seen:
            self.problems.add(path, line, "id was there before; the first row counts", item.id, "duplicate id")
        elif self.where.keeps(entity := self._complete(item)):
            self.seen.add(entity.id)
            self._entities.append(entity)
        else:
            self._outside.append(Outside(entity.id, entity.label))

    def _complete(self, entity: Entity) -> Entity:
        facts = self.facts.of(entity.id) if self.facts else []
        pictures = self.pictures.get(entity.id, [])
        if not facts and not pictures:
            return entity
        return replace(
            entity,
            triples=tuple(dict.fromkeys((*facts, *entity.triples))),
            images=tuple(dict.fromkeys((*entity.images, *pictures))),
        )

    def _commit(self, source: int, line: int, position: int) -> None:
        with storing(self.tables.path):
            if self._entities:
                self.tables.entities.add(to_table(self._entities, self.root))
            if self._outside:
                rows = [(item.id, item.label) for item in self._outside]
                self.tables.labels.add(pa.table(list(map(list, zip(*rows, strict=True))), schema=LABELS))
            if self._relations:
                named = [(item.id, item.label, item.description) for item in self._relations]
                self.tables.relations.add(pa.table(list(map(list, zip(*named, strict=True))), schema=RELATIONS))
        for done in (self._entities, self._outside, self._relations):
            done.clear()
        self.checkpoint.source, self.checkpoint.line, self.checkpoint.position = source, line, position
        self.checkpoint.save(self.tables, self.problems)
