"""Goods, brands without their logos, and screens of programming languages."""

from __future__ import annotations

from collections.abc import Callable

from emblems import emblem
from pen import Colour, Pen, mix, ring

BLACK = "#1b1b1f"


def code(pen: Pen, paper: Colour, bar: Colour, inks: tuple[Colour, ...], badge: str) -> None:
    """Draw an editor window: coloured lines of code, and a plain badge at the right bottom."""
    pen.rect(8, 14, 92, 86, paper, 4)
    pen.rect(8, 14, 92, 24, bar, 3)
    for i in range(3):
        pen.disc(14 + i * 6, 19, 1.8, mix(bar, "#ffffff", 0.6))
    indents = (0, 1, 2, 2, 1, 2, 0, 1)
    for i, indent in enumerate(indents):
        x = 14 + indent * 7
        for k in range(2 + i % 2):
            wide = 8 + (i * 7 + k * 5) % 12
            pen.rect(x, 30 + i * 6.8, x + wide, 33 + i * 6.8, inks[(i + k) % len(inks)], 1.4)
            x += wide + 3
    pen.disc(76, 70, 18, bar)
    BADGES[badge](pen, mix(inks[0], "#ffffff", 0.75))


def _bean(pen: Pen, ink: Colour) -> None:
    pen.oval(76, 70, 11, 7.4, ink, -35)
    pen.line([(68, 76), (74, 72), (77, 68), (84, 64)], 1.6, "#7a3f14", curved=True)


def _nut(pen: Pen, ink: Colour) -> None:
    pen.poly(ring(76, 70, 12, 6), ink)
    pen.disc(76, 70, 6, "#8a4a22")


BADGES: dict[str, Callable[[Pen, Colour], None]] = {
    "coil": lambda pen, ink: pen.line(
        [(68, 80), (84, 78), (80, 71), (70, 69), (70, 61), (84, 60)], 3.4, ink, curved=True
    ),
    "bean": _bean,
    "gem": lambda pen, ink: pen.poly([(64, 67), (70, 60), (82, 60), (88, 67), (76, 82)], ink),
    "bird": lambda pen, ink: pen.line([(63, 64), (71, 65), (76, 72), (81, 65), (89, 64)], 3, ink, curved=True),
    "nut": _nut,
    "play": lambda pen, ink: pen.poly([(70, 60), (86, 70), (70, 80)], ink),
}


def language(name: str, behind: str, paper: Colour, bar: Colour, inks: tuple[Colour, ...], badge: str) -> None:
    """Register the editor window of a programming language."""
    emblem(name, behind)(lambda pen: code(pen, paper, bar, inks, badge))


language("python-code", "#34526e", "#17283a", "#2f5f8f", ("#f4cf4a", "#6aa6dc", "#dfe7ee"), "coil")
language("java-code", "#d98a4a", "#fdf8f2", "#b5561c", ("#e8772e", "#3f6f9f", "#8a8f96"), "bean")
language("ruby-code", "#8a1f2f", "#2a0d14", "#b31f36", ("#f0697f", "#f3b0ba", "#d93a55"), "gem")
language("swift-code", "#f3a04a", "#241c1a", "#e8602a", ("#ff9a5a", "#ffd0a8", "#d96bb0"), "bird")
language("rust-code", "#4a3a30", "#1f1a17", "#8a4a22", ("#d98a52", "#c9b8a4", "#a86a3f"), "nut")
language("go-code", "#8fd5e6", "#f4fbfd", "#2fa6c4", ("#2fa6c4", "#5f7f8a", "#e0719a"), "play")


@emblem("laptop", "desk")
def _laptop(pen: Pen) -> None:
    pen.rect(20, 22, 80, 66, "#2b2e33", 3)
    for i in range(19):
        pen.rect(23, 25 + i * 2, 77, 27.2 + i * 2, mix("#5aa2ea", "#c48fe0", i / 18))
    pen.poly([(8, 72), (18, 66), (82, 66), (92, 72), (92, 76), (8, 76)], "#cfd4d9")
    pen.rect(8, 75, 92, 78, "#9aa2aa", 1)
    pen.rect(42, 70, 58, 73.6, "#b5bcc3", 1)
    pen.rect(70, 50, 86, 84, "#1f2126", 3)
    pen.rect(71.6, 53, 84.4, 80, "#e9eef4", 1)


