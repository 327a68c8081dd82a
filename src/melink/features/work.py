"""Encoding what is missing: the same plan after every restart, several batches at once, results in order."""

from __future__ import annotations

import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
from PIL import Image

from melink.errors import BadImage
from melink.features.encoder import Encoder, Features
from melink.features.images import Limits, decode, read
from melink.features.shards import KEY, Shard

BLOCK: Final = 32_768
"""Sum of sizes (tokens, patches) that one shard gets, which is also the most work that a kill can lose."""
_LASTING: Final = frozenset({"corrupt", "format", "too_many_pixels"})
"""Reasons that depend on the content alone; the others depend on the moment and are never recorded."""
_LARGEST: Final = float(np.finfo(np.float16).max)

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Piece:
    """One unique item to encode."""

    key: bytes
    size: int
    item: Any


@dataclass
class Batch:
    """What came of one batch: features of its pieces, and those that could not be decoded."""

    pieces: Sequence[Piece]
    features: Features
    errors: dict[bytes, BadImage] = field(default_factory=dict)


def plan(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Cut the pieces, sorted by size and key, into blocks of one shard each.

    Blocks are finished in order, so that what is left after a kill is planned into the same blocks again.
    """
    blocks: list[list[Piece]] = []
    room = 0
    for piece in sorted(pieces, key=lambda piece: (piece.size, piece.key)):
        if not blocks or piece.size > room:
            blocks.append([])
            room = BLOCK
        blocks[-1].append(piece)
        room -= max(piece.size, 1)
    return blocks


def batches(block: Sequence[Piece], budget: int) -> Iterator[list[Piece]]:
    """Cut a block into batches whose size, with padding to the longest, stays within a budget."""
    batch: list[Piece] = []
    for piece in block:
        if batch and piece.size * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def run(
    encoder: Encoder, blocks: Sequence[Sequence[Piece]], tokens: bool, limits: Limits
) -> Iterator[tuple[bool, Batch]]:
    """Encode blocks batch by batch, in order.

    Yields:
        Whether the batch is the last of its block, and what came of it.
    """
    jobs = [list(batches(block, encoder.batch)) for block in blocks]
    last = (n == len(own) - 1 for own in jobs for n in range(len(own)))

    def work(batch: list[Piece]) -> Batch:
        items, errors = _opened(encoder, batch, limits)
        return Batch(batch, encoder.encode(items, tokens), errors)

    done = _ordered(work, [batch for own in jobs for batch in own], encoder.workers)
    yield from zip(last, done, strict=True)


def to_shard(parts: Sequence[Batch], tokens: bool, decoder: str) -> Shard:
    """Put the batches of a block into one shard, in 16 bits."""
    bad = {key: error.reason for part in parts for key, error in part.errors.items() if error.reason in _LASTING}
    keys = [piece.key for part in parts for piece, ok in zip(part.pieces, part.features.present, strict=True) if ok]
    vectors = np.concatenate([half(part.features.vectors[part.features.present]) for part in parts])
    if not tokens:
        return Shard(np.array(keys, KEY), vectors, bad=bad, decoder=decoder)
    rows, lengths = [], [0]
    for part in parts:
        if part.features.tokens is None or part.features.mask is None:
            raise ValueError("the encoder gave no token vectors")
        mask = part.features.mask
        rows.append(half(part.features.tokens[mask]))
        lengths += mask.sum(1)[part.features.present].tolist()
    offsets = np.cumsum(lengths, dtype=np.int64)
    return Shard(np.array(keys, KEY), vectors, np.concatenate(rows), offsets, bad, decoder)


def half(values: np.ndarray) -> np.ndarray:
    """Round to 16 bits; what would overflow becomes the largest number."""
    rounded: np.ndarray = values.clip(-_LARGEST, _LARGEST).astype("<f2")
    return rounded


def _opened(encoder: Encoder, batch: Sequence[Piece], limits: Limits) -> tuple[list[Any], dict[bytes, BadImage]]:
    if encoder.modality == "text":
        return [piece.item for piece in batch], {}
    items: list[Image.Image | None] = []
    errors: dict[bytes, BadImage] = {}
    for piece in batch:
        try:
            data = read(piece.item, limits)
            if hashlib.sha256(data).digest() != piece.key:
                raise BadImage("missing", str(piece.item), "changed while it was being read")
            items.append(decode(data, str(piece.item), limits))
        except BadImage as error:
            errors[piece.key] = error
            items.append(None)
    return items, errors


def _ordered(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Yield ``work(job)`` in order, with a few jobs under way ahead of the reader."""
    if workers < 2:
        yield from map(work, jobs)
        return
    with _workers(workers) as pool:
        ahead: deque[Future[Result]] = deque()
        for job in jobs:
            ahead.append(pool.submit(work, job))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


@contextmanager
def _workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool whose threads compute on one core each.

    One core per batch is as fast as all cores on each batch, does not stall when the machine is busy with other work,
    and makes the result of a batch independent of how many cores there are.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 0
    pool = ThreadPoolExecutor(count, initializer=_one_thread)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if torch is not None:
            torch.set_num_threads(threads)  # it would else be 1 in threads that start later


def _one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
