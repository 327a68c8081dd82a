"""Objects: tools, instruments, goods, vehicles."""

from __future__ import annotations

import math

from emblems import emblem
from pen import Colour, Pen, mix, ring

BLACK = "#1b1b1f"


@emblem("java-coffee", "table")
def _java_coffee(pen: Pen) -> None:
    pen.oval(48, 84, 36, 6, "#f0ece4")
    pen.oval(48, 83, 30, 4.4, "#d6cfc2")
    pen.arc(72, 60, 11, 10, (-90, 90), 5, "#f4f1ea")
    pen.blob([(22, 46), (74, 46), (72, 68), (62, 80), (34, 80), (24, 68)], "#fbf9f4")
    pen.oval(48, 46, 26, 7, "#fbf9f4")
    pen.oval(48, 46, 23, 5.4, "#4a2a16")
    for x in (38, 48, 58):
        pen.line([(x, 36), (x + 3, 28), (x - 2, 20), (x + 2, 12)], 2, "#cbbfae", curved=True)


@emblem("ruby-gem", "#2c2f45")
def _ruby_gem(pen: Pen) -> None:
    pen.poly([(10, 40), (28, 20), (72, 20), (90, 40), (50, 88)], "#b3122f")
    for points, fill in (
        ([(28, 20), (38, 40), (10, 40)], "#e0405c"), ([(28, 20), (50, 20), (38, 40)], "#f17a8e"),
        ([(50, 20), (62, 40), (38, 40)], "#d92a48"), ([(50, 20), (72, 20), (62, 40)], "#f493a3"),
        ([(72, 20), (90, 40), (62, 40)], "#c31f3c"), ([(10, 40), (38, 40), (50, 88)], "#c41a38"),
        ([(38, 40), (62, 40), (50, 88)], "#e5324f"), ([(62, 40), (90, 40), (50, 88)], "#93102a"),
    ):  # fmt: skip
        pen.poly(points, fill)
    pen.star(24, 14, 7, "#ffffff", 4, 0.2)


@emblem("rust-iron", "#8fa3ab")
def _rust_iron(pen: Pen) -> None:
    for x, y in ring(50, 50, 36, 10):
        pen.disc(x, y, 8, "#9a5a2e")
    pen.disc(50, 50, 35, "#9a5a2e")
    pen.disc(50, 50, 28, "#b06a35")
    for i in range(40):
        x, y = ring(50, 50, 8 + (i * 11) % 30, 40, i * 31.0)[i]
        pen.oval(x, y, 1.5 + i % 4, 1.2 + i % 3, ("#c9803f", "#6e3a1c", "#d99a55", "#824620")[i % 4], i * 40)
    pen.disc(50, 50, 11, "#5c6a70")


@emblem("mercury-element", "#33414d")
def _mercury_element(pen: Pen) -> None:
    pen.rect(58, 8, 92, 46, "#e8edf0", 3)
    for x in (63, 73):
        pen.rect(x, 16, x + 2.6, 34, BLACK)
    pen.rect(63, 23.6, 75.6, 26, BLACK)
    pen.arc(81.5, 30, 3.2, 4, (0, 360), 2.2, BLACK)
    pen.line([(85.4, 26), (85.4, 38), (81, 41), (78, 39)], 2.2, BLACK, curved=True)
    for x, y, rx, ry in ((40, 66, 30, 16), (78, 76, 9, 6), (20, 42, 8, 6), (62, 88, 6, 3.6), (34, 32, 4, 3)):
        pen.oval(x, y, rx, ry, "#7c8791")
        pen.oval(x - rx * 0.05, y - ry * 0.12, rx * 0.9, ry * 0.8, "#aab4bc")
        pen.oval(x - rx * 0.2, y - ry * 0.3, rx * 0.5, ry * 0.34, "#eef2f5")


