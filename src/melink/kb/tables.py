"""The LanceDB tables of one generation of a knowledge base."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from melink.errors import StoreError
from melink.kb.disk import storing
from melink.kb.schema import ENTITIES, LABELS, RELATIONS

_SCHEMAS = {"entities": ENTITIES, "relations": RELATIONS, "labels": LABELS}
_PER_QUERY = 2000


class Tables:
    """Opens the tables of a folder when they are first needed.

    Args:
        path: Folder of the generation.
        pinned: Version of the entities table to read; None follows the newest.
    """

    def __init__(self, path: Path, pinned: int | None = None) -> None:
        self.path = path
        self.pinned = pinned

    @cached_property
    def database(self) -> Any:
        """The LanceDB connection."""
        os.environ.setdefault("RUST_LOG", "error")
        import lancedb

        return lancedb.connect(str(self.path))

    def create(self) -> None:
        """Make the empty tables."""
        with storing(self.path):
            for name, schema in _SCHEMAS.items():
                self.database.create_table(name, schema=schema)

    def open(self, name: str) -> Any:
        """Open a table.

        Raises:
            StoreError: It is missing or damaged.
        """
        try:
            return self.database.open_table(name)
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(
                f"{self.path / name}: the table cannot be opened ({_first_line(error)})",
                "build the knowledge base again with 'melink kb build --force'",
            ) from error

    @cached_property
    def entities(self) -> Any:
        """The entities, at the pinned version when there is one."""
        table = self.open("entities")
        if self.pinned is not None:
            table.checkout(self.pinned)
        return table

    @cached_property
    def relations(self) -> Any:
        """Labels of relations."""
        return self.open("relations")

    @cached_property
    def labels(self) -> Any:
        """Labels of entities outside the knowledge base."""
        return self.open("labels")


def read(table: Any, columns: Sequence[str], where: str | None = None) -> pa.Table:
    """Return some columns of the rows for which a SQL condition holds."""
    query = table.search().select(list(columns))
    return (query.where(where) if where else query).to_arrow()


def read_ids(table: Any, columns: Sequence[str], ids: Sequence[str]) -> pa.Table:
    """Return the rows with these ids, in no particular order."""
    parts = [read(table, columns, among(ids[i : i + _PER_QUERY])) for i in range(0, len(ids), _PER_QUERY)]
    return pa.concat_tables(parts) if parts else read(table, columns, "false")


def batches(table: Any, columns: Sequence[str], size: int = 8192) -> Iterator[pa.RecordBatch]:
    """Yield all rows in their order in batches, in bounded memory."""
    yield from table.search().select(list(columns)).to_batches(size)


def among(ids: Iterable[str]) -> str:
    """Return the SQL condition that the id is one of these."""
    return "id IN (" + ", ".join("'" + id.replace("'", "''") + "'" for id in ids) + ")"


def merge(table: Any, rows: pa.Table) -> tuple[int, int]:
    """Insert or replace rows by id in one atomic commit; return how many were added and how many replaced."""
    result = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)
    return int(result.num_inserted_rows), int(result.num_updated_rows)


def index_ids(table: Any) -> None:
    """Make lookups by id fast."""
    from lancedb.index import BTree

    table.create_index("id", config=BTree(), replace=True)


def compact(table: Any) -> None:
    """Merge small files and bring indexes up to date; versions older than a week go."""
    table.optimize(cleanup_older_than=timedelta(days=7))


def settle(table: Any) -> None:
    """Merge small files and drop every version but this one. For tables that nobody else has open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about readers of older versions
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
