"""Mentions of one seed with their pictures: to train on, to validate on, and to test on at every severity."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from people import Person, mention
from PIL import Image

from melink import progress
from melink.datasets.degrade import SEVERITIES, degraded, replaced, retaken
from melink.datasets.files import replacing
from melink.records import Labelled

CONDITIONS: Final = {
    "blur": "blur", "pixelate": "pixelate", "noise": "noise", "small": "small", "crop": "crop", "cover": "cover",
    "person": "swap", "place": "swap", "none": "drop",
}  # fmt: skip
"""Condition → how :mod:`melink.datasets.degrade` makes it; ``person`` and ``place`` differ in what is swapped in."""
FAMILIES: Final = {
    "low quality": ("blur", "pixelate", "noise"),
    "low value": ("small", "crop", "cover"),
    "low relevance": ("person", "place"),
    "no picture": ("none",),
}
CLEAN: Final = "clean/0"
SECOND: Final = "second/0"


@dataclass(frozen=True)
class Sheets:
    """What one seed draws.

    Attributes:
        people: Everybody in the knowledge base.
        scenes: Pictures without people in the foreground.
        parts: Name and person for ``train``, ``valid`` and ``test``.
        folder: Where pictures are written.
        seed: Of everything that is drawn.
        repeats: Mentions of each person in training.
        severities: Above 0, that are tested.
    """

    people: Sequence[Person]
    scenes: Sequence[Path]
    parts: dict[str, list[tuple[str, Person]]]
    folder: Path
    seed: int
    repeats: int = 4
    severities: tuple[int, ...] = SEVERITIES[1:]

    @cached_property
    def test(self) -> dict[str, list[Labelled]]:
        """Mentions for testing by ``condition/severity``; :data:`SECOND` holds those with a second picture only."""
        found: dict[str, list[Labelled]] = {CLEAN: [], SECOND: []}
        with progress.task(f"test pictures, seed {self.seed}", len(self.parts["test"]), "people") as advance:
            for name, person in self.parts["test"]:
                found[CLEAN].append(self._made(name, person, "blur", 0, "test"))
                if person.second is not None:
                    found[SECOND].append(mention(f"{person.id}-second", name, person, person.second, self._key(person)))
                for case in self.cases():
                    condition, severity = case.split("/")
                    own = self._made(name, person, condition, int(severity), "test")
                    found.setdefault(case, []).append(own)
                advance(1)
        return found

    def cases(self) -> Iterator[str]:
        """Yield ``condition/severity`` of all but the clean pictures."""
        yield from (f"{condition}/{severity}" for condition in CONDITIONS for severity in self.severities)

    def lessons(self, part: str, mixed: bool) -> list[Labelled]:
        """Return mentions of ``train`` or ``valid``.

        Args:
            part: Which.
            mixed: Make pictures poor, each by a condition and a severity drawn evenly; else leave them good.
        """
        found = []
        for name, person in self.parts[part]:
            for repeat in range(self.repeats if part == "train" else 1):
                key = f"{part}{repeat}"
                draw = random.Random(f"lesson {self._key(person)} {key}")
                condition, severity = draw.choice(list(CONDITIONS)), draw.choice((0, *self.severities))
                found.append(self._made(name, person, condition, severity if mixed else 0, key))
        return found

    def _made(self, name: str, person: Person, condition: str, severity: int, key: str) -> Labelled:
        image = self._picture(person, condition, severity, key)
        id = f"{person.id}-{key}-{condition}-{severity}"
        return mention(id, name, person, image, f"{self._key(person)} {key}")

    def _key(self, person: Person) -> str:
        return f"{person.id} {self.seed}"

    def _picture(self, person: Person, condition: str, severity: int, key: str) -> Path | None:
        """Write a mention's picture, unless it is there, and return its path."""
        drawn, how = f"{self._key(person)} {key}", CONDITIONS[condition]
        if how in ("swap", "drop") and not replaced(how, severity, hash_of(drawn)):
            severity = 0
        elif how == "drop":
            return None
        file = self.folder / f"{person.id}-{key}-{condition if severity else 'clean'}-{severity}.jpg"
        if not file.is_file():
            other = self._other(person, condition, drawn) if how in ("small", "cover", "swap") else None
            poor = degraded(_good(person.portrait, hash_of(drawn)), how, severity, hash_of(drawn), other)
            assert poor is not None
            with replacing(file) as out:
                poor.save(out, "JPEG", quality=90)
        return file.absolute()

    def _other(self, person: Person, condition: str, drawn: str) -> Image.Image:
        draw = random.Random(f"other {condition} {drawn}")
        if condition == "person":
            stranger = draw.choice([each for each in self.people if each.id != person.id])
            return retaken(Image.open(stranger.portrait), hash_of(drawn))
        return Image.open(draw.choice(list(self.scenes))).convert("RGB")


@lru_cache(8)
def _good(portrait: Path, seed: int) -> Image.Image:
    """Return a portrait as a mention shows it at severity 0."""
    return retaken(Image.open(portrait), seed)


def hash_of(words: str) -> int:
    """Return a number that depends on words alone."""
    return random.Random(words).getrandbits(32)


def scenes(data: Path) -> list[Path]:
    """Return skylines and landmarks."""
    folder = data / "images"
    return [*sorted(folder.glob("us_states/*_skyline.jpg")), *sorted(folder.glob("landmarks/*.jpg"))]
