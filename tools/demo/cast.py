"""Who is who: one line for each person and god of the demo."""

from __future__ import annotations

from emblems import emblem
from pen import Pen
from people import (
    BLACK,
    BROWN,
    DARK,
    FAIR,
    MARBLE,
    STONE,
    TAN,
    Bust,
    back_wings,
    bow,
    brimmed,
    bust,
    caduceus,
    cap,
    crown,
    glasses,
    globe,
    god,
    guitar_neck,
    halo,
    helmet,
    laurel,
    microphone,
    officer_cap,
    person,
    ruff,
    sickle,
    soft_cap,
    spear,
    stripes,
    tie,
    two_prongs,
    wings,
)

WHITE_HAIR, GREY, BLOND, CHESTNUT = "#f1efea", "#a9a6a2", "#ecc66a", "#5d3820"

person("michael-jordan", "stadium", Bust(DARK, "#c4202f", ""), stripes(BLACK))
person("michael-i-jordan", "#2f5d4a", Bust(FAIR, "#3a4a66", "short", GREY, "#e8eef5", "full"), glasses(BLACK))
person("michael-b-jordan", "#d9b98a", Bust(DARK, "#27313a", "short", BLACK, "", "jaw"))
person("chad-smith", "stage", Bust(FAIR, "#2e3338", "short", CHESTNUT), cap("#d7d7d7"))
person("freddie-mercury", "stage", Bust(TAN, "#f4c518", "short", BLACK, "#ffffff", "moustache"), microphone)
person("paris-hilton", "#f3a9c9", Bust(FAIR, "#ef5d9a", "long", "#f4dc95"), glasses("#4a2b3c", True))
person("george-washington", "#6b7f6a", Bust(FAIR, "#1f2f55", "wig", WHITE_HAIR, "#f7f4ee"))
person("denzel-washington", "#b8372f", Bust(BROWN, "#17191f", "short", BLACK, "#f2f2f2", "moustache"), tie("#17191f"))
person(
    "abraham-lincoln",
    "#b9a27c",
    Bust(FAIR, "#232326", "short", BLACK, "#f7f4ee", "jaw"),
    brimmed(24, 21, "#18181b", "#2b2b31"),
)
person("joaquin-phoenix", "#2f6f73", Bust(FAIR, "#2a2d33", "long", "#4a3a30", "", "full"))
person("bruno-mars", "stage", Bust(TAN, "#7a1230", "curls", BLACK), brimmed(12, 24, "#5d2a1c", "#e0b34a"), microphone)
person("venus-williams", "#3c8d5a", Bust(DARK, "#ffffff", "long", BLACK), cap("#f2f2f2"))
person("seal-singer", "stage", Bust(DARK, "#17171b", ""), microphone)
person("stephen-crane", "paper", Bust(FAIR, "#5b5246", "short", "#8a6238", "#efe9da", "moustache"))
person("taylor-swift", "#c9a3df", Bust(FAIR, "#d9c7ea", "fringe", BLOND), guitar_neck)
person("jonathan-swift", "#51412f", Bust(FAIR, BLACK, "wig", GREY, "#f7f4ee"))
person("queen-victoria", "#3d2b4a", Bust(FAIR, "#18161a", "bob", GREY, "#f3f0ea"), crown)
person("victoria-beckham", "#e7e1d8", Bust(FAIR, "#111214", "bob", "#4d2f1e"), glasses(BLACK, True))
person("marco-polo", "#2f7d8a", Bust(FAIR, "#8e2f2a", "long", "#6b4423", "#e2b45a", "full"), soft_cap("#c4912f", 18))
person("saint-martin-person", "#5b6ea8", Bust(FAIR, "#b3242b", "short", "#6b4a2a", "", "full"), halo)
person(
    "bacon-philosopher",
    "#3b4a3a",
    Bust(FAIR, "#221e20", "short", CHESTNUT, "", "full"),
    ruff,
    brimmed(16, 23, "#1d1b1d", "#3a3438"),
)
person("bacon-painter", "#d9772f", Bust(FAIR, "#30343a", "short", "#5b4636"))
person("mcqueen-actor", "road", Bust(FAIR, "#28354a", "short", "#c7a05a"), glasses("#2b2b2b", True))
person("mcqueen-director", "#22262b", Bust(DARK, "#3f4650", ""), glasses("#e8e4da"))
person("john-adams-president", "#8a2f3a", Bust(FAIR, "#5d4630", "wig", WHITE_HAIR, "#f7f4ee"))
person("john-adams-composer", "#d7dfe5", Bust(FAIR, "#2f3f5a", "short", WHITE_HAIR, "", "full"), glasses(BLACK))
person("hathaway-actress", "#b8212c", Bust(FAIR, "#f2f2f2", "long", "#3a221a"))
person("hathaway-wife", "paper", Bust(FAIR, "#5a4634", "bob", CHESTNUT), ruff)
person("collins-astronaut", "space", Bust(FAIR, "#eef1f4", "short", "#5d4630", "#3a6ea8"))
person(
    "collins-revolutionary", "#4a5a3a", Bust(FAIR, "#4d5a2f", "short", BLACK, "#3d4826"), tie("#39401f"), officer_cap
)
person("cardinal-cleric", "#caa76a", Bust(FAIR, "#b3121f", "short", WHITE_HAIR), soft_cap("#c4141f", 10))
person("bass-singer", "#7a1f2b", Bust(FAIR, "#141416", "short", GREY, "#ffffff", "full"), tie("#ffffff"))

