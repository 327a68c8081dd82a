"""Landscapes: rivers, lakes, islands, mountains, forests."""

from __future__ import annotations

from emblems import emblem
from pen import Colour, Pen, mix, smooth


def river(pen: Pen, land: Colour, water: Colour, path: list[tuple[float, float]]) -> None:
    """Draw a river from far to near over land that fills the lower part."""
    pen.fade(mix(land, "#ffffff", 0.2), mix(land, "#000000", 0.2), 42)
    bed = smooth(path, steps=40, closed=False)
    for share, shade in ((1.0, water), (0.35, mix(water, "#ffffff", 0.25))):
        for i, (x, y) in enumerate(bed):
            pen.oval(x, y, (2 + 11 * i / len(bed)) * share, (1.2 + 5 * i / len(bed)) * share, shade)


def palm(pen: Pen, x: float, y: float, size: float) -> None:
    """Draw a palm tree whose foot is at ``x``, ``y``."""
    pen.line(
        [(x, y), (x + size * 0.06, y - size * 0.5), (x + size * 0.16, y - size)], size * 0.07, "#7a5a34", curved=True
    )
    top = (x + size * 0.16, y - size)
    for dx, dy in ((-0.5, 0.1), (-0.34, -0.2), (0.0, -0.34), (0.34, -0.2), (0.5, 0.1), (-0.24, 0.34), (0.26, 0.34)):
        end = (top[0] + dx * size, top[1] + dy * size)
        pen.line(
            [top, ((top[0] + end[0]) / 2, (top[1] + end[1]) / 2 - size * 0.1), end], size * 0.08, "#3f8a35", curved=True
        )


def round_tree(pen: Pen, x: float, y: float, size: float, leaf: Colour = "#3f7f35") -> None:
    """Draw a round-crowned tree."""
    pen.rect(x - size * 0.06, y - size * 0.5, x + size * 0.06, y, "#6b4a2e")
    pen.oval(x, y - size * 0.7, size * 0.36, size * 0.4, leaf)
    pen.oval(x - size * 0.08, y - size * 0.78, size * 0.2, size * 0.2, mix(leaf, "#ffffff", 0.18))


def peak(pen: Pen, x: float, y: float, half: float, high: float, rock: Colour, snow: bool = True) -> None:
    """Draw a mountain with a lit side and perhaps a white top."""
    pen.poly([(x - half, y), (x, y - high), (x + half, y)], rock)
    pen.poly([(x, y - high), (x + half, y), (x + half * 0.1, y)], mix(rock, "#000000", 0.2))
    if snow:
        k = 0.32
        zig = [
            (x - half * k, y - high * (1 - k)),
            (x - half * 0.1, y - high * 0.76),
            (x + half * 0.08, y - high * 0.64),
        ]
        pen.poly([(x, y - high), *zig, (x + half * k, y - high * (1 - k))], "#f4f8fb")


@emblem("congo-river", "sky")
def _congo_river(pen: Pen) -> None:
    river(pen, "#2f6b35", "#8a6a45", [(62, 42), (40, 50), (64, 62), (36, 78), (60, 104)])
    for x, y, s in ((12, 60, 24), (84, 58, 22), (90, 84, 30), (8, 92, 34)):
        round_tree(pen, x, y, s, "#245a2c")
    pen.blob([(40, 76), (58, 76), (54, 80), (44, 80)], "#4a2d1c")


@emblem("niger-river", "desert")
def _niger_river(pen: Pen) -> None:
    river(pen, "#d9a85a", "#3f8fb5", [(30, 44), (56, 50), (34, 64), (66, 78), (50, 104)])
    for x, y in ((12, 68), (84, 62), (90, 90)):
        palm(pen, x, y, 22)


@emblem("amazon-river", "sky")
def _amazon_river(pen: Pen) -> None:
    river(pen, "#1f6b3a", "#b08a58", [(50, 42), (70, 48), (30, 58), (72, 72), (30, 104)])
    for i in range(9):
        pen.oval(4 + i * 12, 43, 7, 5, mix("#1f5a32", "#2f7a45", i % 3 / 2))


