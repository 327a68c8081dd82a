"""Flags of the countries, states and territories of the demo: layout and colours as prescribed, arms simplified."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pen import Colour, Pen, ring

Draw = Callable[[Pen], None]
FLAGS: dict[str, tuple[float, Draw]] = {}
WHITE = "#ffffff"


def flag(name: str, aspect: float = 2 / 3) -> Callable[[Draw], Draw]:
    """Register a drawing as the flag ``name`` with height over width ``aspect``."""

    def keep(draw: Draw) -> Draw:
        FLAGS[name] = (aspect, draw)
        return draw

    return keep


def draw_flag(name: str) -> Pen:
    """Return a pen holding the flag ``name``."""
    aspect, draw = FLAGS[name]
    pen = Pen(WHITE, aspect)
    draw(pen)
    return pen


def rows(pen: Pen, colours: Sequence[Colour]) -> None:
    """Fill equal horizontal stripes, top first."""
    step = pen.height / len(colours)
    for i, colour in enumerate(colours):
        pen.rect(0, i * step, 100, (i + 1) * step, colour)


def columns(pen: Pen, colours: Sequence[Colour]) -> None:
    """Fill equal vertical stripes, hoist first."""
    step = 100 / len(colours)
    for i, colour in enumerate(colours):
        pen.rect(i * step, 0, (i + 1) * step, pen.height, colour)


def stripes(name: str, aspect: float, upright: bool, colours: Sequence[Colour]) -> None:
    """Register a flag made of equal stripes only."""
    flag(name, aspect)(lambda pen: (columns if upright else rows)(pen, colours))


stripes("guinea", 2 / 3, True, ["#ce1126", "#fcd116", "#009460"])
stripes("nigeria", 1 / 2, True, ["#008753", WHITE, "#008753"])
stripes("chad", 2 / 3, True, ["#002664", "#fecb00", "#c60c30"])
stripes("romania", 2 / 3, True, ["#002b7f", "#fcd116", "#ce1126"])
stripes("saint-martin", 2 / 3, True, ["#0a2a6b", WHITE, "#ed2939"])


def bolnisi(pen: Pen, x: float, y: float, r: float, fill: Colour) -> None:
    """Draw a cross whose four arms widen outwards."""
    w, v = r * 0.16, r * 0.36
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        inner = [(x + dy * s * w, y + dx * s * w) for s in (-1, 1)]
        outer = [(x + dx * r + dy * s * v, y + dy * r + dx * s * v) for s in (1, -1)]
        pen.poly([*inner, *outer], fill)
    pen.disc(x, y, w * 1.6, fill)


@flag("georgia")
def _georgia(pen: Pen) -> None:
    red, h = "#e8112d", pen.height
    pen.rect(43.3, 0, 56.7, h, red)
    pen.rect(0, h / 2 - 6.7, 100, h / 2 + 6.7, red)
    for x in (21.6, 78.4):
        for y in (h * 0.2, h * 0.8):
            bolnisi(pen, x, y, 8.5, red)


@flag("georgia-state", 0.625)
def _georgia_state(pen: Pen) -> None:
    gold = "#c9a227"
    rows(pen, ["#b31942", WHITE, "#b31942"])
    side = pen.height * 2 / 3
    pen.rect(0, 0, side, side, "#0a3161")
    for x, y in ring(side / 2, side / 2, side * 0.38, 13):
        pen.star(x, y, 2.9, WHITE)
    c = side / 2
    pen.poly([(c - 7.5, c - 2), (c, c - 8), (c + 7.5, c - 2)], gold)
    for x in (c - 5.5, c, c + 5.5):
        pen.rect(x - 1.2, c - 2, x + 1.2, c + 5, gold)
    pen.rect(c - 8, c + 5, c + 8, c + 7.5, gold)


@flag("dr-congo", 3 / 4)
def _dr_congo(pen: Pen) -> None:
    h = pen.height
    pen.rect(0, 0, 100, h, "#007fff")
    for w, colour in ((14.5, "#f7d618"), (10, "#ce1021")):
        pen.poly([(0, h - w), (0, h), (w * 1.33, h), (100, w), (100, 0), (100 - w * 1.33, 0)], colour)
    pen.star(20, 19, 15, "#f7d618")


@flag("congo")
def _congo(pen: Pen) -> None:
    h = pen.height
    pen.rect(0, 0, 100, h, "#fbde4a")
    pen.poly([(0, 0), (66.7, 0), (0, h)], "#009543")
    pen.poly([(100, 0), (100, h), (33.3, h)], "#dc241f")


@flag("guinea-bissau", 1 / 2)
def _guinea_bissau(pen: Pen) -> None:
    rows(pen, ["#fcd116", "#009e49"])
    pen.rect(0, 0, 33.3, pen.height, "#ce1126")
    pen.star(16.7, 25, 11, "#000000")


@flag("equatorial-guinea")
def _equatorial_guinea(pen: Pen) -> None:
    rows(pen, ["#3e9a00", WHITE, "#e32118"])
    pen.poly([(0, 0), (18, pen.height / 2), (0, pen.height)], "#0073ce")
    pen.rect(43, 26, 57, 37, "#8a8f94", 1)
    pen.poly([(43, 36), (57, 36), (50, 43)], "#8a8f94")
    pen.rect(43.8, 26.8, 56.2, 36, "#d9dcde", 1)
    pen.rect(49.2, 31, 50.8, 38, "#7a4a21")
    for x, y in ((47, 31), (50, 29.5), (53, 31), (50, 32)):
        pen.disc(x, y, 2.6, "#2f8f2f")
    for i in range(6):
        pen.star(44 + 2.4 * i, 24, 1.2, "#f2c200", 6, 0.55)


@flag("papua-new-guinea", 3 / 4)
def _papua_new_guinea(pen: Pen) -> None:
    h, gold = pen.height, "#fcd116"
    pen.rect(0, 0, 100, h, "#ce1126")
    pen.poly([(0, 0), (0, h), (100, h)], "#000000")
    for x, y, r in ((25, 35, 4), (25, 66, 4), (14, 49, 4), (35, 46, 4), (29, 54, 2.4)):
        pen.star(x, y, r, WHITE)
    pen.blob([(66, 34), (70, 27), (76, 22), (80, 15), (85, 14), (83, 20), (79, 27), (73, 34), (68, 38)], gold)
    pen.blob([(73, 27), (66, 18), (58, 14), (50, 15), (56, 18), (53, 22), (61, 23), (60, 28), (69, 31)], gold)
    pen.blob([(77, 28), (86, 30), (92, 38), (92, 46), (88, 42), (85, 46), (82, 39), (77, 41), (74, 33)], gold)
    for curve in ([(68, 36), (62, 41), (59, 50)], [(68, 36), (65, 45), (66, 55)], [(69, 36), (71, 46), (77, 54)]):
        pen.line(curve, 2.4, gold, curved=True)
    pen.poly([(83, 14), (89, 15), (84, 18)], gold)


@flag("north-korea", 1 / 2)
def _north_korea(pen: Pen) -> None:
    blue, red = "#024fa2", "#ed1c27"
    pen.rect(0, 0, 100, 50, WHITE)
    pen.rect(0, 0, 100, 8.3, blue)
    pen.rect(0, 41.7, 100, 50, blue)
    pen.rect(0, 9.9, 100, 40.1, red)
    pen.disc(34, 25, 11.5, WHITE)
    pen.star(34, 25, 11.5, red)


@flag("south-korea")
def _south_korea(pen: Pen) -> None:
    red, blue, h = "#cd2e3a", "#0047a0", pen.height
    slope = math.degrees(math.atan2(2, 3))
    cx, cy, r = 50, h / 2, h / 4
    c, s = math.cos(math.radians(slope)), math.sin(math.radians(slope))
    pen.disc(cx, cy, r, blue)
    upper = [math.radians(slope + 180 + 180 * i / 60) for i in range(61)]
    pen.poly([(cx + r * math.cos(a), cy + r * math.sin(a)) for a in upper], red)
    pen.disc(cx - c * r / 2, cy - s * r / 2, r / 2, red)
    pen.disc(cx + c * r / 2, cy + s * r / 2, r / 2, blue)
    broken = {(-1, -1): (0, 0, 0), (1, 1): (1, 1, 1), (1, -1): (1, 0, 1), (-1, 1): (0, 1, 0)}
    for (sx, sy), bars in broken.items():
        ux, uy = sx * c, sy * s  # outwards along the diagonal
        for i, split in enumerate(bars):
            d = h * (0.365 + i * 0.055)
            mx, my = cx + ux * d, cy + uy * d
            for lo, hi in ((-1, -0.08), (0.08, 1)) if split else ((-1, 1),):
                a, b = lo * h / 12, hi * h / 12
                ends = [(mx - uy * a, my + ux * a), (mx - uy * b, my + ux * b)]
                w = h / 48
                (x0, y0), (x1, y1) = ends
                dx, dy = ux * w, uy * w
                pen.poly([(x0 - dx, y0 - dy), (x1 - dx, y1 - dy), (x1 + dx, y1 + dy), (x0 + dx, y0 + dy)], "#000000")


@flag("us-virgin-islands")
def _us_virgin_islands(pen: Pen) -> None:
    gold, blue = "#f4c53d", "#0f6bb5"
    wing = [(47, 28), (40, 18), (28, 14), (30, 24), (33, 31), (37, 38), (43, 43), (48, 44)]
    for flip in (False, True):
        pen.poly([(100 - x if flip else x, y) for x, y in wing], gold)
    pen.blob([(46, 28), (45, 18), (49, 12), (54, 14), (55, 20), (54, 28), (53, 46), (56, 54), (44, 54), (47, 46)], gold)
    pen.poly([(54, 14), (58, 18), (54, 18.5)], "#c8102e")
    pen.rect(43.5, 27, 56.5, 31, blue)
    pen.poly([(43.5, 31), (56.5, 31), (56.5, 40), (50, 47), (43.5, 40)], WHITE)
    for i in range(6):
        x = 43.5 + i * 2.36
        pen.rect(x, 31, x + 1.2, 42 if 1 <= i <= 4 else 40, "#c8102e")
    pen.poly([(12, 24), (17, 24), (20.5, 38), (24, 24), (29, 24), (22.8, 46), (18.2, 46)], blue)
    pen.rect(75, 24, 80, 46, blue)
    pen.line([(38, 46), (33, 52), (28, 54)], 1.4, "#4c9a2a", curved=True)
    for x in (62, 65, 68):
        pen.line([(60, 46), (x + 3, 54)], 0.9, blue)


def union_jack(pen: Pen, w: float, h: float) -> None:
    """Draw the Union Jack in the left top corner."""
    red = "#c8102e"
    pen.rect(0, 0, w, h, "#012169")
    for (x0, y0), (x1, y1) in (((0, 0), (w, h)), ((0, h), (w, 0))):
        for width, colour in ((h * 0.2, WHITE), (h * 0.07, red)):
            pen.line([(x0, y0), (x1, y1)], width, colour)
    for width, colour in ((h / 3, WHITE), (h / 5, red)):
        pen.rect(w / 2 - width / 2, 0, w / 2 + width / 2, h, colour)
        pen.rect(0, h / 2 - width / 2, w, h / 2 + width / 2, colour)


def ensign(pen: Pen) -> None:
    """Draw a British blue ensign without its badge."""
    union_jack(pen, 50, 25)
    pen.rect(50, 0, 100, 50, "#012169")
    pen.rect(0, 25, 100, 50, "#012169")


@flag("british-virgin-islands", 1 / 2)
def _british_virgin_islands(pen: Pen) -> None:
    ensign(pen)
    pen.poly([(66, 11), (84, 11), (84, 28), (75, 38), (66, 28)], "#17813c")
    pen.poly([(72.8, 35), (73.5, 20), (76.5, 20), (77.2, 35)], WHITE)
    pen.disc(75, 17.8, 2, "#e9b48a")
    pen.line([(76.5, 22), (79, 20)], 1, "#e9b48a")
    for x in (68.5, 81.5):
        for y in (14, 18.5, 23, 27.5):
            pen.disc(x, y, 1.3, "#f6c51d")
    pen.arc(75, 34, 9, 6, (30, 150), 2, "#f6c51d")


@flag("samoa", 1 / 2)
def _samoa(pen: Pen) -> None:
    pen.rect(0, 0, 100, 50, "#ce1126")
    pen.rect(0, 0, 50, 25, "#002b7f")
    for x, y, r in ((25, 4, 2.8), (17.5, 10.5, 2.8), (32, 9, 2.8), (25, 20.5, 3.2), (29, 14.5, 1.7)):
        pen.star(x, y, r, WHITE)


@flag("american-samoa", 1 / 2)
def _american_samoa(pen: Pen) -> None:
    pen.rect(0, 0, 100, 50, "#00205b")
    pen.poly([(100, 0), (0, 25), (100, 50)], "#bf0d3e")
    pen.poly([(100, 2.6), (10, 25), (100, 47.4)], WHITE)
    brown = "#7b4a2c"
    pen.blob([(58, 27), (66, 18), (78, 14), (92, 10), (88, 18), (80, 26), (70, 31)], brown)
    pen.blob([(66, 27), (76, 26), (88, 30), (80, 33), (70, 32)], "#5d3620")
    pen.disc(59, 25.5, 3, WHITE)
    pen.disc(59, 25.5, 2.4, "#e8e4da")
    pen.poly([(55, 25), (57.4, 24.2), (57, 27)], "#f2b807")
    pen.line([(66, 33), (64, 37)], 1, "#f2b807")
    pen.line([(58, 38), (74, 36)], 1.4, "#f2b807")


@flag("sint-maarten")
def _sint_maarten(pen: Pen) -> None:
    h = pen.height
    rows(pen, ["#dc171d", "#012a87"])
    pen.poly([(0, 0), (50, h / 2), (0, h)], WHITE)
    pen.poly([(8, 24), (24, 24), (24, 38), (16, 47), (8, 38)], "#e0591c")
    pen.poly([(9.5, 25.5), (22.5, 25.5), (22.5, 37.5), (16, 45), (9.5, 37.5)], "#4aa3df")
    pen.rect(11.5, 31, 20.5, 38, WHITE)
    pen.poly([(11.5, 31), (16, 27), (20.5, 31)], "#b5352a")
    pen.disc(16, 21, 3, "#f6c51d")


@flag("micronesia", 10 / 19)
def _micronesia(pen: Pen) -> None:
    pen.rect(0, 0, 100, pen.height, "#75b2dd")
    cy = pen.height / 2
    for (x, y), turn in zip(ring(50, cy, 15, 4), (-90, 0, 90, 180), strict=True):
        pen.star(x, y, 5.4, WHITE, turn=turn)


@flag("dominica", 1 / 2)
def _dominica(pen: Pen) -> None:
    pen.rect(0, 0, 100, 50, "#006b3f")
    for i, colour in enumerate(("#fcd116", "#000000", WHITE)):
        pen.rect(45.5 + i * 3, 0, 48.5 + i * 3, 50, colour)
        pen.rect(0, 20.5 + i * 3, 100, 23.5 + i * 3, colour)
    pen.disc(50, 25, 14, "#d41c30")
    for x, y in ring(50, 25, 11.3, 10):
        pen.star(x, y, 2, "#00853f")
    pen.blob([(47, 20), (50, 17), (53, 19), (53, 25), (55, 33), (51, 31), (47, 28)], "#5a2d91")
    pen.blob([(47, 24), (49, 22), (50, 27), (48, 31)], "#009e49")
    pen.poly([(46, 20), (48, 19), (47.5, 22)], "#fcd116")


@flag("dominican-republic", 0.625)
def _dominican_republic(pen: Pen) -> None:
    h, blue, red = pen.height, "#002d62", "#ce1126"
    for x, y, colour in ((0, 0, blue), (58, 0, red), (0, h / 2 + 8, red), (58, h / 2 + 8, blue)):
        pen.rect(x, y, x + 42, y + h / 2 - 8, colour)
    pen.arc(50, h / 2, 8.2, 8.2, (100, 250), 1.6, "#3d7a2f")
    pen.arc(50, h / 2, 8.2, 8.2, (-70, 80), 1.6, "#3d7a2f")
    pen.rect(45.5, h / 2 - 5, 54.5, h / 2 + 3, blue)
    pen.poly([(45.5, h / 2 + 3), (54.5, h / 2 + 3), (50, h / 2 + 7)], red)
    pen.rect(49, h / 2 - 5, 51, h / 2 + 5, WHITE)
    pen.rect(45.5, h / 2 - 1, 54.5, h / 2 + 1, WHITE)


@flag("niger", 6 / 7)
def _niger(pen: Pen) -> None:
    rows(pen, ["#e05206", WHITE, "#0db02b"])
    pen.disc(50, pen.height / 2, 11.5, "#e05206")


@flag("jordan", 1 / 2)
def _jordan(pen: Pen) -> None:
    rows(pen, ["#000000", WHITE, "#007a3d"])
    pen.poly([(0, 0), (50, 25), (0, 50)], "#ce1126")
    pen.star(16.7, 25, 4, WHITE, 7, 0.5)


@flag("turkey")
def _turkey(pen: Pen) -> None:
    red, cy = "#e30a17", pen.height / 2
    pen.rect(0, 0, 100, pen.height, red)
    pen.disc(33.3, cy, 16.7, WHITE)
    pen.disc(37.5, cy, 13.3, red)
    pen.star(56, cy, 8.3, WHITE, turn=180)


@flag("chile")
def _chile(pen: Pen) -> None:
    rows(pen, [WHITE, "#d52b1e"])
    pen.rect(0, 0, 33.3, pen.height / 2, "#0039a6")
    pen.star(16.7, pen.height / 4, 8.4, WHITE)


@flag("north-macedonia", 1 / 2)
def _north_macedonia(pen: Pen) -> None:
    gold = "#ffe600"
    pen.rect(0, 0, 100, 50, "#d20000")
    for tip in ((0, 0), (100, 50)):
        x, y = tip
        pen.poly([(x, y), (abs(x - 15), y), (50, 25)], gold)
        pen.poly([(100 - x, y), (abs(100 - x - 15), y), (50, 25)], gold)
    for y in (0, 50):
        pen.poly([(45, y), (55, y), (50, 25)], gold)
    for x in (0, 100):
        pen.poly([(x, 20), (x, 30), (50, 25)], gold)
    pen.disc(50, 25, 8.6, "#d20000")
    pen.disc(50, 25, 7.2, gold)


@flag("victoria", 1 / 2)
def _victoria(pen: Pen) -> None:
    ensign(pen)
    for x, y, r, tips in ((75, 43, 3.6, 7), (65, 26, 3.2, 7), (75, 18, 3.2, 7), (84, 24, 3.2, 7), (79, 31, 2.2, 5)):
        pen.star(x, y, r, WHITE, tips, 0.45)
    gold = "#f1c232"
    pen.rect(70, 10.5, 80, 12.5, gold)
    pen.poly([(70, 10.5), (68.8, 5), (72.5, 8), (75, 3), (77.5, 8), (81.2, 5), (80, 10.5)], gold)


@flag("washington", 0.6)
def _washington(pen: Pen) -> None:
    pen.rect(0, 0, 100, 60, "#008457")
    pen.disc(50, 30, 22, "#e6b710")
    pen.disc(50, 30, 16, "#a7d8e8")
    pen.blob([(38, 42), (42, 37), (50, 35), (58, 37), (62, 42), (50, 45.6)], "#27303f")
    pen.poly([(45, 36), (50, 40), (55, 36), (53, 34), (47, 34)], WHITE)
    pen.oval(50, 26, 7, 8.5, "#f3f0ea")
    pen.oval(50, 27.5, 4.6, 6.4, "#e9b896")
