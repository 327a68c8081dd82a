"""The register of emblems: a figure on a transparent layer, and the backdrop it stands before."""

from __future__ import annotations

from collections.abc import Callable

from backdrops import backdrop
from pen import Pen
from PIL import Image

Draw = Callable[[Pen], None]
EMBLEMS: dict[str, tuple[str, Draw]] = {}


def emblem(name: str, behind: str) -> Callable[[Draw], Draw]:
    """Register a drawing as the emblem ``name`` before the backdrop ``behind``."""

    def keep(draw: Draw) -> Draw:
        if name in EMBLEMS:
            raise ValueError(f"two emblems are called {name}")
        EMBLEMS[name] = (behind, draw)
        return draw

    return keep


def figure(name: str) -> Image.Image:
    """Return the figure of an emblem alone, on a transparent layer."""
    pen = Pen()
    EMBLEMS[name][1](pen)
    return pen.image


def draw_emblem(name: str) -> Image.Image:
    """Return the figure of an emblem before its backdrop."""
    return Image.alpha_composite(backdrop(EMBLEMS[name][0]), figure(name))