@emblem("jordan-river", "desert")
def _jordan_river(pen: Pen) -> None:
    river(pen, "#c9b27a", "#4f9a8a", [(46, 44), (58, 52), (44, 62), (60, 80), (46, 104)])
    for x, y in ((24, 66), (30, 78), (76, 64), (82, 84), (18, 94)):
        for k in (-2, 0, 2):
            pen.line([(x, y), (x + k * 1.6, y - 12)], 1.2, "#5f8a3a")


@emblem("amazon-rainforest", "#9cc9b0")
def _amazon_rainforest(pen: Pen) -> None:
    pen.rect(0, 78, 100, 100, "#16381f")
    for i in range(22):
        x, y = (i * 23) % 104, 44 + i * 2.4
        pen.oval(x, y, 13, 10, mix("#4f9a55", "#123a20", i / 22))
    for x in (18, 50, 80):
        pen.rect(x, 20, x + 2.6, 70, "#5b4630")
        pen.oval(x + 1, 22, 15, 9, "#2f7a3f")
        pen.oval(x - 3, 19, 8, 5, "#57a862")
    pen.blob([(60, 34), (68, 30), (72, 36), (68, 46), (62, 42)], "#d9432f")
    pen.poly([(66, 44), (72, 58), (63, 46)], "#2f6fc0")


@emblem("lake-chad", "desert")
def _lake_chad(pen: Pen) -> None:
    pen.blob([(8, 74), (26, 66), (50, 68), (76, 64), (94, 72), (88, 86), (60, 92), (24, 90)], "#4f9ab5")
    pen.blob([(38, 74), (52, 72), (60, 77), (48, 80)], "#8a9a4a")
    for x, y in ((20, 70), (64, 72), (84, 76), (30, 86)):
        for k in (-1.4, 0, 1.4):
            pen.line([(x, y + 4), (x + k * 1.5, y - 7)], 1, "#6f8a35")
    pen.disc(78, 22, 10, "#fff3c4")


@emblem("lake-victoria", "clouds")
def _lake_victoria(pen: Pen) -> None:
    pen.fade("#3f8fc9", "#1d5a94", 52)
    pen.blob([(0, 54), (18, 46), (40, 52), (60, 47), (100, 54), (100, 57), (0, 57)], "#4f8f4a")
    pen.poly([(36, 76), (66, 76), (60, 84), (42, 84)], "#7a3f1c")
    pen.line([(50, 76), (50, 34)], 1.4, "#5b3a1e")
    pen.poly([(52, 36), (74, 70), (52, 72)], "#f7f3e6")


@emblem("victoria-falls", "clouds")
def _victoria_falls(pen: Pen) -> None:
    pen.rect(0, 34, 100, 100, "#4a5a3a")
    pen.rect(0, 30, 100, 40, "#6fae6a")
    for i in range(12):
        x = 6 + i * 7.6
        pen.rect(x, 36, x + 6, 84, mix("#f4fafc", "#bcd9e6", i % 3 / 3))
    pen.fade("#dff0f5", "#a9d0de", 80)
    for i in range(10):
        pen.disc(i * 11, 84, 9, "#eef7fa")
    for k, ink in enumerate(("#e87a6a", "#f2d36a", "#7fc48a", "#7fb0e0")):
        pen.arc(50, 92, 40 - k * 2, 40 - k * 2, (190, 300), 1.6, ink)


@emblem("java-island", "sea")
def _java_island(pen: Pen) -> None:
    peak(pen, 54, 66, 34, 46, "#4f6b45", snow=False)
    pen.poly([(48, 26), (54, 20), (61, 27), (54, 29)], "#3b4a38")
    for x, y, r in ((56, 16, 5), (62, 10, 6), (70, 7, 6)):
        pen.disc(x, y, r, "#d9d4d0")
    pen.blob([(4, 66), (30, 58), (60, 60), (96, 64), (90, 72), (50, 75), (12, 72)], "#6fae54")
    for i, row in enumerate((62.0, 65.4, 68.8)):
        pen.line([(24 + i * 4, row), (50, row + 1.4), (78 - i * 3, row)], 0.9, "#cfe08a", curved=True)
    palm(pen, 16, 70, 24)


