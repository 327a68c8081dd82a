"""Blocks of the ``classical`` descriptor: what classical computer vision reads off a small CIELAB picture.

Each block is centred on a fixed neutral value, so that pictures which have nothing in common give a cosine near zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32
from PIL.Image import Image, Resampling

SIDE: Final = 64
CELLS: Final = 4
TURNS: Final = 8

_LOW: Final = 6
_BINS: Final = (4, 6, 6)
_NEUTRAL_CONTRAST: Final = (0.6, 1.2, 2.1, 3.0, 0.9, 1.6, 2.6, 3.3, 1.2, 2.1, 2.9, 3.4, 1.6, 2.4, 3.0, 3.4)
"""Typical log contrast, four quantiles at each of four scales: rounded means over photographs, portraits and flags."""
_QUANTILES: Final = (0.5, 0.75, 0.9, 0.97)

_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])

Lab = Float32[np.ndarray, "n 64 64 3"]
Edges = Float32[np.ndarray, "n 4 4 8"]
Block = Float32[np.ndarray, "n d"]


def to_lab(pictures: Sequence[Image]) -> Lab:
    """Squash RGB pictures to 64 x 64 and convert them to CIELAB (CIE 15; sRGB, white point D65)."""
    small = [np.asarray(p.resize((SIDE, SIDE), Resampling.BILINEAR, reducing_gap=2.0)) for p in pictures]
    rgb = np.array(small, dtype=np.float32).reshape(-1, SIDE, SIDE, 3) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T.astype(np.float32)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    lab: np.ndarray = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)
    return lab


def layout(lab: Lab) -> Block:
    """Return the 21 lowest cosine-transform coefficients of each channel, multiplied by their frequency.

    As the MPEG-7 colour layout descriptor (ISO/IEC 15938-3), with the 1/f fall-off of natural pictures taken out. The
    mean colour counts half, lightness half.
    """
    place, order = np.arange(SIDE), np.arange(_LOW)[:, None]
    basis = np.cos(np.pi * (2 * place + 1) * order / (2 * SIDE)) * np.sqrt(2 / SIDE)
    basis[0] /= np.sqrt(2)
    basis = basis.astype(np.float32)
    u, v = np.mgrid[:_LOW, :_LOW]
    gain = np.where(u + v == 0, 0.5, np.hypot(u, v))[..., None] * np.array([0.5, 1, 1]) / SIDE
    centred = (lab - np.array([50, 0, 0], dtype=np.float32)).transpose(0, 3, 1, 2)
    wave: np.ndarray = (basis @ centred @ basis.T).transpose(0, 2, 3, 1) * gain.astype(np.float32)
    return wave[:, u + v < _LOW].reshape(len(lab), -1)


def orientations(lab: Lab) -> Edges:
    """Return gradient energy by direction in 4 x 4 cells, relative to the energy of the cell.

    Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) without overlapping blocks. Flat cells stay near
    zero instead of amplifying noise.
    """
    light = lab[..., 0]
    right, down = np.zeros_like(light), np.zeros_like(light)
    right[:, :, 1:-1] = light[:, :, 2:] - light[:, :, :-2]
    down[:, 1:-1] = light[:, 2:] - light[:, :-2]
    energy = np.hypot(right, down)
    angle = np.arctan2(down, right) % np.pi / np.pi * TURNS
    lower = np.floor(angle).astype(np.int64)
    share = (angle - lower).astype(np.float32)
    cell = SIDE // CELLS
    out: np.ndarray = np.empty((len(lab), CELLS, CELLS, TURNS), dtype=np.float32)
    for turn in range(TURNS):
        weight = np.where(lower % TURNS == turn, 1 - share, 0) + np.where((lower + 1) % TURNS == turn, share, 0)
        out[..., turn] = (energy * weight).reshape(-1, CELLS, cell, CELLS, cell).sum((2, 4))
    out /= out.sum(-1, keepdims=True) + np.float32(60 * cell * cell / SIDE)
    return out


def edges_block(edges: Edges) -> Block:
    """Return the square roots of the orientations minus their mean in each cell: no direction at all is zero."""
    root = np.sqrt(edges)
    centred: np.ndarray = root - root.mean(-1, keepdims=True)
    return centred.reshape(len(edges), -1)


def palette(lab: Lab) -> Block:
    """Return the root of a soft histogram over L, a, b, minus nine tenths of that of a grey picture."""
    lightness = (lab[..., 0] / 25 - 0.5).clip(0, _BINS[0] - 1.001)
    colour = (lab[..., 1:] / 20 + 2.5).clip(0, _BINS[1] - 1.001)
    soft = np.stack([lightness, colour[..., 0], colour[..., 1]], axis=-1)
    lower = np.floor(soft).astype(np.int64)
    share = soft - lower
    row = np.arange(len(lab))[:, None, None]
    counts = np.zeros(len(lab) * int(np.prod(_BINS)))
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, share, 1 - share).prod(-1)
        at = lower + corner
        flat = ((row * _BINS[0] + at[..., 0]) * _BINS[1] + at[..., 1]) * _BINS[2] + at[..., 2]
        counts += np.bincount(flat.ravel(), weight.ravel(), len(counts))
    root: np.ndarray = np.sqrt(counts.reshape(len(lab), int(np.prod(_BINS))) / SIDE**2)
    return (root - 0.9 * _grey()).astype(np.float32)


def texture(lab: Lab) -> Block:
    """Return quantiles of the log contrast across and down at four scales, minus typical ones."""
    out, light = [], lab[..., 0]
    for _ in range(4):
        for axis in (2, 1):
            step = np.abs(np.diff(light, axis=axis)).reshape(len(lab), -1)
            out.append(np.log1p(np.quantile(step, _QUANTILES, axis=1).T))
        half = light.shape[1] // 2
        light = light.reshape(-1, half, 2, half, 2).mean((2, 4))
    typical = np.repeat(np.array(_NEUTRAL_CONTRAST).reshape(4, 1, 4), 2, axis=1).reshape(-1)
    centred: np.ndarray = np.concatenate(out, axis=1) - typical
    return centred.astype(np.float32)


def cells(lab: Lab, edges: Edges) -> Float32[np.ndarray, "n 16 15"]:
    """Return for each of 4 x 4 cells: mean and spread of L, a, b, orientations, and how much edge there is."""
    cell = SIDE // CELLS
    tiles = lab.reshape(-1, CELLS, cell, CELLS, cell, 3)
    mean = (tiles.mean((2, 4)) - np.array([50, 0, 0], dtype=np.float32)) / 50
    spread = tiles.std((2, 4)) / 25
    root = np.sqrt(edges)
    parts = [mean, spread, root - root.mean(-1, keepdims=True), edges.sum(-1, keepdims=True)]
    joined: np.ndarray = np.concatenate(parts, axis=-1)
    return joined.reshape(len(lab), CELLS * CELLS, -1).astype(np.float32)


def _grey() -> np.ndarray:
    """Return the root histogram of a picture whose colours scatter around grey (15 units), a twentieth anywhere."""
    a = (np.arange(_BINS[1]) - 2.5) * 20
    near = np.exp(-(a[:, None] ** 2 + a**2) / (2 * 15**2))
    share: np.ndarray = 0.95 * near / near.sum() + 0.05 / near.size
    return np.sqrt(np.broadcast_to(share / _BINS[0], _BINS)).ravel()
