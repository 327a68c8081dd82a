"""Persons as neutral busts told apart by hair, headgear, clothes and what they hold; gods as marble busts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emblems import emblem
from pen import Colour, Pen, mix

MARBLE, STONE = "#e9e6df", "#cfcac0"
DARK, BROWN, TAN, FAIR = "#5f3b26", "#8d5b3a", "#c88f63", "#efc6a2"
BLACK = "#1d1a1c"
Detail = Callable[[Pen], None]


@dataclass(frozen=True)
class Bust:
    """What a bust is drawn from. ``hair`` names one of :data:`HAIR`; an empty name is bald."""

    skin: Colour
    coat: Colour
    hair: str = "short"
    hair_colour: Colour = BLACK
    collar: Colour = ""
    beard: str = ""


def _short(pen: Pen, c: Colour) -> None:
    pen.blob([(34, 40), (35, 26), (42, 17), (52, 15), (62, 19), (66, 28), (66, 40), (62, 31), (52, 27), (40, 30)], c)


def _long(pen: Pen, c: Colour) -> None:
    pen.blob([(33, 34), (40, 19), (52, 15), (64, 21), (68, 36), (67, 30), (60, 26), (50, 25), (40, 29), (36, 36)], c)


def _curls(pen: Pen, c: Colour) -> None:
    for x, y in ((36, 32), (38, 24), (44, 18), (51, 16), (58, 18), (63, 24), (65, 32)):
        pen.disc(x, y, 5, c)


def _fringe(pen: Pen, c: Colour) -> None:
    _long(pen, c)
    pen.blob([(36, 30), (44, 22), (56, 22), (65, 30), (62, 36), (50, 35), (39, 36)], c)


HAIR: dict[str, Callable[[Pen, Colour], None]] = {
    "short": _short, "long": _long, "bob": _long, "wig": _long, "curls": _curls, "fringe": _fringe,
}  # fmt: skip


def bust(pen: Pen, b: Bust) -> None:
    """Draw head and shoulders."""
    back = {"long": 70, "fringe": 70, "bob": 56, "wig": 54}.get(b.hair)
    if back:
        low = back + (0 if b.hair != "wig" else 2)
        pen.blob(
            [(33, 38), (36, 22), (50, 15), (64, 22), (68, 38), (70, low), (60, low + 3), (40, low + 3), (30, low)],
            b.hair_colour,
        )
    pen.blob([(6, 104), (10, 82), (26, 72), (40, 68), (60, 68), (74, 72), (90, 82), (94, 104)], b.coat)
    pen.blob([(42, 52), (58, 52), (59, 68), (50, 76), (41, 68)], mix(b.skin, "#000000", 0.14))
    if b.collar:
        pen.poly([(40, 67), (50, 80), (36, 86), (32, 70)], b.collar)
        pen.poly([(60, 67), (50, 80), (64, 86), (68, 70)], b.collar)
    for x in (34, 66):
        pen.oval(x, 43, 3, 4.6, b.skin)
    pen.blob([(35, 34), (42, 22), (58, 22), (65, 34), (64, 50), (56, 61), (44, 61), (36, 50)], b.skin)
    face(pen, b)
    if b.hair:
        HAIR[b.hair](pen, b.hair_colour)


def face(pen: Pen, b: Bust) -> None:
    """Draw eyes, brows, nose, mouth and beard."""
    ink = mix(b.skin, "#000000", 0.45)
    if b.beard in ("full", "jaw"):
        pen.blob(
            [(35, 44), (40, 51), (50, 49), (60, 51), (65, 44), (63, 58), (56, 67), (44, 67), (37, 58)], b.hair_colour
        )
    for x in (43, 57):
        pen.oval(x, 41, 2.6, 1.7, mix(b.skin, "#ffffff", 0.75))
        pen.disc(x, 41, 1.5, ink if b.skin == MARBLE else BLACK)
        pen.line([(x - 3.4, 36.6), (x, 35.8), (x + 3.4, 36.6)], 0.9, ink)
    pen.line([(50, 42), (49, 48), (51.5, 48.6)], 0.9, ink)
    pen.line([(45, 54.5), (50, 56), (55, 54.5)], 1.2, mix(b.skin, "#7a1f1f", 0.5) if b.skin != MARBLE else ink)
    if b.beard in ("full", "moustache"):
        pen.blob([(42, 52), (50, 49.6), (58, 52), (55, 54), (50, 52.6), (45, 54)], b.hair_colour)


def person(name: str, behind: str, b: Bust, *details: Detail) -> None:
    """Register a bust with details drawn over it."""

    def draw(pen: Pen) -> None:
        bust(pen, b)
        for detail in details:
            detail(pen)

    emblem(name, behind)(draw)


def brimmed(crown: float, brim: float, colour: Colour, band: Colour) -> Detail:
    """Return a hat with a crown ``crown`` high and a brim ``brim`` wide."""

    def draw(pen: Pen) -> None:
        pen.rect(36, 28 - crown, 64, 28, colour, 4)
        pen.rect(36, 22, 64, 27, band)
        pen.oval(50, 28, brim, 3.6, colour)

    return draw


def helmet(colour: Colour, crest: Colour) -> Detail:
    """Return an ancient helmet with a crest."""

    def draw(pen: Pen) -> None:
        pen.blob([(30, 26), (36, 10), (52, 2), (68, 8), (78, 26), (74, 34), (66, 20), (50, 14), (38, 20)], crest)
        pen.blob(
            [(33, 46), (34, 28), (42, 17), (58, 17), (66, 28), (67, 46), (62, 46), (60, 34), (40, 34), (38, 46)], colour
        )
        pen.rect(48.6, 32, 51.4, 46, colour)

    return draw


def microphone(pen: Pen) -> None:
    """Draw a hand-held microphone."""
    pen.line([(74, 92), (66, 66)], 4, "#2a2a30")
    pen.disc(65, 62, 6, "#9aa0a8")


def tie(colour: Colour) -> Detail:
    """Return a necktie."""
    return lambda pen: pen.poly([(48, 74), (52, 74), (55, 94), (50, 100), (45, 94)], colour)


def glasses(colour: Colour, filled: bool = False) -> Detail:
    """Return a pair of glasses, dark when ``filled``."""

    def draw(pen: Pen) -> None:
        for x in (43, 57):
            if filled:
                pen.oval(x, 41, 6, 5, colour)
            else:
                pen.arc(x, 41, 5, 4.2, (0, 360), 0.9, colour)
        pen.line([(47, 40), (53, 40)], 1, colour)

    return draw


def ruff(pen: Pen) -> None:
    """Draw a pleated collar."""
    for i in range(11):
        pen.oval(28 + i * 4.4, 68 + abs(5 - i) * -0.5 + 2, 3.4, 5, ("#ffffff", "#dfe3e8")[i % 2])


def wings(pen: Pen) -> None:
    """Draw a pair of small wings on the head."""
    for s in (-1, 1):
        for k in range(3):
            pen.oval(50 + s * (21 + k * 2), 24 - k * 4, 8, 2.4, STONE, s * (-30 - k * 8))


def stripes(colour: Colour) -> Detail:
    """Return a jersey's upright stripes and collar."""

    def draw(pen: Pen) -> None:
        for x in (20, 78):
            pen.rect(x, 78, x + 3, 100, colour)
        pen.arc(50, 66, 12, 12, (20, 160), 2, colour)

    return draw


