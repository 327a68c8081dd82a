"""Animals and what grows."""

from __future__ import annotations

import math

from emblems import emblem
from pen import Colour, Pen, Point, mix, ring

BLACK = "#1b1b1f"


def eye(pen: Pen, x: float, y: float, r: float = 1.6, white: Colour = "#f4f0e4") -> None:
    """Draw an eye."""
    pen.disc(x, y, r, white)
    pen.disc(x, y, r * 0.6, BLACK)
    pen.disc(x - r * 0.25, y - r * 0.25, r * 0.2, "#ffffff")


def legs(pen: Pen, xs: tuple[float, ...], y0: float, y1: float, width: float, fill: Colour) -> None:
    """Draw upright legs with small feet."""
    for x in xs:
        pen.line([(x, y0), (x, y1)], width, fill)
        pen.line([(x, y1), (x - width * 1.4, y1 + 0.6)], width, fill)


@emblem("turkey-bird", "meadow")
def _turkey_bird(pen: Pen) -> None:
    for i in range(11):
        angle = math.radians(188 + i * 16.4)
        x, y = 56 + 33 * math.cos(angle), 54 + 33 * math.sin(angle)
        pen.oval((56 + x) / 2, (54 + y) / 2, 18, 6, ("#6b3f22", "#8a5430")[i % 2], math.degrees(angle))
        pen.oval(x, y, 4.5, 5.6, "#d7a35c", math.degrees(angle))
    legs(pen, (51, 61), 76, 89, 1.8, "#c98a3a")
    pen.oval(55, 64, 21, 17, "#4a2d1c")
    pen.oval(60, 65, 13, 9, "#6a4128", 15)
    pen.blob([(40, 62), (33, 50), (30, 38), (34, 32), (39, 36), (42, 48), (49, 54)], "#8f6f7d")
    pen.disc(33.5, 34, 5.6, "#86a7c4")
    pen.poly([(29, 33), (22, 37), (29, 37.5)], "#e9b44c")
    pen.blob([(29, 37), (31, 36), (32, 44), (29, 49), (27, 43)], "#d62f2f")
    eye(pen, 32.5, 32.5, 1.5)


@emblem("python-snake", "jungle")
def _python_snake(pen: Pen) -> None:
    body: list[Point] = [(88, 84), (60, 90), (22, 84), (16, 68), (40, 60), (74, 64), (82, 50), (62, 40), (40, 46)]
    body += [(26, 38), (30, 22), (48, 18)]
    for width, fill in ((13, "#5b4a1c"), (11, "#c9a545")):
        pen.line(body, width, fill, curved=True)
    dense = [(body[i], body[i + 1]) for i in range(len(body) - 1)]
    for (x0, y0), (x1, y1) in dense[:-1]:
        for t in (0.25, 0.75):
            pen.oval(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t, 3.6, 2.6, "#6e4a1e")
    pen.blob([(42, 12), (54, 10), (64, 16), (66, 21), (58, 26), (46, 25)], "#c9a545")
    pen.line([(65, 20), (73, 21), (77, 18)], 0.9, "#c33b3b")
    pen.line([(73, 21), (77, 24)], 0.9, "#c33b3b")
    eye(pen, 57, 16, 1.8, "#e8d44d")


def big_cat(pen: Pen, coat: Colour, belly: Colour) -> None:
    """Draw a standing cat seen from the side, head to the left."""
    shade = mix(coat, "#000000", 0.22)
    pen.line([(82, 52), (92, 58), (94, 72), (88, 80)], 3.6, coat, curved=True)
    for x in (40, 76):
        pen.line([(x, 60), (x - 2, 85)], 6.4, shade)
    pen.blob([(30, 46), (44, 41), (62, 43), (78, 42), (86, 52), (82, 66), (62, 66), (44, 68), (32, 62)], coat)
    pen.blob([(40, 66), (56, 64), (72, 65), (58, 68)], belly)
    for x in (34, 82):
        pen.line([(x, 58), (x - 2, 87)], 7, coat)
        pen.oval(x - 3.6, 88, 5, 2.6, coat)
    for x in (17, 33):
        pen.disc(x, 33, 4.2, coat)
        pen.disc(x, 33, 2.2, shade)
    pen.blob([(13, 42), (18, 33), (27, 31), (35, 35), (38, 45), (33, 56), (24, 59), (15, 54)], coat)
    pen.oval(21, 53, 6.6, 5, belly)
    pen.poly([(17.6, 48.5), (23.6, 48.5), (20.6, 51.6)], "#3a2320")
    for across in (17.5, 27):
        eye(pen, across, 43.5, 1.9, "#d8c84a")


