"""Planets, moons, stars and what flies to them."""

from __future__ import annotations

from collections.abc import Mapping

from emblems import emblem
from pen import Colour, Pen, mix


def planet(pen: Pen, colour: Colour, spots: tuple[tuple[float, float, float], ...] = (), spot: Colour = "") -> None:
    """Draw a lit sphere with round spots."""
    for i in range(12):
        pen.disc(50 - i * 0.9, 50 - i * 0.9, 36 - i * 1.5, mix(mix(colour, "#000000", 0.55), colour, i / 11))
    for x, y, r in spots:
        pen.disc(x, y, r, spot or mix(colour, "#000000", 0.25))
        pen.disc(x + r * 0.15, y + r * 0.15, r * 0.75, mix(spot or colour, "#000000", 0.12))


def bands(pen: Pen, colour: Colour, shades: tuple[Colour, ...]) -> None:
    """Draw a sphere with curved cloud bands."""
    planet(pen, colour)
    for i, shade in enumerate(shades):
        y = 26 + i * 9
        half = (34**2 - (y - 50) ** 2) ** 0.5 - 2
        pen.line([(50 - half, y), (50, y + 3), (50 + half * 0.84, y)], 4, shade, curved=True)


@emblem("mercury-planet", "space")
def _mercury_planet(pen: Pen) -> None:
    spots = ((36, 36, 6), (54, 30, 4), (62, 48, 7), (40, 58, 5), (52, 68, 6), (28, 50, 3), (68, 64, 3), (46, 46, 3))
    planet(pen, "#a59a90", spots)


@emblem("venus-planet", "space")
def _venus_planet(pen: Pen) -> None:
    bands(pen, "#ecd08e", ("#f6e6b8", "#dcb868", "#f3dfa8", "#d9b264", "#efd89a", "#e0bf74"))


@emblem("mars-planet", "space")
def _mars_planet(pen: Pen) -> None:
    planet(pen, "#c9572c")
    pen.blob([(26, 48), (40, 42), (58, 48), (70, 44), (68, 54), (50, 58), (34, 56)], "#9a3c1e")
    pen.blob([(38, 64), (52, 62), (58, 68), (46, 72)], "#a8451f")
    pen.oval(46, 18, 9, 3, "#f3e8df")
    for x, y in ((32, 34), (38, 30), (28, 40)):
        pen.disc(x, y, 2.2, "#e08a5c")


@emblem("saturn-planet", "space")
def _saturn_planet(pen: Pen) -> None:
    for span, first in (((180, 360), True), ((0, 180), False)):
        for rx, width, fill in ((46, 3.4, "#b89f72"), (40, 3.6, "#e6d2a4"), (35, 2, "#8f7a56")):
            pen.arc(50, 52, rx, rx * 0.3, span, width, fill)
        if first:
            for i in range(10):
                pen.disc(50 - i * 0.6, 50 - i * 0.6, 25 - i, mix("#6b5534", "#e4c98a", i / 9))
            for y, half, shade in ((38, 17, "#f1dfb0"), (44, 20, "#cfae6a"), (56, 19, "#cfae6a"), (62, 16, "#f1dfb0")):
                pen.line([(50 - half, y), (50, y + 1.6), (50 + half * 0.8, y)], 2.6, shade, curved=True)


@emblem("pluto-planet", "space")
def _pluto_planet(pen: Pen) -> None:
    planet(pen, "#c9ad8d", ((34, 40, 5), (60, 28, 4)), "#8a6a52")
    pen.blob([(50, 76), (36, 62), (36, 50), (44, 46), (51, 52), (58, 46), (68, 50), (68, 62)], "#f2e7d6")
    pen.blob([(22, 60), (30, 66), (38, 74), (32, 76), (24, 68)], "#6b4a38")


@emblem("titan-moon", "space")
def _titan_moon(pen: Pen) -> None:
    pen.disc(50, 50, 38, "#4a3a6a")
    planet(pen, "#e0a23c")
    pen.arc(50, 50, 36.4, 36.4, (120, 330), 1.6, "#8f86c9")


@emblem("eros-asteroid", "space")
def _eros_asteroid(pen: Pen) -> None:
    pen.blob(
        [(8, 58), (18, 40), (36, 38), (52, 46), (70, 34), (90, 36), (94, 52), (78, 62), (56, 62), (34, 74), (14, 72)],
        "#8c7a66",
    )
    pen.blob([(12, 56), (20, 44), (36, 42), (52, 50), (70, 38), (86, 40), (74, 50), (52, 56), (30, 62)], "#b09c84")
    for x, y, r in ((28, 52, 5), (64, 48, 4), (80, 46, 3), (42, 58, 3), (22, 64, 3)):
        pen.disc(x, y, r, "#6e5d4c")