def guitar_neck(pen: Pen) -> None:
    """Draw a guitar held across the chest."""
    pen.line([(96, 60), (40, 92)], 3, "#5b3a1e")
    pen.oval(34, 94, 17, 10, "#c98438", -25)
    pen.disc(36, 93, 4, "#4a2d16")


def crown(pen: Pen) -> None:
    """Draw a small crown on a white veil."""
    pen.blob(
        [(32, 44), (34, 22), (50, 14), (66, 22), (68, 44), (76, 74), (66, 70), (62, 26), (38, 26), (34, 70), (24, 74)],
        "#f3f0ea",
    )
    pen.poly([(41, 20), (40, 7), (45.5, 13), (50, 4), (54.5, 13), (60, 7), (59, 20)], "#e7b93c")
    pen.disc(50, 16, 1.8, "#c22c4a")


def cap(colour: Colour) -> Detail:
    """Return a cap with a peak to the left."""

    def draw(pen: Pen) -> None:
        pen.blob([(34, 32), (36, 20), (50, 13), (64, 20), (67, 32), (50, 29)], colour)
        pen.blob([(36, 30), (26, 30), (20, 35), (34, 36), (48, 32)], mix(colour, "#000000", 0.2))

    return draw


def soft_cap(colour: Colour, height: float = 14) -> Detail:
    """Return a cap without a peak, ``height`` tall."""

    def draw(pen: Pen) -> None:
        top = 28 - height
        pen.blob([(34, 31), (36, top + 5), (50, top), (64, top + 5), (66, 31), (58, 27), (42, 27)], colour)

    return draw


