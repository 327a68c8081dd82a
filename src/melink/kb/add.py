"""Adding the rows of a file to a knowledge base that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from melink import progress
from melink.errors import Problems
from melink.kb.items import Unusable
from melink.kb.jsonl import JsonRows
from melink.kb.lines import LONGEST, lines
from melink.kb.store import KnowledgeBase, Written
from melink.records import Entity

_BATCH: Final = 5000


def add_file(kb: KnowledgeBase, file: Path, problems: Problems) -> Written:
    """Add entities from JSON lines, or replace those with the same id; commits every 5,000 rows.

    An id given twice in the file is reported; the last row counts. Doing it again changes nothing.

    Raises:
        InputError: The file cannot be read; what was committed before stays.
        BadRow: A bad row, when ``problems`` is strict; nothing after the last commit is kept.
        Locked: Somebody else is writing.
    """
    parse = JsonRows(file.absolute().parent)
    waiting: dict[str, Entity] = {}
    seen: set[str] = set()
    added = updated = 0
    with progress.task(f"adding {file.name}", unit="rows") as advance:
        for line in lines(file):
            advance(1)
            try:
                entity = None if line.too_long else parse(line.raw)
            except Unusable as problem:
                problems.add(file, line.number, str(problem), problem.id, problem.kind)
                continue
            if line.too_long:
                problems.add(file, line.number, f"longer than {LONGEST:,} bytes", kind="line too long")
            if entity is None:
                continue
            if entity.id in seen:
                problems.add(file, line.number, "id was there before; the last row counts", entity.id, "duplicate id")
            seen.add(entity.id)
            waiting[entity.id] = entity
            if len(waiting) >= _BATCH:
                written = kb.upsert(waiting.values())
                added, updated = added + written.added, updated + written.updated
                waiting.clear()
    written = kb.upsert(waiting.values())
    return Written(added + written.added, updated + written.updated)
