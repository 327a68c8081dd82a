"""Cities: a skyline and the one building that tells it from its namesakes."""

from __future__ import annotations

from emblems import emblem
from pen import Colour, Pen, mix
from places import palm, peak, round_tree


def skyline(pen: Pen, heights: tuple[float, ...], ground: float, wall: Colour, lit: Colour = "#f7e7a8") -> None:
    """Draw towers side by side with lit windows."""
    step = 100 / len(heights)
    for i, high in enumerate(heights):
        tone = mix(wall, "#000000", (i * 3 % 4) * 0.08)
        x = i * step
        pen.rect(x, ground - high, x + step * 0.92, ground, tone)
        for k in range(int(high // 7)):
            for j in (0.2, 0.55):
                pen.rect(x + step * j, ground - high + 3 + k * 7, x + step * (j + 0.17), ground - high + 6 + k * 7, lit)


def lattice_tower(pen: Pen, iron: Colour) -> None:
    """Draw a tall iron tower on four curved feet."""
    for s in (-1, 1):
        pen.poly(
            [
                (50 + s * 24, 92),
                (50 + s * 15, 92),
                (50 + s * 7, 62),
                (50 + s * 1, 18),
                (50 + s * 3, 18),
                (50 + s * 10, 60),
            ],
            iron,
        )
    pen.rect(37, 60, 63, 64, iron)
    pen.rect(42, 40, 58, 43, iron)
    pen.arc(50, 92, 15, 18, (180, 360), 2, iron)
    pen.rect(47.6, 12, 52.4, 40, iron)
    pen.line([(50, 12), (50, 4)], 1.2, iron)
    for y in (48, 54):
        pen.line([(45, y), (55, y + 5)], 0.8, iron)
        pen.line([(55, y), (45, y + 5)], 0.8, iron)


def church(pen: Pen, stone: Colour, roof: Colour, ground: float, spires: bool) -> None:
    """Draw a cathedral front with two towers."""
    pen.rect(32, ground - 36, 68, ground, stone)
    for x in (22, 62):
        pen.rect(x, ground - 56, x + 16, ground, mix(stone, "#000000", 0.06))
        if spires:
            pen.poly([(x, ground - 56), (x + 8, ground - 76), (x + 16, ground - 56)], roof)
        else:
            for k in range(3):
                pen.poly(
                    [(x + k * 6 - 1, ground - 55), (x + k * 6 + 2, ground - 63), (x + k * 6 + 5, ground - 55)], roof
                )
        for y in (ground - 48, ground - 30):
            pen.rect(x + 6, y, x + 10, y + 10, "#3a3430", 2)
    pen.poly([(32, ground - 36), (50, ground - 50), (68, ground - 36)], roof)
    pen.disc(50, ground - 28, 6, "#5f7fb0")
    pen.rect(44, ground - 16, 56, ground, "#4a3322", 5)


def dome(pen: Pen, x: float, ground: float, size: float, stone: Colour, cover: Colour) -> None:
    """Draw a domed hall with columns."""
    pen.rect(x - size, ground - size * 0.5, x + size, ground, stone)
    pen.rect(x - size * 0.36, ground - size * 0.86, x + size * 0.36, ground - size * 0.5, mix(stone, "#000000", 0.05))
    pen.blob(
        [
            (x - size * 0.4, ground - size * 0.84),
            (x - size * 0.3, ground - size * 1.2),
            (x, ground - size * 1.4),
            (x + size * 0.3, ground - size * 1.2),
            (x + size * 0.4, ground - size * 0.84),
        ],
        cover,
    )
    pen.line([(x, ground - size * 1.4), (x, ground - size * 1.62)], size * 0.06, cover)
    for i in range(9):
        cx = x - size * 0.9 + i * size * 0.225
        pen.rect(
            cx - size * 0.03, ground - size * 0.42, cx + size * 0.03, ground - size * 0.06, mix(stone, "#000000", 0.28)
        )


def water(pen: Pen, top: float, shade: Colour = "#3f8fb5") -> None:
    """Fill the foot of the picture with water."""
    pen.fade(mix(shade, "#ffffff", 0.2), mix(shade, "#000000", 0.25), top)
    for i in range(6):
        pen.line(
            [(8 + i * 15, top + 5 + i % 3 * 5), (18 + i * 15, top + 5 + i % 3 * 5)], 0.8, mix(shade, "#ffffff", 0.5)
        )


@emblem("paris-city", "dusk")
def _paris_city(pen: Pen) -> None:
    for i in range(8):
        pen.rect(i * 13, 78 - i % 3 * 3, i * 13 + 12, 92, mix("#c9b9a0", "#6a5a6a", 0.45))
    lattice_tower(pen, "#4a3324")
    pen.rect(0, 92, 100, 100, "#3a3240")


@emblem("paris-texas", "sky")
def _paris_texas(pen: Pen) -> None:
    pen.fade("#c9b96a", "#a8914a", 80)
    lattice_tower(pen, "#8a929a")
    pen.oval(50, 14, 14, 3, "#c8202e")
    pen.blob([(42, 13), (43, 3), (50, 5), (57, 3), (58, 13)], "#c8202e")
    for x in (12, 88):
        round_tree(pen, x, 86, 24, "#5f8a3a")


@emblem("washington-dc", "sky")
def _washington_dc(pen: Pen) -> None:
    pen.fade("#7fb85a", "#5a9440", 78)
    dome(pen, 50, 80, 40, "#f3f1ea", "#e4e1d8")


@emblem("lincoln-nebraska", "#e9c98a")
def _lincoln_nebraska(pen: Pen) -> None:
    pen.fade("#d9b45a", "#b5903a", 80)
    pen.rect(20, 68, 80, 82, "#e7dcc4")
    pen.rect(41, 22, 59, 70, "#efe6d2")
    for x in (44, 49, 54):
        pen.rect(x, 28, x + 2, 66, "#a89a80")
    pen.blob([(42, 22), (44, 13), (50, 9), (56, 13), (58, 22)], "#c9a02f")
    pen.line([(50, 10), (50, 4)], 1.2, "#6a5a3a")


@emblem("lincoln-england", "#8fa8bf")
def _lincoln_england(pen: Pen) -> None:
    pen.blob([(-10, 104), (0, 88), (50, 80), (100, 88), (110, 104)], "#5f8a4a")
    church(pen, "#cbb58a", "#9a8258", 84, spires=False)


@emblem("phoenix-arizona", "desert")
def _phoenix_arizona(pen: Pen) -> None:
    peak(pen, 70, 62, 34, 22, "#a85a3a", snow=False)
    skyline(pen, (6, 10, 18, 24, 16, 26, 12, 8), 64, "#8a7a8a")
    pen.fade("#d9944a", "#a8622c", 64)
    pen.line([(22, 96), (22, 44)], 7, "#3f7a45")
    pen.line([(22, 74), (10, 72), (10, 58)], 5, "#3f7a45", curved=True)
    pen.line([(22, 68), (34, 66), (34, 52)], 5, "#3f7a45", curved=True)


@emblem("cambridge-england", "sky")
def _cambridge_england(pen: Pen) -> None:
    pen.rect(18, 32, 82, 68, "#ead9b0")
    for x in (18, 30, 42, 54, 66, 78):
        pen.rect(x, 24, x + 4, 68, "#d9c494")
        pen.poly([(x, 24), (x + 2, 16), (x + 4, 24)], "#d9c494")
    for x in (24, 36, 48, 60, 72):
        pen.rect(x - 0.4, 36, x + 4.4, 62, "#5f7fb0", 2)
    pen.rect(0, 66, 100, 78, "#6fae54")
    water(pen, 76, "#4f8a7a")
    pen.poly([(26, 86), (78, 86), (72, 91), (32, 91)], "#6b4423")
    pen.line([(70, 86), (80, 52)], 1, "#9a7a4a")


@emblem("cambridge-massachusetts", "clouds")
def _cambridge_massachusetts(pen: Pen) -> None:
    pen.rect(8, 44, 92, 74, "#a8442f")
    for x in range(12, 88, 9):
        for y in (48, 60):
            pen.rect(x, y, x + 4, y + 8, "#f4f1ea")
    pen.rect(43, 26, 57, 46, "#f4f1ea")
    pen.blob([(44, 26), (46, 18), (50, 15), (54, 18), (56, 26)], "#3f6fa8")
    pen.line([(50, 16), (50, 6)], 1, "#c9a02f")
    pen.rect(0, 74, 100, 80, "#6fae54")
    water(pen, 80, "#2f6fa8")
    pen.line([(20, 90), (78, 90)], 1.6, "#e9e2d2")


@emblem("birmingham-england", "#a9b4bd")
def _birmingham_england(pen: Pen) -> None:
    skyline(pen, (20, 34, 26, 40, 30, 22), 66, "#7a5548")
    pen.oval(72, 42, 10, 32, "#5f7fb0")
    pen.rect(0, 66, 100, 74, "#8a6a52")
    water(pen, 74, "#3f5f6a")
    pen.rect(16, 82, 70, 90, "#b3202e", 2)
    pen.rect(24, 77, 62, 83, "#2f5d3a", 1)


@emblem("birmingham-alabama", "dusk")
def _birmingham_alabama(pen: Pen) -> None:
    pen.blob([(-8, 104), (0, 84), (50, 76), (100, 84), (108, 104)], "#2f4a2a")
    pen.rect(42, 60, 58, 84, "#b5a68f")
    pen.blob([(42, 60), (40, 46), (46, 36), (54, 36), (60, 46), (58, 60)], "#4a4f57")
    pen.disc(50, 30, 5, "#4a4f57")
    pen.line([(58, 42), (70, 26), (72, 14)], 3.2, "#4a4f57")
    pen.poly([(70, 16), (72, 4), (75, 16)], "#e0a33a")
    for x in (10, 24, 78):
        pen.rect(x, 52, x + 7, 84, "#6a3f30")
        pen.disc(x + 5, 46, 5, "#8a7f86")


@emblem("victoria-bc", "sky")
def _victoria_bc(pen: Pen) -> None:
    dome(pen, 50, 70, 34, "#b5b0a4", "#4f8a7a")
    for x in (22, 78):
        pen.blob([(x - 5, 54), (x - 4, 48), (x, 45), (x + 4, 48), (x + 5, 54)], "#4f8a7a")
    pen.rect(0, 70, 100, 76, "#5f8a4a")
    water(pen, 76, "#2f6f94")
    for x in (20, 72):
        pen.poly([(x - 8, 86), (x + 10, 86), (x + 6, 91), (x - 4, 91)], "#f7f5ef")
        pen.line([(x, 86), (x, 66)], 0.9, "#6b4a2e")


@emblem("santiago-chile", "sky")
def _santiago_chile(pen: Pen) -> None:
    for x, h in ((10, 36), (36, 46), (64, 42), (92, 48)):
        peak(pen, x, 72, 28, h, "#6f7f94")
    skyline(pen, (14, 20, 26, 18, 52, 22, 16, 24, 14), 88, "#5a6f8f")
    pen.rect(0, 88, 100, 100, "#5f8a4a")


@emblem("santiago-cuba", "sea")
def _santiago_cuba(pen: Pen) -> None:
    pen.poly([(30, 70), (34, 44), (96, 44), (100, 70)], "#c9a06a")
    pen.poly([(58, 46), (62, 28), (96, 28), (98, 46)], "#d9b47c")
    for x in range(62, 96, 7):
        pen.rect(x, 24, x + 4, 29, "#d9b47c")
    pen.rect(38, 40, 44, 46, "#c9a06a")
    pen.line([(78, 28), (78, 8)], 1, "#5b4a3a")
    pen.poly([(78, 8), (92, 12), (78, 16)], "#2f5da8")
    pen.blob([(24, 70), (60, 66), (104, 68), (104, 80), (60, 78), (30, 76)], "#8a7a5a")
    palm(pen, 16, 84, 34)


@emblem("santiago-compostela", "#b9c4cc")
def _santiago_compostela(pen: Pen) -> None:
    pen.fade("#a8a498", "#8a867a", 86)
    church(pen, "#bfae8a", "#8a7a52", 88, spires=True)
    pen.line([(8, 96), (8, 52)], 1.6, "#6b4a2e")
    pen.star(8, 50, 4, "#e9a98f", 8, 0.6)


@emblem("san-jose-california", "sky")
def _san_jose_california(pen: Pen) -> None:
    pen.blob([(-6, 72), (20, 50), (44, 58), (70, 46), (106, 72)], "#c9a85a")
    skyline(pen, (12, 20, 28, 22, 32, 26, 18, 12), 80, "#8fa4b5", "#dff0f7")
    pen.rect(0, 80, 100, 100, "#6f747c")
    for x in (12, 50, 88):
        palm(pen, x, 92, 30)


@emblem("san-jose-costa-rica", "clouds")
def _san_jose_costa_rica(pen: Pen) -> None:
    peak(pen, 24, 66, 40, 34, "#3f7a4a", snow=False)
    peak(pen, 80, 66, 40, 40, "#35703f", snow=False)
    pen.rect(18, 50, 82, 84, "#efe3c4")
    pen.poly([(34, 50), (50, 38), (66, 50)], "#c9a06a")
    for x in (22, 33, 44, 55, 66, 75):
        pen.rect(x, 56, x + 3.4, 84, "#cdbb92")
    pen.rect(46, 66, 54, 84, "#7a3a2a", 4)
    pen.fade("#6fae54", "#4f8a3a", 84)


@emblem("sydney-australia", "sky")
def _sydney_australia(pen: Pen) -> None:
    pen.arc(30, 66, 34, 30, (180, 360), 2.4, "#4a545e")
    pen.line([(-4, 62), (64, 62)], 1.6, "#4a545e")
    for x in range(2, 62, 8):
        pen.line([(x, 62), (x, 62 - 26 * (1 - ((x - 30) / 34) ** 2) ** 0.5)], 0.6, "#4a545e")
    pen.rect(38, 70, 98, 76, "#c9a98a")
    for x, s in ((44, 18), (56, 26), (70, 22), (84, 16)):
        pen.blob(
            [
                (x - s * 0.3, 71),
                (x - s * 0.2, 70 - s * 0.7),
                (x + s * 0.4, 70 - s),
                (x + s * 0.46, 70 - s * 0.5),
                (x + s * 0.5, 71),
            ],
            "#fbf9f4",
        )
        pen.line(
            [(x - s * 0.2, 70 - s * 0.7), (x + s * 0.14, 70 - s * 0.4), (x + s * 0.4, 71)], 0.9, "#c4bfb2", curved=True
        )
    water(pen, 76, "#2f7fb5")


@emblem("sydney-nova-scotia", "#9fb4c4")
def _sydney_nova_scotia(pen: Pen) -> None:
    water(pen, 70, "#3f5f7a")
    pen.rect(0, 66, 100, 74, "#7a6a58")
    pen.blob(
        [(38, 68), (36, 54), (44, 46), (40, 38), (46, 30), (54, 30), (60, 38), (56, 46), (64, 54), (62, 68)], "#a8622c"
    )
    pen.rect(48.4, 6, 51.6, 34, "#3a2415")
    pen.disc(50, 6, 3, "#3a2415")
    pen.rect(47, 36, 53, 60, "#2a1a10")
    for x in (14, 26, 74, 86):
        pen.rect(x - 5, 54, x + 5, 67, ("#c8372d", "#e9e4da")[x % 4 // 2])
        pen.poly([(x - 6, 54), (x, 47), (x + 6, 54)], "#3b4048")


@emblem("perth-australia", "#f2c98a")
def _perth_australia(pen: Pen) -> None:
    skyline(pen, (10, 16, 34, 44, 38, 28, 48, 20, 12), 66, "#4f6f94")
    water(pen, 66, "#3f7fa8")
    pen.blob([(28, 84), (40, 78), (56, 80), (62, 76), (60, 86), (46, 91), (34, 90)], "#17171b")
    pen.line([(32, 84), (26, 74), (30, 66), (24, 64)], 3, "#17171b", curved=True)
    pen.poly([(25, 62), (18, 65), (25, 66)], "#d22c2c")


@emblem("perth-scotland", "#b5bfc9")
def _perth_scotland(pen: Pen) -> None:
    pen.blob([(-8, 70), (16, 42), (44, 56), (74, 38), (108, 70)], "#5f7a5a")
    for x in (8, 30, 72, 90):
        pen.rect(x, 50, x + 14, 70, "#a8948a")
        pen.poly([(x - 1, 50), (x + 7, 42), (x + 15, 50)], "#5a5a64")
    pen.poly([(54, 50), (58, 22), (62, 50)], "#7a6f6a")
    water(pen, 68, "#5f7f8a")
    pen.rect(0, 64, 100, 70, "#b59a86")
    for x in (4, 28, 52, 76):
        pen.arc(x + 10, 80, 11, 12, (180, 360), 3, "#b59a86")


@emblem("santa-cruz-california", "sea")
def _santa_cruz_california(pen: Pen) -> None:
    pen.fade("#ead9a0", "#d9bf7a", 74)
    track = [(-4, 66), (12, 40), (26, 60), (42, 30), (60, 62), (76, 44), (104, 68)]
    for x in range(2, 100, 6):
        pen.line([(x, 74), (x, 58)], 0.7, "#f4f1ea")
    pen.line(track, 2.4, "#c8372d", curved=True)
    pen.rect(36, 24, 48, 30, "#2f5da8", 2)
    palm(pen, 84, 96, 34)


@emblem("santa-cruz-tenerife", "clouds")
def _santa_cruz_tenerife(pen: Pen) -> None:
    peak(pen, 66, 70, 44, 44, "#8a6a5a")
    pen.blob([(10, 76), (16, 52), (34, 46), (50, 58), (54, 76)], "#f7f7f5")
    pen.blob([(6, 46), (24, 22), (48, 20), (60, 34), (44, 32), (28, 38)], "#f7f7f5")
    water(pen, 76, "#2f7fb5")


@emblem("portland-oregon", "dusk")
def _portland_oregon(pen: Pen) -> None:
    peak(pen, 60, 66, 36, 46, "#7f8fae")
    skyline(pen, (12, 20, 16, 26, 18, 12), 68, "#4a4560")
    water(pen, 68, "#4a5a8a")
    for x in (26, 66):
        pen.rect(x, 44, x + 5, 80, "#3f8a6a")
    pen.rect(0, 64, 100, 67, "#3f8a6a")


@emblem("portland-maine", "sea")
def _portland_maine(pen: Pen) -> None:
    pen.blob([(30, 104), (34, 78), (56, 70), (84, 74), (104, 70), (104, 104)], "#7a6f64")
    pen.poly([(58, 72), (61, 30), (71, 30), (74, 72)], "#f7f5ef")
    pen.rect(58, 26, 74, 30, "#2b2b31")
    pen.rect(62, 18, 70, 26, "#f2d04f")
    pen.poly([(60, 18), (66, 10), (72, 18)], "#c8372d")
    pen.rect(76, 58, 94, 74, "#f7f5ef")
    pen.poly([(74, 58), (85, 48), (96, 58)], "#c8372d")
