"""Which shard and row holds the features of a content hash; and the merging of many small shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float16, Int64

from melink.errors import StoreError
from melink.features.shards import KEY, SUFFIX, Shard, full, read_shard, write_shard

FULL: Final = 64 * 2**20
"""Shards are merged up to about this many bytes; one of at least half of it is left alone."""
MANY: Final = 16
"""So many small shards are put up with."""


class Index:
    """The shards of one encoder, and where each content hash is.

    Where two shards hold the same item, the one with token vectors counts, then the first by name: every reader
    chooses the same.

    Args:
        shards: File name → shard.
    """

    def __init__(self, shards: Mapping[str, Shard]) -> None:
        order = sorted(shards, key=lambda name: (shards[name].tokens is None, name))
        self.names: frozenset[str] = frozenset(shards)
        self.shards = [shards[name] for name in order]
        self._order = order
        sizes = [len(shard.keys) for shard in self.shards]
        every = np.concatenate([np.empty(0, KEY), *(shard.keys for shard in self.shards)])
        self._keys, first = np.unique(every, return_index=True)
        self._shard = np.repeat(np.arange(len(sizes)), np.array(sizes, np.int64))[first]
        self._row = np.concatenate([np.empty(0, np.int64), *map(np.arange, sizes)])[first]
        self._with_tokens = np.array([shard.tokens is not None for shard in self.shards], dtype=bool)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, keys: np.ndarray, tokens: bool) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return shard and row of each key; both -1 for what is not there (with token vectors, when asked for)."""
        shard, row = np.full(len(keys), -1), np.full(len(keys), -1)
        if len(self._keys):
            place = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
            hit = self._keys[place] == keys
            if tokens:
                hit &= self._with_tokens[self._shard[place]]
            shard[hit], row[hit] = self._shard[place[hit]], self._row[place[hit]]
        return shard, row

    def spans(
        self, shard: Int64[np.ndarray, " n"], row: Int64[np.ndarray, " n"]
    ) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return where in its shard the token vectors of each row start, and how many there are; 0 where absent."""
        start, length = np.zeros(len(shard), np.int64), np.zeros(len(shard), np.int64)
        for number, places in by_shard(shard, np.argsort(shard, kind="stable")):
            offsets = self.shards[number].offsets
            assert offsets is not None
            own = row[places]
            start[places] = offsets[own]
            length[places] = offsets[own + 1] - offsets[own]
        return start, length

    def tokens(
        self,
        shard: Int64[np.ndarray, " n"],
        start: Int64[np.ndarray, " n"],
        length: Int64[np.ndarray, " n"],
        width: int,
    ) -> tuple[Float16[np.ndarray, "n t dt"], Bool[np.ndarray, "n t"]]:
        """Return token vectors, padded with zeros to the longest, and which are real.

        Each shard is read once and in ascending order, a whole token vector at a time.

        Args:
            shard: Of each row; -1 where absent.
            start: As :meth:`spans` gives it.
            length: As :meth:`spans` gives it, or less.
            width: Of a token vector.
        """
        column = np.arange(length.max(initial=0))
        mask = column < length[:, None]
        out = np.zeros((*mask.shape, width), np.float16)
        whole = np.dtype((np.void, out.itemsize * width))
        target = out.reshape(-1).view(whole)
        for number, places in by_shard(shard, np.lexsort((start, shard))):
            real, tokens = mask[places], self.shards[number].tokens
            if real.any():
                source = np.asarray(tokens).reshape(-1).view(whole)
                target[(places[:, None] * len(column) + column)[real]] = source[(start[places, None] + column)[real]]
        return out, mask

    def bad(self, decoder: str) -> dict[bytes, str]:
        """Return the content hashes that this decoder could not decode, with their reasons."""
        return {k: why for shard in self.shards if shard.decoder == decoder for k, why in shard.bad.items()}

    def update(self, digest: hashlib._Hash) -> None:
        """Feed everything the shards hold to a hash, whatever the order in which it was written."""
        for key, shard, row in zip(self._keys.tolist(), self._shard, self._row, strict=True):
            digest.update(full(key))
            digest.update(self.shards[shard].vectors[row].tobytes())
            if self._with_tokens[shard]:
                digest.update(self.shards[shard].token_rows(row).tobytes())
        failures = {(key, why, shard.decoder) for shard in self.shards for key, why in shard.bad.items()}
        digest.update(repr(sorted(failures)).encode())

    def small(self) -> list[str]:
        """Return the names of small shards."""
        return [name for name, shard in zip(self._order, self.shards, strict=True) if shard.nbytes < FULL / 2]

    def pick(self, names: Sequence[str]) -> list[Shard]:
        """Return shards by name."""
        return [self.shards[self._order.index(name)] for name in names]


def by_shard(shard: Int64[np.ndarray, " n"], order: np.ndarray) -> Iterator[tuple[int, Int64[np.ndarray, " k"]]]:
    """Yield the number of each shard and the places that it fills, in this order; absent rows are left out.

    Args:
        shard: Of each row; -1 where absent.
        order: All places, sorted by shard.
    """
    order = order[np.searchsorted(shard[order], 0) :]
    for places in np.split(order, np.flatnonzero(np.diff(shard[order])) + 1):
        if len(places):
            yield int(shard[places[0]]), places


def open_index(folder: Path, known: Index | None = None) -> Index:
    """Open the shards of a folder; ``known`` comes back when nothing has changed since.

    Raises:
        StoreError: A shard is damaged, or other processes keep merging.
    """
    for _ in range(10):
        names = {path.name for path in folder.glob(f"[!.]*{SUFFIX}")} if folder.is_dir() else set()
        if known is not None and names == known.names:
            return known
        old = {} if known is None else dict(zip(known._order, known.shards, strict=True))
        try:
            return Index({name: old.get(name) or read_shard(folder / name) for name in names})
        except FileNotFoundError:
            continue  # merged by another process between listing and opening
    raise StoreError(f"{folder}: shards keep changing", "wait until other processes have finished")


def compact(folder: Path, index: Index) -> Index:
    """Merge small shards when there are many. A kill between the steps leaves duplicates, never a gap."""
    small = index.small()
    if len(small) <= MANY:
        return index
    groups: list[list[str]] = [[]]
    total = 0
    for name, shard in zip(small, index.pick(small), strict=True):
        mixed = groups[-1] and (index.pick(groups[-1][:1])[0].tokens is None) != (shard.tokens is None)
        if total >= FULL or mixed:
            groups.append([])
            total = 0
        groups[-1].append(name)
        total += shard.nbytes
    for group in groups:
        if len(group) > 1:
            merged = write_shard(folder, _merge(index.pick(group)))
            for name in set(group) - {merged}:
                (folder / name).unlink(missing_ok=True)
    return open_index(folder, index)


def _merge(shards: Sequence[Shard]) -> Shard:
    keys, first = np.unique(np.concatenate([shard.keys for shard in shards]), return_index=True)
    vectors = np.concatenate([shard.vectors for shard in shards])[first]
    decoder = shards[0].decoder  # what another decoder could not read is forgotten, and so tried again
    bad = {key: why for shard in shards if shard.decoder == decoder for key, why in shard.bad.items()}
    if shards[0].tokens is None:
        return Shard(keys, vectors, bad=bad, decoder=decoder)
    rows = [shard.token_rows(row) for shard in shards for row in range(len(shard.keys))]
    kept = [rows[i] for i in first]
    offsets = np.cumsum([0, *map(len, kept)], dtype=np.int64)
    return Shard(keys, vectors, np.concatenate(kept), offsets, bad, decoder)
