"""A small world of colliding names with drawn pictures, and links over it as a linker would give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from melink.evaluate.outcome import Outcome
from melink.evaluate.protocol import Protocol
from melink.records import NIL, Entity, Link, Mention, Scored, Triple


@dataclass(frozen=True)
class World:
    """Entities, judged links, and the folder with the pictures."""

    entities: dict[str, Entity]
    outcomes: list[Outcome]
    folder: Path


def _flag(path: Path, ground: str, draw: Callable[[ImageDraw.ImageDraw], None]) -> str:
    image = Image.new("RGB", (300, 200), ground)
    draw(ImageDraw.Draw(image))
    image.save(path)
    return str(path)


def _georgia(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((130, 0, 170, 200), "#d00")
    pen.rectangle((0, 80, 300, 120), "#d00")
    for x in (60, 215):
        for y in (30, 145):
            pen.rectangle((x, y, x + 26, y + 26), "#d00")


def _state(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((0, 66, 300, 133), "white")
    pen.rectangle((0, 0, 120, 133), "#123a7a")
    pen.ellipse((30, 35, 90, 95), outline="white", width=6)


def _circle(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((90, 40, 210, 160), "#555", outline="#111", width=5)


def _metal(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((60, 110, 240, 160), "#c9ced6")
    pen.ellipse((110, 60, 160, 100), "#c9ced6")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("pictures")
    georgia = _flag(folder / "georgia.png", "white", _georgia)
    state = _flag(folder / "state.png", "#b01030", _state)
    planet = _flag(folder / "planet.png", "#10131c", _circle)
    metal = _flag(folder / "metal.png", "#39404d", _metal)
    (folder / "broken.png").write_bytes(b"\x89PNG not a picture")
    capital = Triple("P36", "Q994", relation_label="capital", tail_label="Tbilisi")
    entities = [
        Entity("Q230", "Georgia", ("Sakartvelo",), "country in the Caucasus", triples=(capital,), images=(georgia,)),
        Entity("Q1428", "Georgia", ("Peach State",), "state in the south-east of the United States", images=(state,)),
        Entity("g-font", "Georgia", (), "serif typeface designed for screens", types=("typeface",)),
        Entity("Q308", "Mercury", (), "innermost planet of the Solar System", images=(planet,)),
        Entity("Q925", "Mercury", ("quicksilver",), "chemical element with symbol Hg", images=(metal,)),
        Entity("Q1150", "Mercury", (), "Roman god of trade", images=(str(folder / "broken.png"),)),
    ]
    return World({entity.id: entity for entity in entities}, _outcomes(folder), folder)


def _said(id: str, text: str, surface: str, image: Path | None = None) -> Mention:
    start = text.index(surface)
    return Mention(id, text, surface, start, start + len(surface), str(image) if image else None)


def _scored(id: str, label: str, sources: dict[str, int] | None = None, **parts: float) -> Scored:
    evidence = {"matched_name": label, "name_similarity": 1.0}
    return Scored(id, label, round(sum(parts.values()), 5), parts, evidence, sources or {"names": 1})


def _outcomes(folder: Path) -> list[Outcome]:
    cases = [
        _by_image(folder),
        _by_fact(folder),
        _wrong_text(),
        _near(folder),
        _nil(),
        _missed(folder),
        _false_nil(folder),
    ]
    return [*cases, _no_gold(folder)]


def _by_image(folder: Path) -> Outcome:
    mention = _said(
        "image-1", "The team from Georgia carried its colours into the stadium.", "Georgia", folder / "georgia.png"
    )
    country = _scored("Q230", "Georgia (country)", name=0.5, text=0.08, image=0.41)
    state = _scored("Q1428", "Georgia (US state)", name=0.5, text=0.21, image=0.06)
    font = _scored("g-font", "Georgia (typeface)", name=0.5, text=-0.04)
    return Outcome(mention, "Q230", True, 1.0, 12, Link(mention, (country, state, font), False, 0.86), country, 0.01)


def _by_fact(folder: Path) -> Outcome:
    mention = _said(
        "fact-1", "Trains leave Tbilisi, the capital of Georgia, twice a day.", "Georgia", folder / "nowhere.png"
    )
    country = _scored("Q230", "Georgia (country)", name=0.5, text=0.22, triples=0.24)
    country = Scored(**{**_fields(country), "evidence": {"matched_triples": ["capital: Tbilisi"]}})
    state = _scored("Q1428", "Georgia (US state)", name=0.5, text=0.24, triples=0.0)
    return Outcome(mention, "Q230", True, 1.0, 9, Link(mention, (country, state), False, 0.93), country, 0.02)


def _fields(scored: Scored) -> dict[str, object]:
    names = ("id", "label", "score", "parts", "evidence", "sources")
    return {name: getattr(scored, name) for name in names}


def _wrong_text() -> Outcome:
    mention = _said("text-1", "Set in Georgia, the report looked sharp on every screen.", "Georgia")
    state = _scored("Q1428", "Georgia (US state)", name=0.5, text=0.34)
    font = _scored("g-font", "Georgia (typeface)", name=0.5, text=0.12)
    return Outcome(mention, "g-font", True, 2.0, 12, Link(mention, (state, font), False, 0.61), font, 0.01)


def _near(folder: Path) -> Outcome:
    mention = _said("near-1", "Mercury shone low in the west after sunset.", "Mercury", folder / "planet.png")
    metal = _scored("Q925", "Mercury (element)", name=0.5, text=0.3, image=0.1, text_image=0.05)
    planet = _scored("Q308", "Mercury (planet)", {"names": 2, "lexical": 4}, name=0.5, text=0.24, image=0.2)
    god = _scored("Q1150", "Mercury (god)", name=0.5, text=0.1)
    return Outcome(mention, "Q308", True, 2.0, 31, Link(mention, (metal, planet, god), False, 0.4), planet, 0.01)


def _nil() -> Outcome:
    mention = _said("nil-1", "Her dog Mercury won the village show.", "Mercury")
    link = Link(
        mention, (_scored("Q1150", "Mercury (god)", name=0.5, text=0.02),), True, 0.81, {"nil_probability": 0.81}
    )
    return Outcome(mention, NIL, False, None, 31, link, None, 0.01)


def _missed(folder: Path) -> Outcome:
    mention = _said("miss-1", "Sakartvelo beat the visitors by two goals.", "Sakartvelo", folder / "georgia.png")
    link = Link(mention, (_scored("Q1428", "Georgia (US state)", name=0.1, text=0.3, image=0.05),), False, 0.3)
    country = _scored("Q230", "Georgia (country)", {}, name=0.5, text=0.3, image=0.4)
    return Outcome(mention, "Q230", True, None, 1, link, country, 0.01)


def _false_nil(folder: Path) -> Outcome:
    mention = _said("nil-2", "Drops of Mercury rolled across the floor.", "Mercury", folder / "metal.png")
    metal = _scored("Q925", "Mercury (element)", name=0.5, text=0.1, image=0.3)
    link = Link(mention, (metal,), True, 0.55, {"nil_probability": 0.55})
    return Outcome(mention, "Q925", True, 1.0, 31, link, metal, 0.01)


def _no_gold(folder: Path) -> Outcome:
    mention = Mention("none-1", "A god with winged sandals.", "Mercury", image=str(folder / "broken.png"))
    god = _scored("Q1150", "Mercury (god)", name=0.4)
    return Outcome(mention, None, False, None, 31, Link(mention, (god,)), None)


@pytest.fixture
def protocol() -> Protocol:
    return Protocol(
        candidates=31, kb_size=6, kb_hash="9f" * 32, entity_text_source="label+description", split_file="valid.jsonl",
        split_hash="ab" * 32, method="zeroshot", generators=("names", "lexical"), kb_version=3, seeds=(7,),
        encoders={"minilm": "c0ffee12"}, weights={"name": 1.0, "image": 0.5},
    )  # fmt: skip
