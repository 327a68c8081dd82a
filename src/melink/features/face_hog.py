"""``hog``: a face as histograms of oriented gradients of the aligned crop; no learning, no weights.

Dalal and Triggs, CVPR 2005, on 64 x 80 grey pixels: 8 x 8 cells, 9 unsigned directions, each cell divided by the energy
of the four blocks of 2 x 2 cells around it, and the root of the result. 720 numbers.

It is what it is: the same photograph again is recognised after re-compression, another size, a crop or other light.
Another photograph of the same person mostly is not: of 14 people whose second photograph was looked for among 756, it
found a few (docs/faces.md has the figures beside those of a face model).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32
from PIL import Image

from melink.features.align import Template
from melink.features.encoder import cores

_CELL, _TURNS = 8, 9
_FLAT: Final = 0.5 * _CELL**2
"""Gradient of a cell that counts as flat, so that noise in smooth skin is not amplified."""


class HogFace:
    """The classical descriptor of aligned faces."""

    template = Template(64, 80, 0.4, 0.46)
    dim = 720
    fingerprint = "face hog 1"

    def __init__(self) -> None:
        self.workers = cores()

    def __call__(self, faces: Sequence[Image.Image]) -> Float32[np.ndarray, "c 720"]:
        """Return the vector of each aligned face, not normalised."""
        return np.stack([_hog(np.asarray(face.convert("L"), np.float32)) for face in faces])


def _hog(grey: Float32[np.ndarray, "80 64"]) -> Float32[np.ndarray, " 720"]:
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, 1:-1], down[1:-1] = grey[:, 2:] - grey[:, :-2], grey[2:] - grey[:-2]
    energy, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi / np.pi * _TURNS
    lower = np.floor(angle).astype(np.int64)
    share = angle - lower
    rows, columns = grey.shape[0] // _CELL, grey.shape[1] // _CELL
    cells = np.zeros((rows, columns, _TURNS), np.float32)
    for turn in range(_TURNS):
        weight = np.where(lower % _TURNS == turn, 1 - share, 0) + np.where((lower + 1) % _TURNS == turn, share, 0)
        cells[..., turn] = (energy * weight).reshape(rows, _CELL, columns, _CELL).sum((1, 3))
    squares = (cells**2).sum(-1)
    blocks = squares[:-1, :-1] + squares[1:, :-1] + squares[:-1, 1:] + squares[1:, 1:]
    around = np.pad(np.sqrt(blocks) + np.float32(_FLAT), 1, mode="edge")
    scaled = [np.minimum(cells / around[y : y + rows, x : x + columns, None], 0.3) for y in (0, 1) for x in (0, 1)]
    descriptor: np.ndarray = np.sqrt(np.mean(scaled, axis=0)).reshape(-1).astype(np.float32)
    return descriptor