def constellation(pen: Pen, stars: Mapping[str, tuple[float, float, float]], links: tuple[str, ...]) -> None:
    """Draw stars by name (x, y, radius) and the lines between pairs of names."""
    for pair in links:
        pen.line([stars[name][:2] for name in pair], 0.6, "#6f86c9")
    for i, (x, y, r) in enumerate(stars.values()):
        pen.disc(x, y, r * 1.9, "#26356b")
        pen.disc(x, y, r, "#ffd9b0" if i == 0 else "#eaf1ff")


@emblem("orion-constellation", "space")
def _orion_constellation(pen: Pen) -> None:
    stars = {
        "a": (28, 22, 3),
        "b": (66, 26, 2.2),
        "c": (42, 50, 2),
        "d": (49, 47, 2),
        "e": (56, 44, 2),
        "f": (38, 80, 2.2),
    }
    stars |= {"g": (72, 76, 3.2), "h": (47, 10, 1.5)}
    constellation(pen, stars, ("ab", "ac", "be", "cd", "de", "cf", "eg", "ah", "bh"))


@emblem("phoenix-constellation", "space")
def _phoenix_constellation(pen: Pen) -> None:
    stars = {
        "a": (22, 34, 3),
        "b": (44, 46, 2.2),
        "c": (70, 40, 1.8),
        "d": (84, 60, 1.6),
        "e": (60, 70, 2),
        "f": (34, 62, 1.6),
    }
    constellation(pen, stars, ("ab", "bc", "cd", "de", "eb", "af", "fb"))


@emblem("saturn-rocket", "sky")
def _saturn_rocket(pen: Pen) -> None:
    pen.rect(80, 10, 84, 92, "#b5452f")
    for y in range(14, 90, 10):
        pen.line([(58, y), (82, y + 4)], 0.8, "#b5452f")
    for x in (42, 50, 58):
        pen.blob([(x - 4, 86), (x + 4, 86), (x + 3, 96), (x, 103), (x - 3, 96)], "#f7a83c")
    pen.poly([(36, 88), (40, 74), (60, 74), (64, 88)], "#d8dbde")
    pen.rect(40, 46, 60, 84, "#fbfbf9")
    for x in (40, 50):
        pen.rect(x, 74, x + 5, 84, "#1c1c20")
        pen.rect(x + 5, 46, x + 10, 54, "#1c1c20")
    pen.poly([(40, 46), (44, 40), (56, 40), (60, 46)], "#1c1c20")
    pen.rect(44, 24, 56, 40, "#fbfbf9")
    pen.poly([(44, 24), (47.5, 14), (52.5, 14), (56, 24)], "#e4e6e8")
    pen.line([(50, 14), (50, 4)], 1.2, "#8a8f94")


@emblem("orion-spacecraft", "space")
def _orion_spacecraft(pen: Pen) -> None:
    for turn in (-1, 1):
        pen.poly([(50 + turn * 14, 66), (50 + turn * 44, 52), (50 + turn * 48, 62), (50 + turn * 16, 74)], "#b5472f")
        for k in (0.3, 0.6):
            pen.line(
                [(50 + turn * (14 + 32 * k), 66 - 13 * k), (50 + turn * (16 + 32 * k), 74 - 12 * k)], 0.7, "#6e2418"
            )
    pen.rect(36, 56, 64, 82, "#dfe2e6", 2)
    pen.poly([(40, 82), (60, 82), (64, 92), (36, 92)], "#5b5f66")
    pen.poly([(32, 56), (42, 26), (58, 26), (68, 56)], "#9aa3ad")
    pen.poly([(50, 26), (58, 26), (68, 56), (52, 56)], "#7d8791")
    pen.rect(44, 20, 56, 27, "#c7ccd2")
    for x in (43, 55):
        pen.disc(x, 44, 3, "#243044")


@emblem("macedonia-ancient", "dusk")
def _macedonia_ancient(pen: Pen) -> None:
    pen.disc(50, 48, 34, "#6e1f2b")
    pen.disc(50, 48, 31, "#8f2c3a")
    for turn, length in ((0, 28), (11.25, 20)):
        pen.star(50, 48, length, "#f0c64a", 16, 0.3, turn - 90)
    pen.disc(50, 48, 8, "#8f2c3a")
    pen.star(50, 48, 7, "#f0c64a", 8, 0.5)