@emblem("desktop-windows", "#1f5fa8")
def _desktop_windows(pen: Pen) -> None:
    pen.rect(12, 16, 88, 72, "#22262c", 2)
    pen.rect(15, 19, 85, 69, "#3aa0e0")
    pen.rect(21, 25, 58, 52, "#f7fafc", 1)
    pen.rect(21, 25, 58, 30, "#2f6fc0")
    pen.rect(42, 36, 78, 62, "#fdfdfd", 1)
    pen.rect(42, 36, 78, 41, "#e0862f")
    for y in (45, 50, 55):
        pen.rect(46, y, 70, y + 2, "#b5c2cc")
    pen.rect(15, 65, 85, 69, "#1c3f63")
    pen.rect(44, 72, 56, 82, "#8a929b")
    pen.rect(32, 82, 68, 86, "#aab2ba", 1)


@emblem("terminal", "#20262e")
def _terminal(pen: Pen) -> None:
    pen.rect(8, 16, 92, 84, "#0b0f12", 4)
    pen.rect(8, 16, 92, 25, "#3b444e", 3)
    for i, (wide, ink) in enumerate(
        ((30, "#8be08b"), (54, "#d7dee4"), (42, "#d7dee4"), (22, "#8be08b"), (60, "#d7dee4"))
    ):
        y = 33 + i * 9
        pen.line([(14, y - 2), (17, y), (14, y + 2)], 1, "#f2c84b")
        pen.rect(21, y - 1.4, 21 + wide, y + 1.4, ink, 1)
    pen.rect(21, 75, 25, 80, "#8be08b")


@emblem("database", "#5a1a1a")
def _database(pen: Pen) -> None:
    for i, y in enumerate((72, 52, 32)):
        tone = mix("#d9432f", "#f3b0a0", i * 0.2)
        pen.rect(24, y, 76, y + 14, tone)
        pen.oval(50, y + 14, 26, 7, tone)
        pen.oval(50, y, 26, 7, mix(tone, "#ffffff", 0.45))
        pen.disc(68, y + 10, 1.8, "#ffe9c0")


@emblem("parcel", "#e9d9bd")
def _parcel(pen: Pen) -> None:
    pen.poly([(12, 40), (50, 54), (50, 92), (12, 76)], "#c49458")
    pen.poly([(88, 40), (50, 54), (50, 92), (88, 76)], "#a87a42")
    pen.poly([(12, 40), (50, 26), (88, 40), (50, 54)], "#deb47a")
    pen.poly([(26, 45), (64, 31), (74, 35), (36, 49)], "#2b3440")
    pen.poly([(26, 45), (36, 49), (36, 62), (26, 58)], "#232b36")
    pen.rect(60, 64, 78, 74, "#f4f1ea")


@emblem("chocolate-bar", "#f0d9b0")
def _chocolate_bar(pen: Pen) -> None:
    for i in range(4):
        for j in range(3):
            x, y = 20 + j * 20, 8 + i * 16
            pen.rect(x, y, x + 19, y + 15, "#5a2f1a", 1)
            pen.rect(x + 2.4, y + 2.4, x + 16.6, y + 12.6, "#6f3d22", 1)
    pen.poly([(16, 44), (30, 50), (44, 44), (58, 50), (72, 44), (84, 50), (84, 94), (16, 94)], "#c22c2c")
    pen.rect(16, 66, 84, 76, "#f2c84b")


