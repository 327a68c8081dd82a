"""The entity side of a method, computed once and kept in 16 bits on disk, memory-mapped.

    FEATURES/terms/KEY/0.bin …    one array for each tensor, a row for each entity
    FEATURES/terms/KEY/about.json shapes, kinds, and how many rows are finished

KEY is a hash of the method's fingerprint, of the entities and of size and time of their pictures. An interrupted build
goes on where it stopped; the arrays are only read once all rows are there, and made anew when a file is missing or too
short. The few builds that were used last are kept. What a folder that may not be written lacks is built in a temporary
one. Rows are written, not mapped: a full disk is then an error, not a signal that kills the process.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from melink import progress
from melink.errors import Locked, StoreError
from melink.kb.disk import locked, read_json, storing, writable, write_json
from melink.kb.view import EntityView
from melink.methods.pairwise import Pairwise

FORMAT: Final = 1
"""Part of every key: raise it when terms come to mean something else."""
CHUNK: Final = 2048
"""Entities computed, and scored, at once."""
MOST: Final = 4
"""Builds kept of one knowledge base."""
_KINDS: Final[dict[torch.dtype, str]] = {torch.float16: "<f2", torch.bool: "?"}


class Kept:
    """Terms of all entities of a view, on disk.

    Args:
        method: Whose terms.
        view: Of which entities.
        folder: Where builds are kept.
        pictures: What :func:`pictures_of` says of the view, where its pictures are files.

    Raises:
        StoreError: The disk is full.
        Locked: Another process is building the same terms.
    """

    def __init__(self, method: Pairwise, view: EntityView, folder: Path, pictures: str = "") -> None:
        self.method, self.view = method, view
        key = hashlib.sha256(f"{FORMAT} {method.fingerprint()} {view.key} {pictures}".encode()).hexdigest()[:24]
        self.folder = folder / key
        self._pattern = method.terms(view.slice(0, 1))
        self._shapes = [(tuple(leaf.shape[1:]), _KINDS[leaf.dtype]) for _, leaf in leaves(self._pattern)]
        self._names = [name for name, _ in leaves(self._pattern)]
        if self._done() < len(view):
            if not writable(folder):
                self.folder = self._beside() / key
            self._build()
        self._tensors = [torch.from_numpy(self._open(place)) for place in range(len(self._shapes))]
        with suppress(OSError):  # of a read-only folder nothing is forgotten
            os.utime(self.folder)
        _forget(self.folder.parent, self.folder)

    def _beside(self) -> Path:
        """Return a folder for what a read-only one lacks; it goes away with this."""
        scratch = tempfile.TemporaryDirectory(prefix="melink-terms-", ignore_cleanup_errors=True)
        weakref.finalize(self, scratch.cleanup)
        return Path(scratch.name)

    def __len__(self) -> int:
        return len(self.view)

    @property
    def bytes_each(self) -> int:
        """Bytes on disk for each entity."""
        return sum(self._sizes)

    @property
    def _sizes(self) -> list[int]:
        """Bytes of a row of each array."""
        return [np.dtype(kind).itemsize * prod(shape) for shape, kind in self._shapes]

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield the bounds of chunks, in order."""
        for start in range(0, len(self.view), CHUNK):
            yield start, min(start + CHUNK, len(self.view))

    def chunk(self, start: int, stop: int, light: bool = False, names: bool = True) -> Any:
        """Return the entity side of some consecutive rows.

        Args:
            start: First row.
            stop: One past the last.
            light: Leave out what only the remainder needs.
            names: Read names as well.
        """
        view = self.view.slice(start, stop) if names else None
        wanted = frozenset(self._names) - (self.method.heavy if light else frozenset())
        return self.method.revived(self._read(slice(start, stop), wanted), view)

    def some(self, rows: Tensor, fields: frozenset[str] | None = None, light: bool = False) -> Any:
        """Return the entity side of single rows, without names; other fields come empty.

        Args:
            rows: Which.
            fields: What is read; what the remainder needs when None.
            light: Leave out what only the remainder needs.
        """
        wanted = (fields or self.method.remainder) - (self.method.heavy if light else frozenset())
        return self.method.revived(self._read(rows, wanted), None)

    def _read(self, rows: slice | Tensor, wanted: frozenset[str]) -> Any:
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        found = []
        for name, whole in zip(self._names, self._tensors, strict=True):
            if name not in wanted:
                found.append(whole.new_zeros(count, 0, *whole.shape[2:]))
            elif isinstance(rows, slice):
                found.append(whole[rows])
            else:
                found.append(whole.index_select(0, rows.cpu()))
        return rebuilt(self._pattern, iter(found))

    def _path(self, place: int) -> Path:
        return self.folder / f"{place}.bin"

    def _open(self, place: int) -> np.ndarray:
        shape, kind = self._shapes[place]
        if not prod(shape):  # an empty file cannot be mapped
            return np.zeros((len(self.view), *shape), dtype=kind)
        found: np.ndarray = np.memmap(self._path(place), dtype=kind, mode="c", shape=(len(self.view), *shape))
        return found

    def _about(self, done: int) -> dict[str, Any]:
        return {"shapes": [[list(shape), kind] for shape, kind in self._shapes], "rows": len(self.view), "done": done}

    def _done(self) -> int:
        """Return how many rows are finished: none when anything about them is not as it should be."""
        about = read_json(self.folder / "about.json")
        done = about.get("done") if isinstance(about, dict) else None
        if not isinstance(done, int) or not 0 <= done <= len(self.view) or about != self._about(done):
            return 0
        paths = [self._path(place) for place in range(len(self._shapes))]
        whole = all(p.is_file() and p.stat().st_size >= done * size for p, size in zip(paths, self._sizes, strict=True))
        return done if whole else 0

    def _build(self) -> None:
        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with _alone(self.folder):
            done = self._done()
            if not done:
                (self.folder / "about.json").unlink(missing_ok=True)
                for place in range(len(self._shapes)):
                    with storing(self.folder):
                        self._path(place).write_bytes(b"")
            with progress.task("preparing entities", len(self.view), "entities") as advance:
                advance(done)
                for start in range(done, len(self.view), CHUNK):
                    stop = min(start + CHUNK, len(self.view))
                    for place, (_, leaf) in enumerate(leaves(self.method.terms(self.view.slice(start, stop)))):
                        self._write(place, start, leaf)
                    write_json(self.folder / "about.json", self._about(stop))
                    advance(stop - start)

    def _write(self, place: int, start: int, leaf: Tensor) -> None:
        with storing(self._path(place)), self._path(place).open("r+b") as file:
            file.seek(start * self._sizes[place])
            file.write(np.ascontiguousarray(leaf.cpu().numpy(), dtype=self._shapes[place][1]).data)
            file.flush()
            os.fsync(file.fileno())


