"""Vectors of entities in tables of their own, one per name, searched exactly unless an index was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from melink.errors import InputError, NotFound
from melink.kb.disk import storing
from melink.kb.tables import Tables, among, batches, merge

_PREFIX = "vectors-"
_CHUNK = 16384


class Vectors:
    """The named vectors of one generation of a knowledge base."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def names(self) -> list[str]:
        """Return the names under which vectors were put."""
        folders = self._tables.path.glob(f"{_PREFIX}*.lance")
        return sorted(folder.name.removeprefix(_PREFIX).removesuffix(".lance") for folder in folders)

    def put(self, name: str, ids: Sequence[str], array: Float32[np.ndarray, "n d"]) -> None:
        """Insert or replace vectors by id in one atomic commit."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
            raise InputError(f"vector name {name!r}", "use up to 64 letters, digits, dots, dashes or underscores")
        if len(ids) != len(array) or len(set(ids)) != len(ids):
            raise InputError(f"{len(ids)} ids for {len(array)} vectors", "give one vector per id, each id once")
        if not np.isfinite(array).all():
            raise InputError(f"vectors {name!r} hold NaN or infinity", "leave out the rows that could not be computed")
        rows = _rows(ids, array)
        with storing(self._tables.path):
            if name not in self.names():
                self._tables.database.create_table(_PREFIX + name, data=rows)
                return
            table = self._open(name)
            if table.schema.field("vector").type != rows.schema.field("vector").type:
                raise InputError(f"vectors {name!r} have another width", "put them under a new name")
            merge(table, rows)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove the vectors of some entities under every name."""
        for name in self.names() if ids else []:
            with storing(self._tables.path):
                self._open(name).delete(among(ids))

    def search(
        self, name: str, queries: Float32[np.ndarray, "m d"], k: int
    ) -> tuple[list[list[str]], Float32[np.ndarray, "m k"]]:
        """Return the ids with the highest inner products and those products, best first, ties in order of id.

        Exact, in bounded memory, unless :meth:`index` was called for this name: then approximate.
        Where there are fewer than ``k`` vectors, ids are fewer and scores are filled up with -inf.
        """
        table = self._open(name)
        if any("vector" in index.columns for index in table.list_indices()):
            return self._indexed(table, queries, k)
        best: list[list[tuple[float, str]]] = [[] for _ in queries]
        for batch in batches(table, ["id", "vector"], _CHUNK):
            ids = batch["id"].to_pylist()
            scores = queries @ batch["vector"].flatten().to_numpy().reshape(len(ids), -1).T
            for row, found in enumerate(scores):
                top = np.flatnonzero(found >= np.partition(found, -k)[-k]) if k < len(ids) else range(len(ids))
                merged = best[row] + [(-float(found[i]), ids[i]) for i in top]
                best[row] = sorted(merged)[:k]
        return _answer([[(id, -score) for score, id in row] for row in best], k)

    def index(self, name: str) -> None:
        """Add an IVF index: searches become approximate and faster. Worth it above about 50,000 vectors."""
        from lancedb.index import IvfFlat

        table = self._open(name)
        with storing(self._tables.path):
            table.create_index("vector", config=IvfFlat(distance_type="dot"))

    def _indexed(
        self, table: Any, queries: Float32[np.ndarray, "m d"], k: int
    ) -> tuple[list[list[str]], Float32[np.ndarray, "m k"]]:
        found = []
        for query in queries:
            search = table.search(query).distance_type("dot").nprobes(40).limit(k).select(["id", "_distance"])
            rows = search.to_list()
            found.append(sorted(((r["id"], 1.0 - r["_distance"]) for r in rows), key=lambda hit: (-hit[1], hit[0])))
        return _answer(found, k)

    def _open(self, name: str) -> Any:
        if name not in self.names():
            raise NotFound.among("vectors", name, self.names())
        return self._tables.open(_PREFIX + name)


def _rows(ids: Sequence[str], array: Float32[np.ndarray, "n d"]) -> pa.Table:
    flat = pa.array(np.ascontiguousarray(array, dtype=np.float32).reshape(-1))
    return pa.table({"id": list(ids), "vector": pa.FixedSizeListArray.from_arrays(flat, array.shape[1])})


def _answer(found: list[list[tuple[str, float]]], k: int) -> tuple[list[list[str]], Float32[np.ndarray, "m k"]]:
    scores = np.full((len(found), k), -np.inf, dtype=np.float32)
    for row, hits in enumerate(found):
        scores[row, : len(hits)] = [score for _, score in hits]
    return [[id for id, _ in hits] for hits in found], scores
