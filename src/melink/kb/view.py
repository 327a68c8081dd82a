"""Entities as columns, for work that touches all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from melink.kb.schema import image_path, to_entity
from melink.kb.texts import Reading
from melink.records import Entity, Triple

Names = Callable[[Iterable[str]], Mapping[str, str]]
"""Gives the labels of those ids that have one."""


class EntityView:
    """Some entities of a knowledge base in a fixed order, as columns over an Arrow table.

    Columns become Python lists when they are first asked for, triples and extra fields are read from disk when they
    are first asked for, so that opening 134,905 entities takes well under two seconds.

    Args:
        table: The light columns (everything but triples and extra), one row per entity.
        heavy: Reads the ``triples`` and ``extra`` columns of the same rows in the same order.
        labels: Gives labels of entities anywhere in the knowledge base.
        relations: Gives labels of relations.
        root: Folder that relative picture paths start from.
        reading: Other texts that the entities are read by; None for their own.
    """

    def __init__(
        self,
        table: pa.Table,
        heavy: Callable[[], pa.Table],
        labels: Names,
        relations: Names,
        root: Path,
        reading: Reading | None = None,
    ) -> None:
        self._table = table
        self._heavy = heavy
        self._label_of = labels
        self._relation_of = relations
        self._root = root
        self._reading = reading
        self._columns: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def ids(self) -> list[str]:
        """Entity ids, in row order."""
        return self.column("id")

    @property
    def labels(self) -> list[str]:
        """Main names, in row order."""
        return self.column("label")

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.ids)}

    def row(self, id: str) -> int | None:
        """Return the row of an id, or None when the view does not have it."""
        return self._rows.get(id)

    def rows(self, ids: Sequence[str]) -> Int64[np.ndarray, " n"]:
        """Return the rows of some ids, -1 for those that the view does not have."""
        find = self._rows.get
        return np.fromiter((find(id, -1) for id in ids), dtype=np.int64, count=len(ids))

    def take(self, rows: Int64[np.ndarray, " n"]) -> EntityView:
        """Return a view of some rows, in the order given."""
        places = pa.array(rows)
        return self._part(lambda table: table.take(places))

    def column(self, name: str) -> list[Any]:
        """Return one column as a list: ``id label aliases description attributes extract types images triples``.

        List-valued fields come as lists of strings; pictures as paths to open; triples as tuples of resolved
        :class:`~melink.records.Triple`. The list is kept and shared: do not change it.
        """
        if name not in self._columns:
            if name == "triples":
                values: list[Any] = [self.triples(row) for row in range(len(self))]
            elif name == "images":
                values = [[image_path(i, self._root) for i in images] for images in self._lists("images")]
            elif name in ("aliases", "types"):
                values = self._lists(name)
            else:
                values = self._table[name].to_pylist()
            self._columns[name] = values
        return self._columns[name]

    @cached_property
    def texts(self) -> list[str] | None:
        """The text that each row is read by in place of its own fields, empty where it has none; None for nobody."""
        return None if self._reading is None else self._reading.texts(self)

    def _lists(self, name: str) -> list[list[str]]:
        column = self._table[name].combine_chunks()
        bounds = column.offsets.to_pylist()
        flat = column.values.to_pylist()
        return [flat[a:b] for a, b in pairwise(bounds)]

    @cached_property
    def _facts(self) -> tuple[list[int], list[str], list[str], list[bool], Mapping[str, str], Mapping[str, str]]:
        """Row bounds, relations, tails, literal flags, tail labels and relation labels of all triples."""
        column = self._extra["triples"].combine_chunks()
        facts = column.values
        relation, tail, literal = (facts.field(i).to_pylist() for i in range(3))
        tails = {t for t, is_text in zip(tail, literal, strict=True) if not is_text}
        return (
            column.offsets.to_pylist(),
            relation,
            tail,
            literal,
            self._label_of(tails),
            self._relation_of(set(relation)),
        )

    @cached_property
    def _extra(self) -> pa.Table:
        return self._heavy()

    @cached_property
    def fact_counts(self) -> Int64[np.ndarray, " n"]:
        """How many facts each row has."""
        counts: np.ndarray = pc.list_value_length(self._extra["triples"]).to_numpy(zero_copy_only=False)
        return counts.astype(np.int64)

    def distinct_facts(self) -> list[tuple[Triple, int]]:
        """Return every different fact, in order of relation and tail, with the number of rows that state it."""
        facts = self._extra["triples"].combine_chunks().flatten()
        keys = ("relation", "tail", "literal")
        table = pa.table({name: facts.field(i) for i, name in enumerate(keys)})
        counted = table.group_by(list(keys)).aggregate([([], "count_all")]).sort_by([(k, "ascending") for k in keys])
        found = list(zip(*(counted[name].to_pylist() for name in (*keys, "count_all")), strict=True))
        labels = self._label_of({tail for _, tail, literal, _ in found if not literal})
        names = self._relation_of({relation for relation, *_ in found})
        return [
            (Triple(r, t, literal, names.get(r, ""), "" if literal else labels.get(t, "")), n)
            for r, t, literal, n in found
        ]

    def triples(self, row: int) -> tuple[Triple, ...]:
        """Return the facts of one row, with the names of relations and tails filled in where known."""
        bounds, relation, tail, literal, labels, relations = self._facts
        return tuple(
            Triple(
                relation[i],
                tail[i],
                literal[i],
                relations.get(relation[i], ""),
                "" if literal[i] else labels.get(tail[i], ""),
            )
            for i in range(bounds[row], bounds[row + 1])
        )

    def entity(self, row: int) -> Entity:
        """Return one row as an entity, with its triples resolved."""
        values = {name: self._table[name][row].as_py() for name in self._table.column_names}
        values["extra"] = self._extra["extra"][row].as_py()
        return to_entity(values, self._root, self.triples(row))

    def slice(self, start: int, stop: int) -> EntityView:
        """Return the rows from ``start`` up to ``stop`` as a view of their own."""
        return self._part(lambda table: table.slice(start, stop - start))

    def _part(self, cut: Callable[[pa.Table], pa.Table]) -> EntityView:
        shared = (self._label_of, self._relation_of, self._root, self._reading)
        return EntityView(cut(self._table), lambda: cut(self._extra), *shared)

    @cached_property
    def key(self) -> str:
        """Hash of everything in the view, for naming what was computed from it."""
        digest = hashlib.sha256()
        for table in (self._table, self._extra):
            for name in table.column_names:
                digest.update(name.encode())
                _hash_values(table[name].combine_chunks(), digest)
        if self.texts is not None and any(self.texts):
            digest.update(b"texts")
            _hash_values(pa.array(self.texts, pa.string()), digest)
        return digest.hexdigest()


def _hash_values(array: pa.Array, digest: hashlib._Hash) -> None:
    """Feed the values of an Arrow array, not its memory layout, to a digest."""
    if pa.types.is_struct(array.type):
        for part in array.flatten():
            _hash_values(part, digest)
    elif pa.types.is_list(array.type):
        digest.update(pc.list_value_length(array).to_numpy(zero_copy_only=False).tobytes())
        _hash_values(array.flatten(), digest)
    elif pa.types.is_string(array.type):
        digest.update(pc.binary_length(array).to_numpy(zero_copy_only=False).tobytes())
        digest.update("".join(array.to_pylist()).encode())
    else:
        digest.update(array.to_numpy(zero_copy_only=False).tobytes())