def pictures_of(view: EntityView) -> str:
    """Hash size and time of change of every picture: an entity's terms change with the file, under the same name."""
    digest = hashlib.sha256()
    for path in (Path(path) for paths in view.column("images") for path in paths or ()):
        found = path.stat() if path.exists() else None
        digest.update(f"{found.st_size} {found.st_mtime_ns};".encode() if found else b"-;")
    return digest.hexdigest()


def leaves(terms: Any, name: str = "") -> list[tuple[str, Tensor]]:
    """Return the tensors of nested named tuples, with the outermost field they are under."""
    if isinstance(terms, Tensor):
        return [(name, terms)]
    return [leaf for field, value in zip(terms._fields, terms, strict=True) for leaf in leaves(value, name or field)]


def rebuilt(pattern: Any, found: Iterator[Tensor]) -> Any:
    """Return named tuples nested like ``pattern`` from tensors in the order of :func:`leaves`."""
    return next(found) if isinstance(pattern, Tensor) else type(pattern)(*(rebuilt(value, found) for value in pattern))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / ".lock"))
        except Locked as error:
            raise Locked(
                f"{folder}: another process is preparing the same entities", "wait until it has finished"
            ) from error
        yield


def _forget(folder: Path, own: Path) -> None:
    """Remove the builds that were not used for longest; ``own`` and those that another process builds stay."""
    others = sorted((path for path in folder.iterdir() if path.is_dir() and path != own), key=_used, reverse=True)
    for path in others[MOST - 1 :]:
        with suppress(Locked, StoreError, FileNotFoundError), locked(path / ".lock"):  # or it is gone already
            shutil.rmtree(path, ignore_errors=True)


def _used(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