@emblem("go-board", "#d9c7a0")
def _go_board(pen: Pen) -> None:
    pen.rect(10, 10, 90, 90, "#e0b060", 1)
    for i in range(9):
        v = 16 + i * 8.5
        pen.rect(16, v - 0.3, 84, v + 0.3, "#4a3618")
        pen.rect(v - 0.3, 16, v + 0.3, 84, "#4a3618")
    stones = ("24", "25", "35", "46", "55", "53", "62", "65", "44", "34", "43", "54", "63", "36", "66", "27")
    for i, place in enumerate(stones):
        across, down = (16 + int(digit) * 8.5 for digit in place)
        pen.disc(across + 0.5, down + 0.7, 4, "#9a7638")
        pen.disc(across, down, 3.9, ("#18181b", "#f7f5ef")[i % 2])


@emblem("window", "#c9b79a")
def _window(pen: Pen) -> None:
    pen.rect(18, 10, 82, 84, "#fbf8f1", 1)
    pen.rect(23, 15, 77, 79, "#8cc9ee")
    pen.oval(40, 34, 12, 5, "#f5fbff")
    pen.blob([(23, 79), (23, 64), (40, 58), (60, 66), (77, 60), (77, 79)], "#6fae54")
    pen.rect(48, 15, 52, 79, "#fbf8f1")
    pen.rect(23, 44, 77, 48, "#fbf8f1")
    pen.rect(12, 84, 88, 91, "#e9e2d2", 1)
    for s in (-1, 1):
        pen.blob([(50 + s * 40, 6), (50 + s * 22, 8), (50 + s * 30, 40), (50 + s * 42, 84)], "#b3474a")


@emblem("seashell", "#d9c39a")
def _seashell(pen: Pen) -> None:
    tips = [(50 + 40 * math.sin(math.radians(a)), 78 - 62 * math.cos(math.radians(a))) for a in range(-66, 67, 22)]
    pen.poly([(40, 78), *tips, (60, 78)], "#e9a98f")
    for i, (x, y) in enumerate(tips):
        pen.disc(x, y + 2, 8.4, ("#f3c3ac", "#e9a98f")[i % 2])
        pen.poly([(47 + i * 0.9, 82), (x - 6, y + 4), (x + 6, y + 4)], ("#f3c3ac", "#e9a98f")[i % 2])
    for x, y in tips:
        pen.line([(50, 82), (x, y)], 0.8, "#b8705a")
    pen.poly([(36, 82), (64, 82), (58, 90), (42, 90)], "#d9937a")


@emblem("oil-company", "dusk")
def _oil_company(pen: Pen) -> None:
    pen.rect(26, 26, 58, 88, "#e9e4da", 3)
    pen.rect(31, 33, 53, 50, "#27303a", 1)
    for x in (34, 41, 48):
        pen.rect(x - 1.6, 37, x + 1.6, 46, "#8fe07a")
    pen.rect(26, 60, 58, 68, "#d9482b")
    pen.line([(58, 74), (68, 74), (74, 60), (72, 36), (64, 28)], 3, "#23262b", curved=True)
    pen.poly([(60, 24), (72, 22), (74, 30), (64, 34)], "#6a7078")
    pen.rect(18, 88, 68, 92, "#6a7078")
    pen.blob([(86, 46), (94, 62), (86, 72), (78, 62)], "#f2b632")


@emblem("cricket-sport", "stadium")
def _cricket_sport(pen: Pen) -> None:
    for x in (66, 73, 80):
        pen.rect(x, 34, x + 2.6, 84, "#e2c48e", 1)
    pen.rect(65.5, 32, 83, 34.4, "#c9a566")
    pen.line([(18, 14), (27, 33)], 4, "#2b3d5a")
    pen.poly([(24, 34), (31, 30), (54, 76), (52, 84), (46, 83)], "#ecd29e")
    pen.line([(28, 34), (49, 80)], 1, "#c4a262")
    pen.disc(26, 80, 7, "#b3202a")
    pen.arc(26, 80, 4, 7, (90, 270), 0.9, "#f3e6d8")


