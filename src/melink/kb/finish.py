"""The last steps of a build: check references, drop labels that nothing needs, index, hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from melink import progress
from melink.errors import Problems
from melink.kb.disk import storing
from melink.kb.images import report_unknown
from melink.kb.journal import rebuilt
from melink.kb.schema import FIELDS, LABELS, row_hashes
from melink.kb.seen import Seen
from melink.kb.tables import Tables, batches, index_ids, settle
from melink.kb.triples import TripleFile


def check_references(
    tables: Tables,
    facts: TripleFile | None,
    relations: set[str] | None,
    images: Path | None,
    pictures: Mapping[str, list[str]],
    problems: Problems,
) -> None:
    """Report triples and pictures of ids that no input row had; rows that ``--where`` left out count as known."""
    known = Seen()
    for table in (tables.entities, tables.labels):
        for batch in batches(table, ["id"]):
            for id in batch["id"].to_pylist():
                known.add(id)
    if facts is not None:
        facts.report_unknown(known, relations, problems)
    if images is not None:
        report_unknown(images, (id for id in pictures if id not in known), problems)


def finish(tables: Tables, root: Path) -> str:
    """Prune, index and settle all tables, make the names index, and return the content hash. Can be done again."""
    with progress.task("indexing", total=4, unit="steps") as advance, storing(tables.path):
        _prune_labels(tables)
        for table in (tables.entities, tables.labels):
            index_ids(table)
        advance(1)
        for table in (tables.entities, tables.labels, tables.relations):
            settle(table)
        advance(1)
        rebuilt(tables, root)
        advance(1)
        total = sum(sum(row_hashes(batch)) for batch in batches(tables.entities, FIELDS))
        advance(1)
    return f"{total % 2**256:064x}"


def _prune_labels(tables: Tables) -> None:
    """Keep only the labels of outside entities that are tails of stored triples."""
    tails = Seen()
    for batch in batches(tables.entities, ["triples"]):
        for tail in batch["triples"].flatten().field("tail").unique().to_pylist():
            tails.add(tail)

    def kept() -> Iterator[pa.RecordBatch]:
        for batch in batches(tables.labels, LABELS.names):
            yield batch.filter(pa.array([id in tails for id in batch["id"].to_pylist()], type=pa.bool_()))

    if tables.labels.count_rows():
        rows = pa.RecordBatchReader.from_batches(LABELS, kept())
        tables.labels = tables.database.create_table("labels", data=rows, mode="overwrite")
