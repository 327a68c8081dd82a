"""Taking items out of the feature store again, which otherwise keeps everything: for faces of people who ask for it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from melink.features.shards import KEY, SUFFIX, Shard, full, read_shard, write_shard
from melink.kb.disk import read_json


def forget(root: Path, names: Collection[str], but: Collection[bytes] = ()) -> int:
    """Delete the features that certain encoders made, but for those of some items.

    Every shard that loses one is written anew without it. After a kill in between, the same call finishes the work.

    Args:
        root: The folder of the feature store.
        names: Names of the encoders.
        but: Content hashes of the items that stay.

    Returns:
        How many rows were deleted.

    Raises:
        StoreError: A shard is damaged, the disk is full, or the folder cannot be written.
    """
    return sum(_rewrite(path, but) for path in shards_of(root, names))


def shards_of(root: Path, names: Collection[str]) -> list[Path]:
    """Return the shards with what certain encoders made.

    Args:
        root: The folder of the feature store.
        names: Names of the encoders.
    """
    found: list[Path] = []
    for folder in sorted(root.glob("*-*")):
        about = read_json(folder / "encoder.json")
        if isinstance(about, dict) and about.get("name") in names:
            found += sorted(folder.glob(f"[!.]*{SUFFIX}"))
    return found


def _rewrite(path: Path, but: Collection[bytes]) -> int:
    shard = read_shard(path)
    stays = np.array([full(key) in but for key in shard.keys.tolist()], dtype=bool)
    if len(stays) == int(stays.sum()) and (len(stays) or shard.bad):
        return 0
    kept = np.flatnonzero(stays)
    if not len(kept) and not shard.bad:
        path.unlink()
        return len(stays)
    rest = Shard(shard.keys[kept].astype(KEY), shard.vectors[kept], bad=shard.bad, decoder=shard.decoder)
    if shard.tokens is not None:
        rows = [shard.token_rows(row) for row in kept.tolist()]
        tokens = np.concatenate([shard.tokens[:0], *rows])
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        rest = Shard(rest.keys, rest.vectors, tokens, offsets, shard.bad, shard.decoder)
    write_shard(path.parent, rest)
    path.unlink()
    return int((~stays).sum())