@emblem("baseball-bat", "stadium")
def _baseball_bat(pen: Pen) -> None:
    pen.line([(14, 88), (40, 58)], 4.4, "#b98244")
    pen.poly([(37, 57), (42, 62), (88, 26), (90, 18), (84, 12), (76, 14)], "#d9a562")
    pen.disc(85, 18, 6.4, "#d9a562")
    pen.line([(13, 89), (26, 74)], 5, "#3a2a20")
    pen.disc(12.5, 89.5, 4, "#3a2a20")
    pen.disc(70, 74, 12, "#f7f4ee")
    pen.arc(60, 74, 7, 10, (-60, 60), 1, "#c22c2c")
    pen.arc(80, 74, 7, 10, (120, 240), 1, "#c22c2c")


@emblem("computer-mouse", "desk")
def _computer_mouse(pen: Pen) -> None:
    pen.rect(8, 52, 92, 96, "#2f4a6b", 5)
    pen.line([(54, 44), (58, 28), (44, 16), (52, 2)], 1.8, "#3b4048", curved=True)
    pen.oval(52, 68, 19, 27, "#5f6871")
    pen.oval(50, 66, 19, 27, "#e4e7ea")
    pen.line([(31.5, 60), (68.5, 60)], 0.9, "#98a2ab")
    pen.line([(50, 39.5), (50, 60)], 0.9, "#98a2ab")
    pen.rect(48, 45, 52, 55, "#3b4048", 2)


@emblem("bass-guitar", "stage")
def _bass_guitar(pen: Pen) -> None:
    pen.line([(40, 62), (86, 14)], 4.6, "#3a2415")
    pen.poly([(83, 12), (88, 17), (97, 10), (92, 3)], "#d99a4a")
    pen.blob(
        [(20, 66), (28, 56), (36, 60), (40, 50), (48, 54), (48, 66), (54, 76), (44, 84), (32, 92), (18, 90), (12, 78)],
        "#c8372d",
    )
    pen.blob([(26, 72), (34, 64), (44, 66), (44, 76), (32, 84)], "#f3ece0")
    for x, y in ((30, 79), (38, 71)):
        pen.line([(x - 3, y - 3), (x + 3, y + 3)], 3, BLACK)
    for k in (-0.9, -0.3, 0.3, 0.9):
        pen.line([(27 + k, 81 + k), (88 + k, 12 + k)], 0.4, "#e9e4da")


@emblem("crane-machine", "sky")
def _crane_machine(pen: Pen) -> None:
    gold = "#f2b01e"
    pen.rect(0, 90, 100, 100, "#8a7a66")
    for x in (32, 42):
        pen.rect(x, 26, x + 2.4, 92, gold)
    for y in range(28, 90, 10):
        pen.line([(33, y), (43, y + 10)], 1.2, gold)
        pen.line([(43, y), (33, y + 10)], 1.2, gold)
    for y in (20, 27):
        pen.rect(6, y, 94, y + 1.8, gold)
    for x in range(8, 92, 8):
        pen.line([(x, 28), (x + 4, 21), (x + 8, 28)], 1, gold)
    pen.poly([(34, 20), (38, 6), (42, 20)], gold)
    for x in (10, 88):
        pen.line([(38, 7), (x, 20)], 0.7, "#4a4a50")
    pen.rect(8, 28, 20, 38, "#6a6e75")
    pen.rect(44, 28, 51, 36, "#e9eef2")
    pen.line([(80, 28), (80, 62)], 0.8, "#33363c")
    pen.rect(72, 62, 88, 74, "#b5452f")


@emblem("wax-seal", "paper")
def _wax_seal(pen: Pen) -> None:
    for y in (12.0, 18.0, 24.0):
        pen.rect(12, y, 88 - (y % 5) * 6, y + 1.4, "#9a8f78")
    for s in (-1, 1):
        pen.poly([(50 + s * 4, 60), (50 + s * 24, 98), (50 + s * 12, 98), (50 - s * 2, 66)], "#a81b2a")
    for x, y in ring(50, 54, 25, 14):
        pen.disc(x, y, 6, "#c22436")
    pen.disc(50, 54, 26, "#c22436")
    pen.disc(50, 54, 20, "#a01828")
    pen.disc(50, 54, 18, "#b61f30")
    pen.star(50, 54, 13, "#8a1220", 5, 0.45)


