"""``classical``: a picture as colour layout, edges, palette and texture; no learning, no weights.

The blocks of :mod:`~melink.features.descriptors`, each divided by its length and weighted:

    layout   1.0   63 numbers   where which colours are
    edges    0.7  128           in which direction edges run, by cell
    palette  1.0  144           which colours there are at all
    texture  0.3   32           how rough it is, from fine to coarse

It recognises the same picture after resizing, re-compression, a slight rotation or crop, or other light; and flags,
emblems and maps by what they look like. It cannot recognise a person, a place or an object in another photograph, and
a flag that fills less than most of a scene is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from melink.features.descriptors import CELLS, TURNS, cells, edges_block, layout, orientations, palette, texture, to_lab
from melink.features.encoder import FORMAT, Features, Modality, cores
from melink.features.pixels import opened
from melink.features.towers import normalised, nothing, scatter

VERSION: Final = 1
"""To be raised whenever a descriptor changes; a golden test notices."""

WEIGHTS: Final = {"layout": 1.0, "edges": 0.7, "palette": 1.0, "texture": 0.3}


class Classical:
    """Global vectors (367 wide, for cosine) and 16 cell vectors (15 wide) of pictures, from numpy and Pillow alone."""

    name = "classical"
    modality: Modality = "image"
    dim = 63 + CELLS * CELLS * TURNS + 144 + 32
    token_dim = 3 + 3 + TURNS + 1
    batch = 512

    def __init__(self) -> None:
        self.fingerprint = hashlib.sha256(f"classical {VERSION} {WEIGHTS} {FORMAT}".encode()).hexdigest()
        self.space = f"image:{self.fingerprint}"
        self.workers = cores()

    def sizes(self, items: Sequence[Any]) -> list[int]:
        """Return the number of cells of each picture; 0 when absent."""
        return [0 if item is None else CELLS * CELLS for item in items]

    def encode(self, items: Sequence[Image.Image | str | Path | None], tokens: bool = False) -> Features:
        """Encode a batch of pictures or their paths; None is absent.

        Raises:
            BadImage: A path that cannot be decoded.
        """
        present = np.array([item is not None for item in items], dtype=bool)
        if not present.any():
            return nothing(present, self.dim, self.token_dim if tokens else None)
        lab = to_lab([opened(item) for item in items if item is not None])
        edges = orientations(lab)
        blocks = {"layout": layout(lab), "edges": edges_block(edges), "palette": palette(lab), "texture": texture(lab)}
        joined = np.concatenate(
            [np.float32(WEIGHTS[name]) * normalised(block) for name, block in blocks.items()], axis=1
        )
        return scatter(present, normalised(joined), cells(lab, edges) if tokens else None, None)
