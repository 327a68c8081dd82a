"""Backdrops: what is behind a figure. ``#rrggbb`` gives a plain studio wall of that colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pen import Pen, mix
from PIL import Image


def _sky(pen: Pen) -> None:
    pen.fade("#5aa9e6", "#d6ecfa")


def _clouds(pen: Pen) -> None:
    _sky(pen)
    for x, y, s in ((22, 24, 1.0), (74, 16, 0.8), (60, 44, 0.6)):
        for dx, dy, r in ((-8, 2, 6), (0, -2, 8), (9, 2, 6)):
            pen.oval(x + dx * s, y + dy * s, r * 1.3 * s, r * 0.8 * s, "#f6fbff")


def _dusk(pen: Pen) -> None:
    pen.fade("#2b2d6e", "#f2945c", 0, 78)
    pen.fade("#3b2a4a", "#241a30", 78)


def _meadow(pen: Pen) -> None:
    pen.fade("#8cc9f0", "#e4f3e0", 0, 62)
    pen.fade("#8bbf4d", "#4d8a2f", 60)


def _jungle(pen: Pen) -> None:
    pen.fade("#1c4a2a", "#0e2a18")
    for i in range(9):
        x = 4 + i * 12
        pen.oval(x, 10 + (i * 29) % 26, 6, 15, mix("#2f7a3a", "#1d5a2c", i / 9), 25 - (i * 37) % 50)
    pen.fade("#2c5c22", "#1a3d14", 84, bands=8)


def _desert(pen: Pen) -> None:
    pen.fade("#f7c873", "#fbe6c0", 0, 62)
    pen.fade("#d9944a", "#a8622c", 60)


def _sea(pen: Pen) -> None:
    pen.fade("#9fd3ee", "#e2f4f7", 0, 46)
    pen.fade("#2f86b5", "#0e4b78", 45)


def _ice(pen: Pen) -> None:
    pen.fade("#a8c8dc", "#e5eff4", 0, 50)
    pen.fade("#4d87a8", "#356b8c", 50, 68)
    pen.fade("#f4f9fb", "#cfe0ea", 66)


def _deep(pen: Pen) -> None:
    pen.fade("#3f9fb8", "#0b3f5c")
    for x, y, r in ((18, 30, 2), (24, 20, 1.4), (80, 26, 1.8), (86, 40, 1.2), (12, 62, 1.3)):
        pen.disc(x, y, r, "#8fd0dc")


def _space(pen: Pen) -> None:
    pen.fade("#0a0f24", "#05070f")
    rng = np.random.default_rng(7)
    for x, y, r in zip(rng.uniform(0, 100, 60), rng.uniform(0, 100, 60), rng.uniform(0.15, 0.5, 60), strict=True):
        pen.disc(x, y, r, "#c9d2ea")


def _night(pen: Pen) -> None:
    pen.fade("#0d1638", "#35406e", 0, 100)
    pen.disc(78, 20, 9, "#f3ecc8")
    pen.disc(82, 17, 8, "#141d44")


def _table(pen: Pen) -> None:
    pen.fade("#efe3cf", "#e2cfb0", 0, 64)
    pen.fade("#a8703c", "#7c4c24", 63)


def _desk(pen: Pen) -> None:
    pen.fade("#e9eef2", "#cfd8df")
    pen.fade("#b8c3cc", "#98a6b2", 74)


def _stage(pen: Pen) -> None:
    pen.fade("#2a0f45", "#5b1e63")
    pen.poly([(20, 0), (34, 0), (70, 100), (30, 100)], "#6f3180")
    pen.poly([(70, 0), (82, 0), (66, 100), (24, 100)], "#7d3a86")
    pen.fade("#1d0b30", "#12061f", 88, bands=4)


def _stadium(pen: Pen) -> None:
    pen.fade("#41506b", "#5e6d88", 0, 50)
    for i in range(120):
        shade = ("#c9554a", "#d9d4c8", "#4a6fa5", "#e0b94d")[i * 7 % 4]
        pen.disc(2 + (i * 17) % 98, 12 + (i * 31) % 36, 0.9, shade)
    pen.fade("#4fa04a", "#37803a", 48)


def _paper(pen: Pen) -> None:
    pen.fade("#f6efdc", "#eadfc2")


def _road(pen: Pen) -> None:
    pen.fade("#8fc5e8", "#e8f2f4", 0, 56)
    pen.fade("#7fa65a", "#6b9150", 54, 66)
    pen.fade("#5c6068", "#43464d", 64)
    for x in (4, 38, 72):
        pen.rect(x, 88, x + 20, 90, "#e9e4d0")


SCENES: dict[str, Callable[[Pen], None]] = {
    "sky": _sky, "clouds": _clouds, "dusk": _dusk, "meadow": _meadow, "jungle": _jungle, "desert": _desert,
    "sea": _sea, "ice": _ice, "deep": _deep, "space": _space, "night": _night, "table": _table, "desk": _desk,
    "stage": _stage, "stadium": _stadium, "paper": _paper, "road": _road,
}  # fmt: skip


def backdrop(name: str) -> Image.Image:
    """Return the backdrop ``name``, or a plain wall when the name is a colour."""
    pen = Pen("#ffffff")
    if name.startswith("#"):
        pen.fade(mix(name, "#ffffff", 0.25), mix(name, "#000000", 0.15))
    else:
        SCENES[name](pen)
    return pen.image
