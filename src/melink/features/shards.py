"""One immutable file of features in the safetensors layout: a JSON header, then the arrays, memory-mapped when read.

A shard is named by the hash of its content and appears by rename, so that a reader never sees half of one, and two
writers that did the same work write the same file.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float16, Int64

from melink.errors import StoreError
from melink.kb.disk import storing, sync_folder

SUFFIX: Final = ".safetensors"
KEY: Final = np.dtype("S32")
"""A SHA-256 digest. numpy drops trailing zero bytes when it compares, which cannot confuse keys of one length."""

_TYPES: Final[dict[str, np.dtype[Any]]] = {"F16": np.dtype("<f2"), "I64": np.dtype("<i8"), "U8": np.dtype("u1")}
_CODES: Final[dict[np.dtype[Any], str]] = {dtype: code for code, dtype in _TYPES.items()}
_STALE: Final = 3600.0
_serial: Final = itertools.count()


@dataclass(frozen=True, slots=True)
class Shard:
    """Features of some items, and items that could not be decoded.

    Attributes:
        keys: Content hash of each row.
        vectors: Global vectors.
        tokens: Token vectors of all rows, one after the other; None when they were not computed.
        offsets: Row ``i`` owns ``tokens[offsets[i]:offsets[i + 1]]``.
        bad: Content hash → reason code, for items that could not be decoded.
        decoder: What could not decode them; another decoder tries again.
    """

    keys: np.ndarray
    vectors: Float16[np.ndarray, "n d"]
    tokens: Float16[np.ndarray, "s dt"] | None = None
    offsets: Int64[np.ndarray, " n1"] | None = None
    bad: Mapping[bytes, str] = field(default_factory=dict)
    decoder: str = ""

    def token_rows(self, row: int) -> Float16[np.ndarray, "t dt"]:
        """Return the token vectors of one row; only for a shard that has them."""
        if self.tokens is None or self.offsets is None:
            raise ValueError("this shard holds no token vectors")
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    @property
    def nbytes(self) -> int:
        """Size of the vectors."""
        return self.vectors.nbytes + (0 if self.tokens is None else self.tokens.nbytes)


def write_shard(folder: Path, shard: Shard) -> str:
    """Write a shard and return its file name. Writing the same content twice leaves one file.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    header, arrays = _layout(shard)
    digest = hashlib.sha256(header)
    for array in arrays:
        digest.update(array)
    name = digest.hexdigest()[:40] + SUFFIX
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{os.getpid()}-{next(_serial)}-{name}.tmp"
        with temporary.open("wb") as out:
            out.write(header)
            for array in arrays:
                out.write(array)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(folder / name)
        sync_folder(folder)
    return name


def read_shard(path: Path) -> Shard:
    """Open a shard; its vectors stay on disk.

    Raises:
        FileNotFoundError: It is gone: another process has merged it into a larger one.
        StoreError: It is damaged.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("impossible header")
            header = json.loads(file.read(length))
        meta = header.pop("__metadata__")
        arrays = {name: _map(path, 8 + length, entry) for name, entry in header.items()}
        bad_keys = arrays["bad"].reshape(-1).view(KEY).tolist()
        bad = dict(zip((full(key) for key in bad_keys), json.loads(meta["reasons"]), strict=True))
        keys = np.array(arrays["keys"]).reshape(-1).view(KEY)
        offsets = np.array(arrays["offsets"]) if "offsets" in arrays else None
        return Shard(keys, arrays["vectors"], arrays.get("tokens"), offsets, bad, meta["decoder"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        remedy = "delete this file; what it held is encoded again when it is needed"
        raise StoreError(f"{path}: damaged feature shard ({error})", remedy) from error


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed writer left an hour ago or more."""
    for path in folder.glob(".*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()
        except FileNotFoundError:
            continue  # its writer has just renamed it


def full(key: bytes) -> bytes:
    """Give a key the trailing zero bytes back that numpy dropped."""
    return key.ljust(KEY.itemsize, b"\0")


def _layout(shard: Shard) -> tuple[bytes, Sequence[memoryview]]:
    """Return the header, padded so that the arrays are aligned, and the arrays as bytes."""
    bad = sorted(shard.bad)
    arrays = {
        "keys": np.ascontiguousarray(shard.keys).view(np.uint8).reshape(-1, KEY.itemsize),
        "bad": np.array(bad, dtype=KEY).view(np.uint8).reshape(-1, KEY.itemsize),
        "offsets": shard.offsets,
        "vectors": shard.vectors,
        "tokens": shard.tokens,
    }
    header: dict[str, Any] = {
        "__metadata__": {"reasons": json.dumps([shard.bad[key] for key in bad]), "decoder": shard.decoder}
    }
    end, parts = 0, []
    for name, array in arrays.items():
        if array is not None:
            flat = np.ascontiguousarray(array)
            entry = {"dtype": _CODES[flat.dtype], "shape": flat.shape, "data_offsets": [end, end + flat.nbytes]}
            header[name] = entry
            parts.append(flat.reshape(-1).view(np.uint8).data)
            end += flat.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return struct.pack("<Q", len(text)) + text, parts


def _map(path: Path, start: int, entry: Mapping[str, Any]) -> np.ndarray:
    dtype, shape = _TYPES[entry["dtype"]], tuple(entry["shape"])
    if 0 in shape:
        return np.zeros(shape, dtype)
    mapped: np.ndarray = np.memmap(path, dtype, "r", start + entry["data_offsets"][0], shape)
    return mapped