@emblem("new-guinea", "#4f9fc9")
def _new_guinea(pen: Pen) -> None:
    coast = [
        (6, 36),
        (14, 28),
        (24, 32),
        (28, 40),
        (36, 36),
        (48, 38),
        (62, 44),
        (74, 52),
        (80, 62),
        (94, 76),
        (82, 74),
    ]
    coast += [(70, 66), (60, 66), (52, 60), (42, 62), (34, 54), (22, 48), (16, 44)]
    pen.poly(coast, "#3f8a45")
    for i, (x, y) in enumerate(((36, 46), (46, 50), (56, 54), (66, 59))):
        peak(pen, x, y + 2, 5, 8, "#7a6a4a", snow=i == 1)
    pen.line([(49, 38), (52, 60)], 0.7, "#f4f1ea")
    for x, y in ((78, 40), (86, 44), (90, 50)):
        pen.oval(x, y, 5, 2, "#3f8a45", 30)


@emblem("korea-peninsula", "#7fb8d4")
def _korea_peninsula(pen: Pen) -> None:
    pen.poly([(0, 0), (100, 0), (100, 6), (66, 10), (56, 18), (30, 14), (0, 18)], "#b9c29a")
    pen.poly(
        [
            (34, 16),
            (54, 17),
            (70, 8),
            (74, 14),
            (60, 28),
            (56, 36),
            (64, 48),
            (70, 62),
            (66, 74),
            (50, 80),
            (42, 76),
            (46, 62),
            (40, 52),
            (44, 42),
            (34, 34),
            (38, 26),
        ],
        "#d9c98a",
    )
    pen.oval(46, 90, 5, 2.4, "#d9c98a")
    for x, y in ((56, 24), (54, 32), (60, 44), (63, 54)):
        peak(pen, x, y + 3, 4, 6, "#8a8a5a", snow=False)


@emblem("micronesia-region", "#1f6fa8")
def _micronesia_region(pen: Pen) -> None:
    spots = (
        (10, 30),
        (16, 22),
        (24, 34),
        (34, 46),
        (44, 40),
        (52, 48),
        (62, 44),
        (72, 52),
        (80, 36),
        (88, 44),
        (86, 60),
    )
    for i, (x, y) in enumerate((*spots, (74, 70), (90, 78), (30, 60), (18, 52))):
        pen.disc(x, y, 4.4, "#4fa8d4")
        pen.arc(x, y, 3.4, 2.8, (20 + i * 24, 290 + i * 24), 1.3, "#e9dca8")
        pen.disc(x + 1, y - 1, 1.1, "#4f9a4a")


@emblem("saint-martin-island", "#5fb8d0")
def _saint_martin_island(pen: Pen) -> None:
    coast = [
        (20, 66),
        (14, 58),
        (26, 52),
        (36, 56),
        (44, 40),
        (52, 26),
        (64, 22),
        (74, 32),
        (80, 50),
        (74, 66),
        (60, 74),
    ]
    coast += [(50, 66), (40, 70), (30, 70)]
    pen.blob(coast, "#eadfae")
    pen.blob([(50 + (x - 50) * 0.92, 50 + (y - 50) * 0.9) for x, y in coast], "#6fae54")
    pen.line([(36, 57), (52, 52), (66, 54), (79, 52)], 0.9, "#f7f3e6", curved=True)
    pen.oval(36, 62, 6, 3, "#5fb8d0")
    peak(pen, 60, 46, 7, 10, "#4f7a3a", snow=False)


@emblem("atlas-mountains", "desert")
def _atlas_mountains(pen: Pen) -> None:
    peak(pen, 24, 70, 30, 40, "#9a6a52")
    peak(pen, 76, 70, 32, 44, "#8a5a48")
    peak(pen, 50, 72, 30, 54, "#a8705a")
    pen.fade("#c98a52", "#a0622f", 70)
    for x in (26, 34, 42):
        pen.rect(x, 78, x + 7, 88, "#b5744a")
        pen.rect(x + 2.6, 82, x + 4.4, 85, "#5b3420")
