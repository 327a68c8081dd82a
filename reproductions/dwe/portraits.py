"""Real portraits as pictures of mentions: alone, degraded, another photograph, and two or three people side by side.

A mention is a name that several of 756 people bear, in a sentence that says nothing about them; only the picture can
tell. People of training, validation and test share no name. Strangers in a composed picture bear another name.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

sys.path.append(str(Path(__file__).resolve().parent.parent / "robustness"))
from people import Person, ambiguous, chance, mention, read_people, split, write_people

from melink import progress
from melink.datasets.degrade import degraded, retaken
from melink.datasets.files import replacing
from melink.records import Labelled

SIDE: Final = 320
"""Height of a composed picture."""
POOR: Final = tuple(
    f"{how} {severity}" for how in ("blur", "pixelate", "noise", "small", "crop") for severity in (1, 2, 3)
)
CASES: Final = ("one", "two", "three", "second photograph", *POOR)
"""What test mentions are made for. ``two`` and ``three`` are people side by side."""
MODELS: Final = ("dlib", "hog")
"""Face models that are compared; each has a knowledge base of its own, since an index has one model."""
NOTHING: Final[dict[str, Any]] = {"objects": "none", "looks": False, "identity": "none"}
REGIONS: Final[dict[str, Any]] = {"objects": "regions", "regions": "regions", "looks": False}
SYSTEMS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "text alone": ("dlib", "dwe", NOTHING),
    "whole image": ("dlib", "dwe", {**NOTHING, "objects": "whole"}),
    "regions": ("dlib", "dwe", {**REGIONS, "identity": "none"}),
    "regions and faces": ("dlib", "dwe", {**REGIONS, "faces": "faces?model=dlib", "identity": "none"}),
    "regions, faces, identity": ("dlib", "dwe", {**REGIONS, "faces": "faces?model=dlib", "identity": "index"}),
    "regions, identity": ("dlib", "dwe", {**REGIONS, "identity": "index"}),
    "identity": ("dlib", "dwe", {**NOTHING, "identity": "index"}),
    "regions, faces, identity (hog)": ("hog", "dwe", {**REGIONS, "faces": "faces", "identity": "index"}),
    "identity, no shortcut": ("dlib", "dwe", {**NOTHING, "identity": "index", "shortcut": False}),
    "zeroshot: whole image with whole image": ("dlib", "zeroshot", {}),
}
"""Row → face model of the knowledge base, method, settings."""
SHORT: Final = {
    "regions, faces, identity": "all three",
    "regions, faces, identity (hog)": "all three (hog)",
    "zeroshot: whole image with whole image": "zeroshot, whole",
}
"""Row → what the plot calls it."""
PLAN: Final[dict[str, Any]] = {"epochs": 6, "batch": 64, "valid_mentions": 0, "checkpoint_every": 1000}


@dataclass(frozen=True)
class Sitters:
    """What one seed draws.

    Attributes:
        data: The shared data.
        folder: Where pictures are written.
        seed: Of everything that is drawn.
        quick: A seventh of the people and of the cases.
    """

    data: Path
    folder: Path
    seed: int
    quick: bool = False

    def people(self) -> list[Person]:
        """Return everybody in the knowledge base."""
        everybody = read_people(self.data)
        if not self.quick:
            return everybody
        groups = [own for own in ambiguous(everybody).values() if len(own) in (4, 5, 6)]
        return [person for own in groups for person in own]

    def parts(self) -> dict[str, list[tuple[str, Person]]]:
        """Return name and person for ``train``, ``valid`` and ``test``."""
        return split(ambiguous(self.people()), self.seed)

    def lessons(self, part: str) -> list[Labelled]:
        """Return mentions to train or validate on: one, two or three people."""
        made = []
        for name, person in self.parts()[part]:
            for count in (1, 2, 3):
                made.append(self._mention(name, person, f"{count}", count, part))
        return made

    def test(self) -> dict[str, list[Labelled]]:
        """Return test mentions by case."""
        found: dict[str, list[Labelled]] = {}
        asked = self.parts()["test"]
        cases = CASES if not self.quick else CASES[:6]
        with progress.task("portraits", len(cases), "cases") as advance:
            for case in cases:
                found[case] = [made for name, person in asked if (made := self._case(name, person, case)) is not None]
                advance(1)
        return found

    def _case(self, name: str, person: Person, case: str) -> Labelled | None:
        if case == "second photograph":
            made = mention(f"{person.id}-second", name, person, person.second, f"{person.id} {self.seed}")
            return made if person.second is not None else None
        count = {"one": 1, "two": 2, "three": 3}.get(case, 1)
        return self._mention(name, person, case, count, "test")

    def _mention(self, name: str, person: Person, case: str, count: int, part: str) -> Labelled:
        key = f"{person.id}-{part}-{case.replace(' ', '-')}-{self.seed}"
        file = self.folder / f"{key}.jpg"
        if not file.is_file():
            picture = self._composed(name, person, count, f"{person.id} {part} {self.seed}")
            if case in POOR:
                how, severity = case.split()
                other = self._other(name, key) if how == "small" else None
                poor = degraded(picture, how, int(severity), _number(key), other)
                assert poor is not None
                picture = poor
            with replacing(file) as out:
                picture.save(out, "JPEG", quality=90)
        return mention(key, name, person, file.absolute(), key)

    def _composed(self, name: str, person: Person, count: int, key: str) -> Image.Image:
        """Return a person among strangers, in any order, retaken: in other light and cut otherwise."""
        draw = random.Random(f"company {count} {key}")
        strangers = [each for each in self.people() if name not in each.names]
        company = [person, *draw.sample(strangers, count - 1)]
        draw.shuffle(company)
        shown = [retaken(Image.open(each.portrait), _number(f"{each.id} {key}")) for each in company]
        if count == 1:
            return shown[0]
        shown = [each.resize((max(1, round(SIDE * each.width / each.height)), SIDE)) for each in shown]
        sheet = Image.new("RGB", (sum(each.width for each in shown), SIDE))
        left = 0
        for each in shown:
            sheet.paste(each, (left, 0))
            left += each.width
        return sheet

    def _other(self, name: str, key: str) -> Image.Image:
        draw = random.Random(f"other {key}")
        scenes = sorted((self.data / "images" / "us_states").glob("*_skyline.jpg"))
        return Image.open(draw.choice(scenes)).convert("RGB")


def knowledge_base(sitters: Sitters, output: Path, model: str) -> Any:
    """Build the knowledge base of the people with an index of their faces, or open it."""
    from melink.features.face_index import turn_on
    from melink.kb.build import build
    from melink.kb.store import KnowledgeBase

    folder = output / f"portraits-{model}{'-quick' * sitters.quick}"
    if not (folder / "kb" / "faces.json").is_file():
        write_people(sitters.people(), sitters.data, folder)
        kb = build(folder / "kb", folder / "entities.jsonl", images=folder / "index.csv").kb
        turn_on(kb, "faces" if model == "hog" else f"faces?model={model}")
    return KnowledgeBase.open(folder / "kb")


def guessing(sitters: Sitters) -> float:
    """Return the expected Hits@1 of guessing among all who bear the name."""
    return chance(sitters.people(), sitters.parts()["test"])


def hits(ranks: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    """Return Hits@1 by case, and the mean over degraded copies."""
    found = {case: _share(own) for case, own in ranks.items()}
    poor = [rank for case, own in ranks.items() if case in POOR for rank in own]
    return {**found, "degraded": _share(poor)}


def _share(ranks: Sequence[float | None]) -> float:
    return sum(rank is not None and rank <= 1 for rank in ranks) / max(1, len(ranks))


def _number(words: str) -> int:
    return random.Random(words).getrandbits(32)
