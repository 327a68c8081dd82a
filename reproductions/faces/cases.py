"""Pictures of the study: of one person, of a person among others, poor ones, and another photograph."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "robustness"))

from people import Person
from sheets import hash_of

from melink import progress
from melink.datasets.degrade import degraded, retaken
from melink.datasets.files import replacing

POOR: Final = {"low quality": ("blur", "pixelate", "noise"), "low value": ("small", "crop", "cover")}
HEIGHT: Final = 224
"""Of a portrait in a row of several, in pixels."""


@dataclass(frozen=True)
class Asked:
    """A mention: a name that several bear, a picture, and who is meant.

    Attributes:
        id: Who is meant.
        bearers: Ids of all who bear the name, whom words alone cannot tell apart.
        picture: Where the picture is.
    """

    id: str
    bearers: tuple[str, ...]
    picture: Path


@dataclass
class Cases:
    """Mentions of one seed, by case: ``people/1`` to ``people/3``, ``second/0``, and ``blur/1`` and so on.

    Args:
        everybody: The people of the knowledge base.
        names: Name → those who bear it.
        scenes: Pictures without people in the foreground.
        folder: Where pictures are written.
        seed: Of everything that is drawn.
        count: How many people are drawn.
        severities: Of poor pictures.
    """

    everybody: Sequence[Person]
    names: dict[str, list[Person]]
    scenes: Sequence[Path]
    folder: Path
    seed: int
    count: int
    severities: Sequence[int] = (1, 2, 3, 4)
    asked: dict[str, list[Asked]] = field(default_factory=dict)

    def make(self) -> dict[str, list[Asked]]:
        """Write the pictures that are not there yet, and return the mentions."""
        pairs = [(name, person) for name, own in self.names.items() for person in own]
        drawn = random.Random(f"faces {self.seed}").sample(pairs, min(self.count, len(pairs)))
        ways = [way for family in POOR.values() for way in family]
        with progress.task(f"pictures, seed {self.seed}", len(drawn), "people") as advance:
            for name, person in drawn:
                bearers = tuple(each.id for each in self.names[name])
                for people in (1, 2, 3):
                    self._add(f"people/{people}", person, bearers, self._row(person, bearers, people))
                for way in ways:
                    for severity in self.severities:
                        self._add(f"{way}/{severity}", person, bearers, self._poor(person, way, severity))
                advance(1)
        return self.asked

    def second(self) -> list[Asked]:
        """Return everybody with another photograph; whose name nobody shares has nobody to be confused with."""
        named = {each.id: tuple(other.id for other in own) for own in self.names.values() for each in own}
        every = [person for person in self.everybody if person.second is not None]
        return [Asked(each.id, named.get(each.id, (each.id,)), each.second) for each in every if each.second]

    def _add(self, case: str, person: Person, bearers: tuple[str, ...], picture: Path) -> None:
        self.asked.setdefault(case, []).append(Asked(person.id, bearers, picture))

    def _row(self, person: Person, bearers: tuple[str, ...], people: int) -> Path:
        """Return a picture in which so many people stand side by side; the others bear other names."""
        key = f"row {person.id} {self.seed}"
        draw = random.Random(key)
        strangers = [each for each in self.everybody if each.id not in bearers]
        row = [person, *draw.sample(strangers, 2)][:people]  # the same strangers in a pair and in a row of three
        random.Random(f"order {key} {people}").shuffle(row)
        file = self.folder / f"{person.id}-{self.seed}-people-{people}.jpg"
        if not file.is_file():
            shown = [retaken(_opened(each.portrait), hash_of(f"{key} {each.id}")) for each in row]
            sized = [each.resize((round(each.width * HEIGHT / each.height), HEIGHT)) for each in shown]
            whole = Image.new("RGB", (sum(each.width for each in sized), HEIGHT))
            left = 0
            for each in sized:
                whole.paste(each, (left, 0))
                left += each.width
            _save(whole, file)
        return file

    def _poor(self, person: Person, way: str, severity: int) -> Path:
        file = self.folder / f"{person.id}-{self.seed}-{way}-{severity}.jpg"
        if not file.is_file():
            key = f"poor {person.id} {self.seed}"
            scene = _opened(random.Random(f"scene {key}").choice(list(self.scenes)))
            good = retaken(_opened(person.portrait), hash_of(key))
            poor = degraded(good, way, severity, hash_of(key), scene)
            assert poor is not None
            _save(poor, file)
        return file


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _save(picture: Image.Image, file: Path) -> None:
    with replacing(file) as out:
        picture.save(out, "JPEG", quality=90)