god("mercury-god", "#7d6fb0", "curls", "", wings)
god("hermes-god", "#4d9a94", "curls", "", wings, caduceus)
god("mars-god", "#9a3b2c", "curls", "full", helmet("#b08a4a", "#c22c2c"), spear)
god("venus-goddess", "#d8879a", "long", "")
god("saturn-god", "#6e7a45", "long", "full", sickle)
god("pluto-god", "#2a2a38", "long", "full", two_prongs)
god("eros-god", "#e7a9b5", "curls", "", bow)
god("atlas-titan", "#b98a5a", "short", "full", globe)
god("titans-myth", "#52616b", "long", "full", laurel)
god("paris-troy", "#4f83b5", "curls", "", soft_cap("#a8442f", 20), bow)
god("ajax-hero", "#3d6e91", "short", "full", helmet("#c9a04a", "#2f5da8"), spear)
god("orion-hunter", "#3f5d3a", "short", "full", bow)


@emblem("nike-goddess", "#5f86b8")
def _nike_goddess(pen: Pen) -> None:
    back_wings(pen)
    bust(pen, Bust(MARBLE, STONE, "bob", STONE))
    laurel(pen)


@emblem("amazon-warrior", "desert")
def _amazon_warrior(pen: Pen) -> None:
    bust(pen, Bust(TAN, "#8a5a2f", "long", "#3a221a"))
    helmet("#b8863a", "#7a2f4a")(pen)
    spear(pen)
    pen.disc(22, 84, 18, "#b8863a")
    pen.disc(22, 84, 13, "#7a2f4a")
    pen.star(22, 84, 9, "#e6c068", 8, 0.5)


@emblem("pythia", "dusk")
def _pythia(pen: Pen) -> None:
    for x in (14, 30, 64, 80):
        pen.rect(x, 30, x + 7, 84, MARBLE)
        pen.rect(x + 4.5, 30, x + 7, 84, STONE)
    pen.rect(8, 84, 92, 92, STONE)
    pen.rect(8, 24, 92, 31, MARBLE)
    pen.poly([(6, 24), (50, 4), (94, 24)], STONE)
    pen.poly([(44, 84), (50, 66), (56, 84)], "#8a6a3a")
    pen.blob([(42, 78), (45, 56), (50, 50), (55, 56), (58, 78)], "#8a3b5a")
    pen.disc(50, 46, 5, TAN)
    for s in (-1, 1):
        pen.line([(50 + s * 5, 84), (50 + s * 9, 70), (50 + s * 5, 56), (50 + s * 10, 42)], 1.6, "#d9d0e0", curved=True)


@emblem("monty-python", "#e8a9b0")
def _monty_python(pen: Pen) -> None:
    for x, y, tone in ((26, 66, FAIR), (74, 66, "#e5b08a"), (50, 70, FAIR)):
        pen.blob([(x - 18, 104), (x - 13, 86), (x, 80), (x + 13, 86), (x + 18, 104)], "#2b2b30")
        pen.poly([(x - 5, 82), (x, 94), (x + 5, 82)], "#ffffff")
        pen.disc(x, y, 12, tone)
        pen.rect(x - 12, y - 12, x + 12, y - 8, "#18181b", 1.5)
        pen.blob([(x - 9, y - 10), (x - 8, y - 20), (x, y - 24), (x + 8, y - 20), (x + 9, y - 10)], "#18181b")
        pen.blob([(x - 7, y + 5), (x, y + 2.6), (x + 7, y + 5), (x, y + 6)], "#3a2a20")
        for s in (-4, 4):
            pen.disc(x + s, y - 2, 1.3, BLACK)
    gold = "#e0b030"
    pen.poly([(42, 10), (58, 10), (55, 22), (52, 26), (48, 26), (45, 22)], gold)
    pen.rect(49, 25, 51, 33, gold)
    pen.rect(44, 32, 56, 35, gold)
    pen.oval(50, 10, 8, 2, "#8a6a18")
