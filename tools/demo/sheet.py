"""Contact sheet: every picture of a folder on one page, to look at while drawing."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

TILE, ACROSS = 132, 10


def sheet(paths: list[Path]) -> Image.Image:
    """Return the pictures side by side, left to right and down."""
    page = Image.new("RGB", (TILE * ACROSS, TILE * -(-len(paths) // ACROSS)), "#888888")
    for i, path in enumerate(paths):
        tile = Image.open(path).convert("RGB")
        tile.thumbnail((TILE - 6, TILE - 6))
        page.paste(tile, (TILE * (i % ACROSS) + 3, TILE * (i // ACROSS) + 3))
    return page


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tools/demo/sheet.py FOLDER OUT.png")
    sheet(sorted(Path(sys.argv[1]).glob("*.png"))).save(sys.argv[2])