def officer_cap(pen: Pen) -> None:
    """Draw a uniform cap with a flat top and a black peak."""
    pen.blob([(30, 22), (36, 12), (50, 9), (64, 12), (70, 22), (62, 26), (38, 26)], "#57652f")
    pen.rect(35, 23, 65, 29, "#434f24")
    pen.blob([(35, 28), (65, 28), (62, 33), (50, 35), (38, 33)], "#1d1a1c")
    pen.disc(50, 20, 2.6, "#d9b04a")


def halo(pen: Pen) -> None:
    """Draw a ring of light behind the head's outline."""
    pen.arc(50, 36, 26, 26, (0, 360), 2.4, "#f4cf4a")


def laurel(pen: Pen) -> None:
    """Draw a laurel wreath."""
    for s in (-1, 1):
        for k in range(5):
            pen.oval(50 + s * (6 + k * 3.4), 22 + k * 2.6, 4.4, 1.8, "#7d9a52", s * (60 - k * 12))


def spear(pen: Pen) -> None:
    """Draw a spear beside the bust."""
    pen.line([(86, 100), (86, 16)], 2, "#7a5a34")
    pen.poly([(82, 18), (86, 4), (90, 18)], "#b9bec4")


def god(name: str, behind: str, hair: str, beard: str, *details: Detail) -> None:
    """Register a marble bust."""
    person(name, behind, Bust(MARBLE, STONE, hair, STONE, beard=beard), *details)


def bow(pen: Pen) -> None:
    """Draw a bow with an arrow."""
    pen.arc(78, 62, 14, 30, (-85, 85), 2, "#9a6b35")
    pen.line([(79, 32), (79, 92)], 0.6, "#6e6a60")
    pen.line([(64, 62), (96, 62)], 1.2, "#8a2f3a")
    pen.poly([(62, 62), (68, 59), (68, 65)], "#8a2f3a")


def back_wings(pen: Pen) -> None:
    """Draw large wings rising from the shoulders."""
    for s in (-1, 1):
        for k in range(5):
            pen.oval(50 + s * (34 + k * 2), 64 - k * 9, 14 - k, 4, mix(STONE, "#ffffff", 0.12 * k), s * (-50 - k * 4))


def globe(pen: Pen) -> None:
    """Draw a globe borne on the head."""
    pen.disc(50, 13, 17, "#7fa9c4")
    pen.arc(50, 13, 16, 6, (0, 360), 1, "#4d7691")
    pen.arc(50, 13, 6, 16, (0, 360), 1, "#4d7691")
    for x in (26, 74):
        pen.line([(x, 76), (x - (50 - x) * 0.1, 50), (50 + (x - 50) * 0.6, 24)], 7, MARBLE, curved=True)


def sickle(pen: Pen) -> None:
    """Draw a sickle."""
    pen.line([(84, 96), (84, 66)], 3, "#7a5a34")
    pen.arc(74, 62, 13, 18, (-170, 30), 2.6, "#8b939b")


def two_prongs(pen: Pen) -> None:
    """Draw a bident."""
    pen.line([(86, 100), (86, 40)], 2.4, "#57524c")
    pen.arc(86, 26, 7, 16, (0, 180), 2.2, "#57524c")


def caduceus(pen: Pen) -> None:
    """Draw a herald's staff with two snakes."""
    pen.line([(86, 100), (86, 34)], 1.8, "#b08a3a")
    for s in (-1, 1):
        pen.line(
            [(86, 94), (86 + s * 6, 84), (86, 74), (86 - s * 6, 64), (86, 54), (86 + s * 5, 46)],
            1.4,
            "#7c8f4a",
            curved=True,
        )
    pen.disc(86, 32, 3, "#d9b04a")