@emblem("jaguar-cat", "jungle")
def _jaguar_cat(pen: Pen) -> None:
    big_cat(pen, "#d99a34", "#f3e3bd")
    spots = [(44, 47), (53, 49), (62, 48), (71, 48), (79, 51), (47, 56), (57, 57), (67, 56), (76, 58), (40, 53)]
    spots += [(52, 63), (62, 63), (35, 64), (81, 67), (33, 74), (80, 76), (32, 48), (24, 36), (30, 39)]
    for i, (x, y) in enumerate(spots):
        pen.disc(x, y, 2.7 if i < 10 else 1.5, "#3a2210")
        if i < 10:
            pen.disc(x, y, 1.3, "#b8761f")


@emblem("puma-cat", "desert")
def _puma_cat(pen: Pen) -> None:
    big_cat(pen, "#b98a5e", "#ecd9bf")


@emblem("crane-bird", "sea")
def _crane_bird(pen: Pen) -> None:
    for x in (50, 56):
        pen.line([(x, 66), (x - 1, 82), (x + 1, 96)], 1.3, "#3b3b40")
    pen.blob([(38, 56), (50, 48), (66, 52), (80, 64), (70, 70), (52, 70), (42, 66)], "#f5f5f2")
    pen.blob([(64, 56), (80, 62), (88, 76), (78, 72), (68, 70)], "#26262b")
    pen.line([(43, 58), (34, 46), (38, 32), (33, 20)], 4.4, "#26262b", curved=True)
    pen.oval(33, 18, 5.2, 4, "#f5f5f2", -15)
    pen.oval(34, 14.8, 3.4, 1.8, "#d22c2c", 10)
    pen.poly([(29, 17), (13, 21), (29, 20.5)], "#8a8158")
    eye(pen, 32, 17.6, 1)


@emblem("seal-animal", "ice")
def _seal_animal(pen: Pen) -> None:
    pen.blob([(80, 76), (94, 70), (97, 76), (92, 80), (97, 86), (88, 88), (80, 84)], "#565f6b")
    pen.blob(
        [(22, 34), (32, 26), (44, 32), (52, 50), (70, 66), (86, 76), (82, 88), (50, 92), (28, 84), (24, 62)], "#76818f"
    )
    pen.blob([(30, 56), (40, 60), (48, 78), (40, 88), (30, 80)], "#a9b3be")
    pen.blob([(50, 78), (62, 84), (56, 96), (46, 92)], "#565f6b")
    pen.oval(24, 45, 8, 6, "#a9b3be")
    pen.oval(20, 42, 2.6, 2, BLACK)
    for y in (44, 47):
        pen.line([(18, y), (6, y + (y - 45) * 1.6)], 0.5, "#efefef")
    for x in (26, 36):
        eye(pen, x, 37, 2.6, BLACK)


