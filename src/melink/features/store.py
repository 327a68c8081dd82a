"""The feature store: content-addressed, memory-mapped, resumable.

    ROOT/files.sqlite                  hashes of picture files, a cache
    ROOT/image-8f3a…/encoder.json      which encoder these features come from
    ROOT/image-8f3a…/HASH.safetensors  immutable shards (see shards.py)

An item is known by its content, so moving a picture or changing an entity's id encodes nothing, and changing one word
of a text encodes that text. Any number of processes may write: they can only do the same work twice.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from jaxtyping import Bool, Float, Float32, Int64

from melink import progress
from melink.errors import BadImage, Problems, StoreError
from melink.features.encoder import Encoder
from melink.features.images import DEFAULT, Limits
from melink.features.index import Index, by_shard, compact, open_index
from melink.features.keys import FileKeys, Keys, text_keys
from melink.features.shards import full, sweep, write_shard
from melink.features.work import Batch, Piece, plan, run, to_shard
from melink.kb.disk import read_json, writable, write_json

_describing = threading.Lock()

Rows = slice | Sequence[int] | np.ndarray | None
Item = str | os.PathLike[str] | None


class FeatureTable:
    """Features of a list of items, in its order; vectors stay on disk until they are asked for.

    Attributes:
        present: Which items have features.
        encoded: How many items were newly encoded for this table.
        missing: Why the others have none, by reason code: ``none`` (no item given), ``empty``, or that of a
            :class:`~melink.errors.BadImage`.
        dim: Width of the global vectors.
        token_dim: Width of the token vectors.
    """

    def __init__(
        self,
        index: Index,
        keys: np.ndarray,
        encoder: Encoder,
        tokens: bool,
        encoded: int = 0,
        missing: Counter[str] | None = None,
    ) -> None:
        self._index, self._tokens = index, tokens
        self._shard, self._row = index.find(keys, tokens)
        if tokens:
            self._start, self._length = index.spans(self._shard, self._row)
        self.present: Bool[np.ndarray, " n"] = self._shard >= 0
        self.dim, self.token_dim = encoder.dim, encoder.token_dim
        self.encoded = encoded
        self.missing: Counter[str] = missing if missing is not None else Counter()

    def __len__(self) -> int:
        return len(self.present)

    def vectors(self, rows: Rows = None) -> Float32[np.ndarray, "r d"]:
        """Return global vectors; zeros where absent (see ``present``).

        Args:
            rows: A slice or row numbers; all of them when None.
        """
        chosen = self._at(rows)
        shards, own = self._shard[chosen], self._row[chosen]
        out = np.zeros((len(shards), self.dim), dtype=np.float32)
        for shard, places in by_shard(shards, np.argsort(shards, kind="stable")):
            out[places] = self._index.shards[shard].vectors[own[places]]
        return out

    def tokens(
        self, rows: Rows = None, most: int | None = None, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Float[np.ndarray, "r t dt"], Bool[np.ndarray, "r t"]]:
        """Return token vectors, padded with zeros to the longest of these rows, and which of them are real.

        Args:
            rows: A slice or row numbers; all of them when None.
            most: Only the first so many of each row.
            dtype: ``float16`` is how they are kept, and several times faster than to convert them.

        Raises:
            StoreError: The table was made without token vectors.
        """
        length = self.lengths(rows)
        chosen = self._at(rows)
        if most is not None:
            length = np.minimum(length, most)
        out, mask = self._index.tokens(self._shard[chosen], self._start[chosen], length, self.token_dim)
        return out.astype(dtype, copy=False), mask

    def lengths(self, rows: Rows = None) -> Int64[np.ndarray, " r"]:
        """Return how many token vectors each row has; 0 where absent.

        Args:
            rows: A slice or row numbers; all of them when None.

        Raises:
            StoreError: The table was made without token vectors.
        """
        if not self._tokens:
            raise StoreError("this table has no token vectors", "make it with encode(..., tokens=True)")
        chosen: np.ndarray = self._length[self._at(rows)]
        return chosen

    def _at(self, rows: Rows) -> slice | np.ndarray:
        return slice(None) if rows is None else rows if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)


class FeatureStore:
    """Features of any number of encoders under one folder.

    Args:
        root: The folder; made when something is written.
        limits: What one picture may cost.
    """

    def __init__(self, root: str | Path, limits: Limits = DEFAULT) -> None:
        self.root = Path(root)
        self._limits = limits
        self._files = FileKeys(self.root / "files.sqlite", limits)
        self._decoder = f"Pillow {PIL.__version__} {limits}"
        self._indexes: dict[str, Index] = {}
        self._scratch: FeatureStore | None = None

    def encode(
        self, encoder: Encoder, items: Sequence[Item], tokens: bool = False, problems: Problems | None = None
    ) -> FeatureTable:
        """Return the features of some items, encoding those that are missing.

        Every finished shard is kept: after a kill, the same call goes on from there and ends with the same content.
        Under a folder that cannot be written, what is missing is kept elsewhere until the process ends.

        Args:
            encoder: Text or image encoder.
            items: Texts, or paths of pictures; None (and blank text) is absent.
            tokens: Also make token or patch vectors.
            problems: Receives each picture that could not be used, once, with its reason.

        Raises:
            StoreError: The disk is full, the folder cannot be written, or a shard is damaged.
        """
        keys = self._keys(encoder, items)
        folder = self._folder(encoder)
        index = self._open(folder)
        lacking, known_bad = self._lacking(index, keys, items, tokens)
        if lacking and not writable(self.root):
            return self._beside().encode(encoder, items, tokens, problems)
        failed = {key: BadImage(reason, str(items[place])) for place, key, reason in known_bad}
        encoded = 0
        if lacking:
            errors = self._work(encoder, folder, lacking, tokens)
            failed |= errors
            encoded = len(lacking) - len(errors)
            index = self._indexes[folder.name] = compact(folder, self._open(folder))
        missing = Counter(keys.absent.values())
        missing.update(failed[key].reason for key in map(full, keys.keys.tolist()) if key in failed)
        for error in (*keys.errors.values(), *failed.values()):
            if problems is not None:
                problems.add(
                    error.source, None, error.message.removeprefix(f"{error.source}: "), kind=f"image {error.reason}"
                )
        return FeatureTable(index, keys.keys, encoder, tokens, encoded, missing)

    def lacking(self, encoder: Encoder, items: Sequence[Item], tokens: bool = False) -> int:
        """Return how many different items :meth:`encode` would have to encode."""
        lacking, _ = self._lacking(self._open(self._folder(encoder)), self._keys(encoder, items), items, tokens)
        return len(lacking)

    def _beside(self) -> FeatureStore:
        """Return a store for what a read-only one lacks, such as mentions; it goes away with this one."""
        if self._scratch is None:
            folder = tempfile.TemporaryDirectory(prefix="melink-features-")
            self._scratch = FeatureStore(folder.name, self._limits)
            weakref.finalize(self, folder.cleanup)
        return self._scratch

    def content_hash(self) -> str:
        """Return a hash of all features, whatever the order and the shards in which they were written."""
        digest = hashlib.sha256()
        for folder in sorted(path for path in self.root.glob("*-*") if path.is_dir()):
            digest.update(folder.name.encode())
            self._open(folder).update(digest)
        return digest.hexdigest()

    def _keys(self, encoder: Encoder, items: Sequence[Item]) -> Keys:
        return text_keys(list(map(_text, items))) if encoder.modality == "text" else self._files.of(items)

    def _folder(self, encoder: Encoder) -> Path:
        return self.root / f"{encoder.modality}-{encoder.fingerprint[:24]}"

    def _open(self, folder: Path) -> Index:
        index = self._indexes[folder.name] = open_index(folder, self._indexes.get(folder.name))
        return index

    def _lacking(
        self, index: Index, keys: Keys, items: Sequence[Item], tokens: bool
    ) -> tuple[dict[bytes, Item], list[tuple[int, bytes, str]]]:
        """Return the items to encode by key, and the places, keys and reasons of those known to be undecodable."""
        shards, _ = index.find(keys.keys, tokens)
        bad = index.bad(self._decoder)
        lacking: dict[bytes, Item] = {}
        known: dict[bytes, tuple[int, bytes, str]] = {}
        for place in np.flatnonzero(shards < 0).tolist():
            key = full(keys.keys[place])
            if place in keys.absent:
                continue
            if key in bad:
                known.setdefault(key, (place, key, bad[key]))
            else:
                lacking.setdefault(key, items[place])
        return lacking, list(known.values())

    def _work(self, encoder: Encoder, folder: Path, lacking: dict[bytes, Item], tokens: bool) -> dict[bytes, BadImage]:
        self._describe(encoder, folder)
        sizes = encoder.sizes(list(lacking.values()))
        pieces = [Piece(key, size, item) for (key, item), size in zip(lacking.items(), sizes, strict=True)]
        weight = (lambda piece: piece.size) if encoder.modality == "text" else (lambda piece: 1)
        unit = "tokens" if encoder.modality == "text" else "images"
        errors: dict[bytes, BadImage] = {}
        parts: list[Batch] = []
        what = f"encoding {len(pieces):,} {encoder.modality}s with {encoder.name}"
        with progress.task(what, sum(map(weight, pieces)), unit) as advance:
            for last, batch in run(encoder, plan(pieces), tokens, self._limits):
                parts.append(batch)
                errors |= batch.errors
                if last:
                    write_shard(folder, to_shard(parts, tokens, self._decoder if encoder.modality == "image" else ""))
                    parts = []
                advance(sum(map(weight, batch.pieces)))
        return errors

    def _describe(self, encoder: Encoder, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made ({error.strerror})", "choose a folder you may write") from error
        sweep(folder)
        about: dict[str, Any] = {
            name: getattr(encoder, name) for name in ("name", "modality", "dim", "token_dim", "space", "fingerprint")
        }
        with _describing:
            if read_json(folder / "encoder.json") != about:
                write_json(folder / "encoder.json", about)


def _text(item: Item) -> str | None:
    return None if item is None else str(item)
