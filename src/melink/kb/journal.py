"""Keeping the names index in step with the table when a writer dies in between.

A writer names the touched ids in a journal, commits the table, commits the index, notes the version the index stands
at, and removes the journal. Whoever finds a journal brings those ids from the table into the index again, which can be
done any number of times.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from melink.errors import StoreError
from melink.kb.disk import locked, read_json, storing, sync_tree, write_json
from melink.kb.names import NameIndex, rebuild
from melink.kb.schema import FIELDS, to_entity
from melink.kb.tables import Tables, batches, read_ids
from melink.kb.vectors import Vectors
from melink.records import Entity, Triple

_log = logging.getLogger("melink")


def begin(folder: Path, ids: Iterable[str]) -> None:
    """Note the ids that are about to change."""
    write_json(folder / "journal.json", {"ids": list(ids)})


def finish(folder: Path, version: int) -> None:
    """Note that the index stands at a version of the table; nothing is left to do."""
    write_json(folder / "names.json", {"version": version})
    (folder / "journal.json").unlink(missing_ok=True)


def left_over(folder: Path) -> bool:
    """Return whether a writer died before it finished."""
    return (folder / "journal.json").exists()


def repair(tables: Tables, root: Path) -> None:
    """Bring the ids of a left-over journal from the table into index and vectors. Call it under the write lock."""
    folder = tables.path
    data = read_json(folder / "journal.json")
    ids = data.get("ids", []) if isinstance(data, dict) else []
    present = list(stored(tables, root, ids))
    known = {entity.id for entity in present}
    Vectors(tables).delete([id for id in ids if id not in known])
    try:
        NameIndex(folder / "names").write(present, delete=ids)
    except (OSError, ValueError, RuntimeError) as error:
        _log.warning("%s: the names index cannot be repaired (%s) and is made anew", root, error)
        rebuilt(tables, root)
    else:
        finish(folder, tables.entities.version)


def rebuilt(tables: Tables, root: Path) -> NameIndex:
    """Make the names index anew beside the old one, then put it in its place. Call it under the write lock."""
    folder = tables.path
    fresh = folder / "names.partial"
    rebuild(fresh, stored(tables, root))
    sync_tree(fresh)
    shutil.rmtree(folder / "names", ignore_errors=True)
    fresh.rename(folder / "names")
    finish(folder, tables.entities.version)
    return NameIndex(folder / "names")


def current(tables: Tables, root: Path, refresh: Callable[[], None]) -> NameIndex:
    """Open the names index, bringing it in step first where that is needed and possible.

    While somebody else writes, or where nothing can be written, the index may be a little behind.
    """
    index = opened(tables.path, tables.entities.version)
    if index is not None:
        return index
    try:
        with locked(root / ".lock"), storing(root):
            refresh()
            if left_over(tables.path):
                repair(tables, root)
            return opened(tables.path, tables.entities.version) or rebuilt(tables, root)
    except StoreError:
        return opened(tables.path, None) or rebuild(None, stored(tables, root))


def opened(folder: Path, version: int | None) -> NameIndex | None:
    """Open the names index, or say why it has to be made anew and return None.

    Args:
        folder: Folder of the generation.
        version: Version of the table that the index must stand at, or None for any.
    """
    stands_at = (read_json(folder / "names.json") or {}).get("version")
    if stands_at is None:
        return None
    if version not in (None, stands_at):
        _log.warning("%s: the names index is behind the entities and is made anew", folder.parent)
        return None
    try:
        return NameIndex(folder / "names", make=False)
    except (OSError, ValueError, RuntimeError) as error:
        _log.warning("%s: the names index is damaged (%s) and is made anew", folder.parent, error)
        return None


def stored(tables: Tables, root: Path, ids: Sequence[str] | None = None) -> Iterator[Entity]:
    """Yield entities as stored (all of them, or those of ``ids`` that exist), triples without labels."""
    columns = FIELDS
    found = batches(tables.entities, columns) if ids is None else read_ids(tables.entities, columns, ids).to_batches()
    for batch in found:
        for row in batch.to_pylist():
            yield to_entity(row, root, tuple(Triple(**triple) for triple in row["triples"]))