@emblem("game-console", "#2c2c34")
def _game_console(pen: Pen) -> None:
    pen.oval(50, 42, 40, 20, "#17171b")
    pen.oval(50, 38, 38, 17, "#2f2f37")
    pen.rect(36, 22, 64, 44, "#17171b", 2)
    pen.rect(40, 14, 60, 36, "#8a1f24", 2)
    pen.rect(24, 64, 76, 92, "#3b3b44", 8)
    pen.rect(36, 69, 39, 83, "#d7d7dc")
    pen.rect(30.5, 74.5, 44.5, 77.5, "#d7d7dc")
    for x in (58, 64, 70):
        pen.disc(x, 74, 2.6, "#d9432f")
    for i in range(6):
        pen.disc(54 + i % 3 * 6, 82 + i // 3 * 5, 1.4, "#d7d7dc")


def record(name: str, behind: str, label: Colour, dot: Colour) -> None:
    """Register a long-playing record with a plain label."""

    def draw(pen: Pen) -> None:
        pen.disc(50, 50, 43, "#131316")
        for r in range(38, 18, -4):
            pen.arc(50, 50, r, r, (0, 360), 0.5, "#34343b")
        for turn in (30, 210):
            pen.arc(50, 50, 31, 31, (turn, turn + 34), 8, "#2a2a31")
        pen.disc(50, 50, 16, label)
        pen.disc(50, 50, 10, dot)
        pen.disc(50, 50, 2, "#f4f1ea")

    emblem(name, behind)(draw)


record("apple-records", "#d7e3cf", "#4f9a3a", "#a7d07a")
record("mercury-records", "#d9d2e3", "#c22c3a", "#f2c84b")


@emblem("running-shoe", "#e9773a")
def _running_shoe(pen: Pen) -> None:
    pen.blob(
        [(8, 62), (14, 42), (24, 46), (34, 40), (44, 46), (62, 58), (86, 62), (94, 72), (92, 80), (50, 80), (10, 80)],
        "#f6f8fa",
    )
    pen.blob([(8, 76), (50, 75), (94, 74), (95, 82), (80, 87), (12, 87)], "#23262c")
    pen.blob([(10, 60), (14, 44), (24, 48), (26, 62), (14, 66)], "#2f6fc0")
    for i in range(4):
        pen.line([(38 + i * 6, 44 + i * 3.6), (34 + i * 6, 52 + i * 3)], 1.6, "#2f6fc0")
    pen.blob([(78, 62), (90, 64), (94, 72), (86, 75), (76, 74)], "#2f6fc0")


@emblem("handbag", "#f0e2cc")
def _handbag(pen: Pen) -> None:
    pen.arc(50, 42, 18, 26, (180, 360), 4, "#8a3f14")
    pen.poly([(20, 40), (80, 40), (88, 90), (12, 90)], "#d96a1f")
    pen.poly([(20, 40), (80, 40), (81.6, 52), (18.4, 52)], "#b5561c")
    pen.rect(42, 36, 58, 56, "#b5561c", 2)
    pen.rect(46, 48, 54, 58, "#e6c14f", 1)
    for x in (24, 76):
        pen.disc(x, 86, 1.6, "#e6c14f")


@emblem("football-club", "stadium")
def _football_club(pen: Pen) -> None:
    pen.poly(
        [
            (28, 22),
            (12, 36),
            (22, 48),
            (30, 42),
            (30, 84),
            (70, 84),
            (70, 42),
            (78, 48),
            (88, 36),
            (72, 22),
            (58, 20),
            (42, 20),
        ],
        "#f7f7f5",
    )
    pen.rect(41, 20, 59, 84, "#c8202e")
    pen.arc(50, 20, 8, 6, (0, 180), 2, "#c8202e")
    pen.disc(80, 80, 13, "#f7f7f5")
    for x, y in [(80, 80), *ring(80, 80, 9.6, 5)]:
        pen.disc(x, y, 3, "#1b1b1f")


@emblem("gold-coin", "#24303f")
def _gold_coin(pen: Pen) -> None:
    for x, y in ((54.0, 56.0), (50.0, 50.0)):
        pen.disc(x, y, 36, "#a87a1a")
        pen.disc(x, y, 33, "#e8bd45")
    for x, y in ring(50, 50, 30.6, 36):
        pen.disc(x, y, 0.9, "#a87a1a")
    pen.blob(
        [(42, 70), (46, 60), (40, 52), (40, 40), (50, 30), (60, 36), (60, 46), (63, 51), (59, 54), (58, 62), (62, 70)],
        "#c4952a",
    )
    pen.arc(50, 36, 10, 6, (180, 340), 2, "#8a6414")


@emblem("airliner", "clouds")
def _airliner(pen: Pen) -> None:
    pen.poly([(44, 54), (20, 84), (30, 84), (60, 58)], "#8a98a6")
    pen.blob([(6, 46), (14, 42), (60, 42), (92, 44), (98, 50), (92, 56), (50, 58), (14, 54)], "#f7f9fb")
    pen.poly([(8, 46), (2, 22), (12, 22), (26, 44)], "#b3202e")
    pen.poly([(46, 46), (34, 26), (42, 26), (62, 45)], "#c9d2da")
    pen.line([(10, 52), (92, 52)], 1.6, "#1f3f7a")
    for x in range(26, 86, 6):
        pen.disc(x, 47.6, 1.1, "#3b4f66")
    pen.oval(44, 64, 5, 3, "#6a7682")


@emblem("river-delta", "#2f86b5")
def _river_delta(pen: Pen) -> None:
    pen.poly([(0, 0), (100, 0), (100, 60), (82, 74), (66, 70), (50, 80), (34, 70), (18, 74), (0, 60)], "#7fae54")
    pen.line([(56, 0), (46, 14), (52, 28)], 6, "#2f86b5", curved=True)
    for x in (14, 34, 52, 70, 88):
        pen.line([(52, 28), ((52 + x) / 2 + 3, 48), (x, 86)], 3.6, "#2f86b5", curved=True)
    for x in (24, 62):
        pen.line([((52 + x) / 2, 50), (x + 2, 84)], 2.2, "#2f86b5", curved=True)
    for x, y in ((20, 18), (82, 22), (30, 34), (74, 46), (14, 44)):
        pen.disc(x, y, 3.4, "#4f8a35")


@emblem("yoga-lotus", "#a7d0b8")
def _yoga_lotus(pen: Pen) -> None:
    pen.oval(50, 88, 42, 5, "#6b4f9a")
    pen.blob([(38, 80), (38, 56), (34, 46), (42, 38), (58, 38), (66, 46), (62, 56), (62, 80)], "#3f8a9a")
    for s in (-1, 1):
        pen.line([(50 + s * 14, 44), (50 + s * 24, 60), (50 + s * 30, 74)], 5, "#c88f63", curved=True)
        pen.line([(50 + s * 6, 80), (50 + s * 34, 78), (50 - s * 8, 86)], 8, "#2f4a6b", curved=True)
    pen.rect(46, 30, 54, 42, "#b57c52")
    pen.disc(50, 23, 9, "#c88f63")
    pen.blob([(40, 22), (44, 12), (50, 7), (56, 12), (60, 22), (50, 17)], "#2a1a14")


@emblem("atlas-book", "#6f8a5a")
def _atlas_book(pen: Pen) -> None:
    pen.poly([(6, 28), (50, 34), (50, 86), (6, 80)], "#f3ecd8")
    pen.poly([(94, 28), (50, 34), (50, 86), (94, 80)], "#e6dcc2")
    pen.poly([(10, 32), (47, 37), (47, 80), (10, 75)], "#9fcbe0")
    pen.poly([(90, 32), (53, 37), (53, 80), (90, 75)], "#9fcbe0")
    pen.blob([(16, 42), (26, 40), (34, 46), (30, 54), (34, 62), (28, 70), (22, 60), (16, 52)], "#8fb35a")
    pen.blob([(58, 48), (70, 40), (84, 42), (86, 52), (76, 56), (70, 68), (62, 60)], "#d9b45a")
    pen.line([(50, 34), (50, 86)], 1.2, "#a89a78")