@emblem("bat-animal", "night")
def _bat_animal(pen: Pen) -> None:
    wing = [(50, 48), (40, 34), (22, 26), (6, 34), (3, 52), (12, 48), (18, 58), (26, 50), (34, 62), (42, 58)]
    for flip in (False, True):
        pen.poly([(100 - x if flip else x, y) for x, y in wing], "#5b3b4b")
        for tip in ((6, 34), (18, 57), (34, 61)):
            end = (100 - tip[0] if flip else tip[0], tip[1])
            pen.line([(50, 46), end], 1, "#3c2431")
    pen.oval(50, 54, 8, 13, "#7a5366")
    for s in (-1, 1):
        pen.poly([(50 + s * 2, 38), (50 + s * 10, 26), (50 + s * 8, 42)], "#7a5366")
        pen.poly([(50 + s * 4, 37), (50 + s * 8.6, 30), (50 + s * 7, 40)], "#c98ba0")
    pen.disc(50, 42, 8, "#7a5366")
    for s in (-1, 1):
        eye(pen, 50 + s * 3.2, 41, 1.5, "#f2e27a")
        pen.poly([(50 + s * 0.6, 46), (50 + s * 2.2, 46), (50 + s * 1.4, 49)], "#ffffff")


@emblem("mouse-animal", "meadow")
def _mouse_animal(pen: Pen) -> None:
    pen.line([(80, 76), (92, 72), (94, 58), (86, 52)], 1.8, "#d9a0a0", curved=True)
    pen.blob([(22, 70), (32, 56), (48, 48), (68, 50), (82, 64), (82, 80), (62, 84), (36, 82)], "#8d7b6c")
    for x, y in ((38, 50), (50, 46)):
        pen.disc(x, y, 9, "#8d7b6c")
        pen.disc(x, y, 6, "#e0b0a8")
    pen.blob([(14, 72), (24, 60), (40, 54), (50, 62), (44, 78), (28, 80)], "#9c8a7a")
    pen.disc(14.5, 71.5, 2.4, "#d9868a")
    eye(pen, 30, 65, 2.6, BLACK)
    for dy in (-3, 0, 3):
        pen.line([(18, 73), (4, 74 + dy * 2)], 0.4, "#4d4239")
    for x in (34, 64):
        pen.oval(x, 84, 6, 2.4, "#e0b0a8")


@emblem("swift-bird", "clouds")
def _swift_bird(pen: Pen) -> None:
    dark = "#33302f"
    pen.blob([(50, 42), (34, 30), (16, 28), (2, 36), (20, 36), (36, 46), (46, 56)], dark)
    pen.blob([(52, 42), (66, 26), (84, 20), (98, 26), (82, 30), (68, 42), (58, 56)], dark)
    pen.blob([(44, 38), (52, 32), (60, 38), (58, 56), (54, 68), (48, 66), (46, 52)], "#403c3a")
    pen.poly([(49, 62), (43, 84), (52, 70), (60, 83), (57, 62)], dark)
    pen.oval(52, 42, 3.6, 2.6, "#d8d2c8")
    eye(pen, 48.6, 36.6, 1.1)


@emblem("cardinal-bird", "#a9c7d8")
def _cardinal_bird(pen: Pen) -> None:
    pen.line([(4, 84), (40, 80), (96, 86)], 3.4, "#6b4a2e", curved=True)
    pen.poly([(62, 66), (82, 92), (74, 95), (54, 72)], "#9e1b20")
    pen.blob([(30, 42), (40, 34), (54, 42), (66, 58), (66, 74), (54, 80), (38, 76), (30, 62)], "#d3222a")
    pen.blob([(48, 52), (60, 56), (68, 70), (60, 74), (50, 66)], "#a81b22")
    pen.blob([(26, 38), (32, 28), (44, 12), (44, 26), (46, 36), (42, 46), (30, 46)], "#d3222a")
    pen.oval(29, 39, 4.4, 5.4, BLACK)
    pen.poly([(28, 34.5), (16, 39), (28, 43.5)], "#f08a24")
    eye(pen, 34.5, 34, 1.6)
    for x in (44, 52):
        pen.line([(x, 78), (x, 82)], 1.2, "#7a4a3a")