def car(pen: Pen, body: Colour, roof: list[tuple[float, float]], low: float = 0) -> None:
    """Draw a car from the side; ``roof`` is the outline of the cabin, ``low`` drops the bonnet."""
    dark = mix(body, "#000000", 0.25)
    pen.oval(50, 86, 44, 3, "#33363c")
    pen.blob(roof, body)
    cx = sum(x for x, _ in roof) / len(roof)
    pen.blob([(cx + (x - cx) * 0.8, y + 2.6) for x, y in roof], "#bfe0ee")
    pen.rect(cx - 1.2, min(y for _, y in roof), cx + 1.2, 66, body)
    pen.blob(
        [(4, 72), (8, 64 + low), (26, 60 + low), (50, 60), (76, 60 + low / 2), (94, 64), (96, 76), (90, 81), (10, 81)],
        body,
    )
    pen.rect(7, 75, 94, 78, dark)
    pen.oval(9, 68 + low / 2, 3, 2, "#fbf3c0")
    pen.rect(92, 66, 95, 70, "#c22c2c")
    for x in (25, 76):
        pen.disc(x, 80, 9.6, "#1b1b1f")
        pen.disc(x, 80, 5.4, "#c9ced4")
        pen.star(x, 80, 5, "#7c858e", 5, 0.4)


@emblem("jaguar-car", "road")
def _jaguar_car(pen: Pen) -> None:
    car(pen, "#1f4d36", [(36, 62), (46, 48), (60, 45), (74, 50), (82, 62)])


@emblem("lotus-car", "road")
def _lotus_car(pen: Pen) -> None:
    car(pen, "#f2d21f", [(34, 64), (46, 56), (56, 54), (66, 58), (72, 64)], 4)


@emblem("polo-car", "road")
def _polo_car(pen: Pen) -> None:
    car(pen, "#3f7fc1", [(26, 62), (36, 44), (58, 41), (80, 43), (88, 60), (80, 64)])


@emblem("mercury-car", "dusk")
def _mercury_car(pen: Pen) -> None:
    car(pen, "#8c2f4a", [(34, 60), (42, 46), (56, 42), (70, 46), (88, 60)])
    pen.rect(10, 66, 92, 67.4, "#e9edf0")


@emblem("saturn-car", "road")
def _saturn_car(pen: Pen) -> None:
    car(pen, "#b9bec4", [(30, 62), (42, 48), (58, 46), (74, 49), (84, 61)])


@emblem("lincoln-car", "night")
def _lincoln_car(pen: Pen) -> None:
    car(pen, "#26262c", [(24, 62), (32, 50), (52, 48), (80, 50), (88, 62)])
    pen.rect(8, 68, 93, 69, "#d9dde2")


@emblem("polo-sport", "meadow")
def _polo_sport(pen: Pen) -> None:
    coat = "#6b3f22"
    for a, b in (((34, 64), (22, 88)), ((40, 66), (44, 90)), ((70, 64), (82, 86)), ((66, 66), (62, 90))):
        pen.line([a, b], 3.6, coat)
    pen.line([(78, 54), (88, 58), (90, 72)], 3, "#2a1a10", curved=True)
    pen.blob([(28, 54), (44, 52), (62, 52), (78, 52), (80, 62), (66, 68), (44, 68), (30, 66)], coat)
    pen.blob([(34, 64), (20, 44), (12, 46), (6, 50), (6, 44), (16, 34), (26, 32), (40, 52)], coat)
    pen.line([(56, 54), (50, 66)], 5, "#f4f1ea")
    pen.blob([(48, 54), (48, 38), (54, 32), (60, 38), (60, 54)], "#2f5da8")
    pen.disc(52, 26, 5, "#c88f63")
    pen.blob([(46, 25), (50, 18), (58, 21), (58, 26)], "#f4f1ea")
    pen.line([(52, 38), (38, 46), (24, 72)], 2, "#c88f63", curved=True)
    pen.line([(40, 42), (16, 90)], 1.4, "#d9b070")
    pen.line([(12, 88), (22, 93)], 3, "#d9b070")
    pen.disc(6, 92, 3, "#ffffff")
