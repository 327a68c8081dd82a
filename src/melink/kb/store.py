"""The knowledge base: entities on disk with search, versions and atomic updates."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from melink.errors import NotFound, StoreError
from melink.kb.disk import locked, storing, sync_tree
from melink.kb.layout import Manifest, folder_name, read_manifest, write_manifest
from melink.records import Entity

if TYPE_CHECKING:
    import pyarrow as pa

    from melink.kb.names import NameIndex
    from melink.kb.texts import Reading
    from melink.kb.vectors import Vectors
    from melink.kb.view import EntityView

_log = logging.getLogger("melink")
_COMPACT_EVERY = 32
_FEW = 256


@dataclass(frozen=True, slots=True)
class Written:
    """What an upsert did.

    Attributes:
        added: Entities that are new.
        updated: Entities that replaced one with the same id.
    """

    added: int
    updated: int


class KnowledgeBase:
    """A knowledge base in a folder. Many may read, one may write at a time.

    Use :meth:`open` or :meth:`create`, or build one with :func:`melink.kb.build.build`.

        >>> kb = KnowledgeBase.open("wikidata-people")               # doctest: +SKIP
        >>> kb.search("Blair")[0], kb.get("Q9545").label             # doctest: +SKIP
    """

    def __init__(self, path: Path, manifest: Manifest, pinned: int | None = None, texts: Reading | None = None) -> None:
        self.path, self.texts = path, texts
        self._pinned = pinned
        self._attach(manifest)

    def reading(self, text: str) -> KnowledgeBase:
        """Return this knowledge base with another text of its entities, or with their own (:mod:`melink.kb.texts`)."""
        from melink.kb.texts import ORIGINAL, Texts

        if text == (self.texts.kind if self.texts else ORIGINAL):
            return self
        chosen = None if text == ORIGINAL else Texts(self.path, text).reading()
        return KnowledgeBase(self.path, self._manifest, self._pinned, chosen)

    @classmethod
    def open(cls, path: str | Path, version: int | None = None) -> KnowledgeBase:
        """Open a knowledge base for reading and writing, or one of its earlier versions for reading.

        An update that a killed process left half done is finished first.

        Raises:
            NotFound: No such folder, or no such version.
            StoreError: Not a knowledge base.
        """
        root = Path(path).absolute()
        manifest = read_manifest(root)
        kb = cls(root, manifest)
        if version is not None and version != kb.version:
            known = [v["version"] for v in kb.versions()]
            if version not in known:
                raise NotFound(f"{path}: no version {version}", f"choose one of {', '.join(map(str, known))}")
            return cls(root, manifest, version - manifest.base)
        kb._recover()
        return kb

    @classmethod
    def create(cls, path: str | Path) -> KnowledgeBase:
        """Make an empty knowledge base.

        Raises:
            StoreError: There is one already, or the folder cannot be written.
        """
        from melink.kb.tables import Tables

        root = Path(path).absolute()
        with storing(root):
            root.mkdir(parents=True, exist_ok=True)
        with locked(root / ".lock"):
            if (root / "manifest.json").exists():
                raise StoreError(f"{path}: there is a knowledge base already", "open it, or choose another folder")
            generation = folder_name(1)
            Tables(root / generation).create()
            write_manifest(root, Manifest(generation))
        return cls.open(root)

    def _attach(self, manifest: Manifest) -> None:
        from melink.kb.tables import Tables

        self._manifest = manifest
        self._tables = Tables(self.path / manifest.generation, self._pinned)
        self._forget()
        self._names: NameIndex | None = None
        self._relation_map: dict[str, str] | None = None

    def _forget(self) -> None:
        self._view: EntityView | None = None
        self._label_map: dict[str, str] | None = None

    def refresh(self) -> None:
        """See what other processes have written since this object was opened."""
        if self._pinned is not None:
            return
        manifest = read_manifest(self.path)
        if manifest.generation != self._manifest.generation:
            self._attach(manifest)
            return
        before = self.version
        self._tables.entities.checkout_latest()
        if self.version != before:
            self._forget()
            if self._names is not None:
                self._names.reload()

    @property
    def features_dir(self) -> Path:
        """Folder of encoded texts and pictures; it outlives rebuilds."""
        return self.path / "features"

    @property
    def version(self) -> int:
        """Number of the version that is being read; every change makes a higher one."""
        return self._manifest.base + int(self._tables.entities.version)

    def versions(self) -> list[dict[str, Any]]:
        """Return the versions that can be opened, oldest first: version, time and number of entities."""
        return [
            {
                "version": self._manifest.base + int(v["version"]),
                "time": v["timestamp"].isoformat(timespec="seconds"),
                "entities": int(v["metadata"].get("total_rows", 0)),
            }
            for v in self._tables.open("entities").list_versions()
        ]

    def __len__(self) -> int:
        return int(self._tables.entities.count_rows())

    def content_hash(self) -> str:
        """Return a hash of all entities and of the texts they are read by, read afresh from the table.

        It depends neither on their order nor on the folders in which data and pictures lie.
        """
        from melink.kb.schema import FIELDS, row_hashes
        from melink.kb.tables import batches

        total = sum(sum(row_hashes(batch)) for batch in batches(self._tables.entities, FIELDS))
        total += self.texts.number(self.view()) if self.texts else 0
        return f"{total % 2**256:064x}"

    def get(self, id: str) -> Entity:
        """Return one entity.

        Raises:
            NotFound: No such id.
        """
        return self.take([id]).entity(0)

    def take(self, ids: Sequence[str]) -> EntityView:
        """Return some entities as a view, in the order given.

        Raises:
            NotFound: One of the ids is unknown.
        """
        import pyarrow as pa

        from melink.kb.schema import LIGHT
        from melink.kb.tables import read_ids

        if self._view is not None or len(ids) > _FEW:
            view = self.view()
            return view.take(self._known(ids, view.rows(ids)))
        table = read_ids(self._tables.entities, LIGHT, list(dict.fromkeys(ids)))
        place = {id: row for row, id in enumerate(table["id"].to_pylist())}
        rows = self._known(ids, np.array([place.get(id, -1) for id in ids], dtype=np.int64))
        return self._as_view(table.take(pa.array(rows)))

    def _known(self, ids: Sequence[str], rows: np.ndarray) -> np.ndarray:
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise NotFound(
                f"{self.path}: no entity with id {ids[int(missing[0])]!r}{more}", "look for it with 'melink kb search'"
            )
        return rows

    def view(self) -> EntityView:
        """Return all entities in order of id; the same object until the knowledge base changes."""
        from melink.kb.schema import LIGHT
        from melink.kb.tables import read

        if self._view is None:
            self._view = self._as_view(read(self._tables.entities, LIGHT).sort_by("id"))
        return self._view

    def _as_view(self, table: pa.Table) -> EntityView:
        import pyarrow.compute as pc

        from melink.kb.tables import Tables, read, read_ids
        from melink.kb.view import EntityView

        ids = table["id"]
        source = Tables(self._tables.path, int(self._tables.entities.version))  # stays at this version
        columns = ("id", "triples", "extra")

        def heavy() -> pa.Table:
            few = len(ids) <= _FEW
            rows = source.entities
            found = read_ids(rows, columns, ids.unique().to_pylist()) if few else read(rows, columns)
            place = pc.index_in(ids.combine_chunks(), found["id"].combine_chunks())
            return found.take(place).drop_columns("id").combine_chunks()

        return EntityView(table, heavy, self.labels, self._relation_labels, self.path, self.texts)

    def labels(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the labels of those ids that are known, also ids that only triples mention."""
        from melink.kb.tables import read, read_ids

        wanted = list(dict.fromkeys(ids))
        tables = (self._tables.labels, self._tables.entities)
        if self._label_map is None and self._view is None and len(wanted) <= _FEW:
            return dict(pair for table in tables for pair in _pairs(read_ids(table, ("id", "label"), wanted)))
        if self._label_map is None:
            self._label_map = dict(pair for table in tables for pair in _pairs(read(table, ("id", "label"))))
        known = self._label_map
        return {id: known[id] for id in wanted if id in known}

    def relation_label(self, id: str) -> str:
        """Return the name of a relation, empty when unknown."""
        return self._relation_labels([id]).get(id, "")

    def _relation_labels(self, ids: Iterable[str]) -> Mapping[str, str]:
        from melink.kb.tables import read

        if self._relation_map is None:
            self._relation_map = dict(_pairs(read(self._tables.relations, ("id", "label"))))
        known = self._relation_map
        return {id: known[id] for id in ids if id in known}

    def search(self, text: str, k: int = 10) -> list[tuple[str, float]]:
        """Return ids with scores for words of names and descriptions; names count more than descriptions."""
        return self.names.search(text, k)

    def stats(self) -> dict[str, Any]:
        """Return counts of everything, bytes on disk, version and content hash."""
        from melink.kb.disk import size_of
        from melink.kb.statistics import statistics

        return {
            **statistics(self._tables),
            "bytes": size_of(self._tables.path),
            "version": self.version,
            "content_hash": self.content_hash(),
        }

    @property
    def names(self) -> NameIndex:
        """The names index. Made anew from the entities when it is missing, damaged or behind them."""
        if self._names is None:
            self._names = self._open_names()
        return self._names

    def _open_names(self) -> NameIndex:
        from melink.kb import journal
        from melink.kb.names import rebuild

        if self._pinned is not None:
            return rebuild(None, journal.stored(self._tables, self.path))
        self.refresh()
        return journal.current(self._tables, self.path, self.refresh)

    def _recover(self) -> None:
        """Finish an update that a killed process left half done, unless its writer is still alive."""
        from melink.kb import journal

        if journal.left_over(self._tables.path):
            try:
                with locked(self.path / ".lock"), storing(self.path):
                    self._repair()
            except StoreError as error:  # its writer is alive, or the disk is full: reading goes on without
                _log.info("%s: an unfinished update is left as it is (%s)", self.path, error.message)

    def _repair(self) -> None:
        from melink.kb import journal

        if journal.left_over(self._tables.path):
            journal.repair(self._tables, self.path)

    @contextmanager
    def _writing(self, ids: list[str]) -> Iterator[NameIndex]:
        """Lock, journal the ids, let the caller commit table and index, note that both agree."""
        from melink.kb import journal
        from melink.kb.tables import compact

        if self._pinned is not None:
            raise StoreError(
                f"{self.path}: version {self.version} is for reading", "open it without a version to write"
            )
        with locked(self.path / ".lock"), storing(self.path):
            self.refresh()
            self._repair()
            table = self._tables.entities
            names = self._names or journal.opened(self._tables.path, table.version)
            self._names = names = names or journal.rebuilt(self._tables, self.path)
            journal.begin(self._tables.path, ids)
            yield names
            if table.version % _COMPACT_EVERY == 0:
                compact(table)
            sync_tree(self._tables.path / "entities.lance")
            journal.finish(self._tables.path, table.version)
            self._forget()

    def upsert(self, entities: Iterable[Entity]) -> Written:
        """Add entities, or replace those with the same id, in one atomic commit. They can be found at once.

        When this returns, the change survives a kill. An id given twice: the last one counts.

        Raises:
            Locked: Somebody else is writing.
            StoreError: The disk is full, or this is an earlier version.
        """
        from melink.kb.schema import to_table
        from melink.kb.tables import merge

        rows = {entity.id: entity for entity in entities}
        if not rows:
            return Written(0, 0)
        table = to_table(rows.values(), self.path)
        with self._writing(list(rows)) as names:
            added, updated = merge(self._tables.entities, table)
            names.write(rows.values())
        return Written(added, updated)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove entities with their names and vectors; return how many there were.

        Raises:
            Locked: Somebody else is writing.
        """
        from melink.kb.tables import among

        gone = list(dict.fromkeys(ids))
        if not gone:
            return 0
        with self._writing(gone) as names:
            before = len(self)
            self._tables.entities.delete(among(gone))
            names.write([], delete=gone)
            self.vectors.delete(gone)
            return before - len(self)

    @property
    def vectors(self) -> Vectors:
        """Named vectors of the entities."""
        from melink.kb.vectors import Vectors

        return Vectors(self._tables)

    def put_vectors(self, name: str, ids: Sequence[str], array: Float32[np.ndarray, "n d"]) -> None:
        """Store one vector per entity under a name, replacing those that were there."""
        with locked(self.path / ".lock"):
            self.vectors.put(name, ids, array)

    def search_vectors(
        self, name: str, queries: Float32[np.ndarray, "m d"], k: int
    ) -> tuple[list[list[str]], Float32[np.ndarray, "m k"]]:
        """Return ids and inner products, best first; exact unless :meth:`add_vector_index` was called."""
        return self.vectors.search(name, queries, k)

    def add_vector_index(self, name: str) -> None:
        """Make searches under this name approximate and faster; worth it above about 50,000 entities."""
        with locked(self.path / ".lock"):
            self.vectors.index(name)


def _pairs(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True)