@emblem("cricket-insect", "meadow")
def _cricket_insect(pen: Pen) -> None:
    pen.line([(60, 60), (74, 36), (86, 84)], 2.6, "#3d2a18")
    for x0, x1 in ((36, 26), (44, 42), (52, 60)):
        pen.line([(x0, 66), (x1, 76), (x1 - 4, 86)], 1.6, "#3d2a18")
    pen.blob([(30, 58), (40, 50), (60, 52), (84, 62), (82, 68), (58, 72), (38, 70)], "#5a3d22")
    pen.blob([(40, 52), (60, 50), (82, 60), (66, 62), (46, 62)], "#7d5a32")
    pen.line([(62, 60), (72, 42)], 5, "#4a321c")
    pen.oval(28, 58, 8.4, 8, "#4a321c")
    pen.line([(24, 52), (14, 34), (2, 26)], 0.8, "#3d2a18", curved=True)
    pen.line([(28, 51), (24, 32), (16, 18)], 0.8, "#3d2a18", curved=True)
    eye(pen, 25, 56, 1.8)


@emblem("bass-fish", "deep")
def _bass_fish(pen: Pen) -> None:
    pen.blob([(74, 52), (94, 36), (90, 52), (95, 68)], "#51682f")
    pen.poly([(36, 38), (44, 24), (52, 34), (58, 26), (68, 40)], "#51682f")
    pen.blob([(6, 54), (22, 40), (44, 34), (66, 42), (80, 52), (66, 62), (42, 70), (20, 66)], "#7d9a48")
    pen.blob([(8, 58), (30, 60), (60, 60), (68, 61), (42, 70), (20, 66)], "#e3e6c6")
    for i in range(7):
        pen.oval(28 + i * 7, 52 + (i % 2), 3.6, 2.6, "#3f5426")
    pen.line([(7, 57), (20, 59)], 1.2, "#3f5426")
    pen.arc(32, 53, 6, 12, (-70, 70), 1, "#5d763a")
    pen.blob([(40, 58), (52, 62), (46, 72)], "#51682f")
    eye(pen, 20, 49, 2.6, "#e7d36a")


@emblem("guinea-pig", "#c7b7e2")
def _guinea_pig(pen: Pen) -> None:
    pen.blob([(12, 62), (20, 44), (40, 36), (66, 36), (88, 50), (90, 72), (70, 84), (30, 84)], "#b5713a")
    pen.blob([(40, 36), (56, 35), (60, 84), (40, 85)], "#f6f0e6")
    pen.blob([(60, 36), (82, 44), (91, 62), (86, 78), (62, 84)], "#3a2a22")
    pen.oval(36, 42, 6, 7.4, "#8a5128", -25)
    pen.oval(14, 64, 4, 3.4, "#e7b0a4")
    eye(pen, 25, 55, 2.8, BLACK)
    for x in (30, 70):
        pen.oval(x, 86, 6.4, 2.6, "#e7b0a4")


@emblem("guineafowl", "meadow")
def _guineafowl(pen: Pen) -> None:
    legs(pen, (48, 58), 76, 90, 1.8, "#55504a")
    pen.blob([(34, 58), (44, 44), (62, 42), (82, 54), (92, 70), (76, 78), (50, 80), (38, 72)], "#3b4150")
    for i in range(34):
        x, y = 42 + (i * 13) % 44, 50 + (i * 7) % 26
        if (x - 62) ** 2 / 500 + (y - 62) ** 2 / 210 < 1:
            pen.disc(x, y, 0.9, "#eef1f5")
    pen.line([(40, 58), (34, 46), (32, 36)], 5, "#4d6f94", curved=True)
    pen.oval(30, 32, 5.4, 5, "#a9cbe0")
    pen.poly([(29, 28), (33, 18), (35, 29)], "#b5713a")
    pen.poly([(25, 31), (18, 34), (25, 35)], "#d8b48a")
    pen.oval(27, 37.5, 1.8, 3, "#d22c2c")
    eye(pen, 29.6, 31, 1.2)


@emblem("phoenix-bird", "#4a1220")
def _phoenix_bird(pen: Pen) -> None:
    for i, fill in enumerate(("#e8481f", "#f58a1f", "#fbd04a")):
        k = 1 - i * 0.24
        for s in (-1, 1):
            wing = [(0, 4), (14, -20), (30, -34), (44, -36), (38, -22), (40, -10), (30, -6), (28, 6), (16, 8), (8, 18)]
            pen.blob([(50 + s * x * k, 48 + y * k) for x, y in wing], fill)
        pen.blob([(50 - 14 * k, 92), (50 - 6 * k, 70), (50, 58), (50 + 6 * k, 70), (50 + 14 * k, 92), (50, 82)], fill)
    pen.oval(50, 48, 6, 13, "#fff0b0")
    pen.disc(50, 30, 5.4, "#fbd04a")
    pen.poly([(46, 29), (40, 32), (46, 33)], "#c33b1c")
    for x in (47, 50, 53):
        pen.line([(50, 25), (x * 2 - 50, 16)], 1.2, "#fbd04a")
    eye(pen, 48.4, 29, 1.2)


@emblem("apple-fruit", "table")
def _apple_fruit(pen: Pen) -> None:
    pen.oval(50, 84, 24, 4, "#6d4320")
    pen.blob(
        [
            (50, 36),
            (62, 30),
            (76, 38),
            (78, 56),
            (68, 78),
            (56, 84),
            (50, 81),
            (44, 84),
            (32, 78),
            (22, 56),
            (24, 38),
            (38, 30),
        ],
        "#cf2a2a",
    )
    pen.blob([(30, 44), (36, 38), (40, 42), (34, 54), (30, 56)], "#ee8a7a")
    pen.line([(50, 38), (51, 28), (55, 20)], 2.4, "#5b3a1e", curved=True)
    pen.blob([(54, 26), (64, 16), (78, 16), (70, 27), (60, 30)], "#5da33a")


@emblem("lotus-flower", "#7fb7c9")
def _lotus_flower(pen: Pen) -> None:
    pen.oval(50, 80, 42, 12, "#3e8a52")
    pen.oval(50, 78, 38, 9.6, "#57a868")
    for angles, length, fill in (
        ((-75, -45, 45, 75), 34, "#e58fb0"),
        ((-58, -28, 0, 28, 58), 40, "#f0a8c4"),
        ((-18, 18), 36, "#f9d0df"),
    ):
        for a in angles:
            t = math.radians(a - 90)
            pen.oval(50 + math.cos(t) * length / 2, 76 + math.sin(t) * length / 2, length / 2, 7, fill, a - 90)
    pen.oval(50, 70, 7, 4, "#f3d04f")


@emblem("chili-pepper", "table")
def _chili_pepper(pen: Pen) -> None:
    pen.oval(50, 84, 34, 3, "#6d4320")
    pen.blob(
        [(24, 34), (34, 28), (44, 36), (54, 52), (70, 66), (88, 72), (72, 80), (52, 76), (34, 62), (24, 46)], "#d3261c"
    )
    pen.line([(34, 40), (46, 56), (62, 68)], 1.8, "#f0867a", curved=True)
    pen.blob([(20, 36), (26, 26), (38, 26), (40, 32), (32, 33), (26, 40)], "#3f8a35")
    pen.line([(28, 28), (24, 18), (16, 14)], 3, "#3f8a35", curved=True)


@emblem("rust-fungus", "sky")
def _rust_fungus(pen: Pen) -> None:
    pen.line([(50, 100), (50, 6)], 2.2, "#3b6e2a")
    pen.blob([(50, 6), (68, 22), (76, 48), (68, 76), (50, 92), (32, 76), (24, 48), (32, 22)], "#6fae46")
    for s in (-1, 1):
        for vein in (26, 42, 58, 74):
            pen.line([(50, vein), (50 + s * 18, vein - 10)], 0.9, "#4d8a32")
    pen.line([(50, 92), (50, 8)], 1.6, "#4d8a32")
    for i in range(26):
        x, y = ring(50, 50, 6 + (i * 5) % 18, 26, i * 47.0)[i]
        pen.disc(x, y, 1.6 + i % 3 * 0.6, ("#d9701c", "#b3500f")[i % 2])
