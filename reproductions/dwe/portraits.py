"""Real portraits as pictures of mentions: alone, degraded, another photograph, and two or three people side by side.

A mention is a name that several of 756 people bear, in a sentence that says nothing about them; only the picture can
tell. In the test it is a surname; training and validation are on other people, by the first names that they share.
Strangers in a composed picture bear another name.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

sys.path += [str(Path(__file__).resolve().parent.parent / name) for name in ("robustness", "faces")]
from people import Person, ambiguous, chance, mention, read_people, write_people

from melink import progress
from melink.datasets.degrade import degraded, retaken
from melink.datasets.files import replacing
from melink.records import Labelled

SIDE: Final = 320
"""Height of a composed picture."""
POOR: Final = tuple(
    f"{how} {severity}" for how in ("blur", "pixelate", "noise", "small", "crop") for severity in (1, 2, 3)
)
SECOND: Final = "second photograph"
CASES: Final = ("one", "two", "three", SECOND, *POOR)
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
    "regions with regions": ("hog", "", {}),
}
"""Row → face model of the knowledge base, method, settings; the last is no method, but :func:`by_regions`."""
TRAINED: Final = 0.8
"""Of the people who are called by a first name, as names are drawn; the rest is validated on."""
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
        surnames, firsts = (list(own.values()) for own in _called(everybody))
        return [person for own in (*surnames[::6], *firsts[::6]) for person in own]

    def parts(self) -> dict[str, list[tuple[str, Person]]]:
        """Return name and person for ``train``, ``valid``, ``test`` and ``second``.

        The first three have no name in common. ``second`` are all with another photograph, by whatever name others
        bear; nobody of a name of theirs is trained on.
        """
        surnames, firsts = _called(self.people())
        kept = {name for name, own in firsts.items() if any(person.second is not None for person in own)}
        rest, found = [name for name in firsts if name not in kept], dict[str, list[tuple[str, Person]]]()
        random.Random(f"split {self.seed}").shuffle(rest)
        many = sum(len(firsts[name]) for name in rest)
        found = {"train": [], "valid": [], "test": [(name, each) for name, own in surnames.items() for each in own]}
        for name in rest:
            part = "train" if len(found["train"]) < TRAINED * many else "valid"
            found[part] += [(name, person) for person in firsts[name]]
        others = [(name, person) for name in sorted(kept) for person in firsts[name]]
        found["second"] = [(name, each) for name, each in found["test"] + others if each.second is not None]
        return found

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
        parts = self.parts()
        cases = CASES if not self.quick else CASES[:6]
        with progress.task("portraits", len(cases), "cases") as advance:
            for case in cases:
                asked = parts["second" if case == SECOND else "test"]
                found[case] = [self._case(name, person, case) for name, person in asked]
                advance(1)
        return found

    def _case(self, name: str, person: Person, case: str) -> Labelled:
        if case == SECOND:
            return mention(f"{person.id}-second", name, person, person.second, f"{person.id} {self.seed}")
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


def by_regions(kb: Any, sitters: Sitters, samples: Sequence[Labelled]) -> Iterator[float]:
    """Yield the rank of gold among those who bear the name, by the nearest regions of both pictures.

    DWE+ has no regions of entities; this shows what regions are worth where both sides have them.
    """
    from systems import Known, closest

    from melink.features.load import load_image
    from melink.features.part_table import read_parts
    from melink.ranking.ranks import rank_of

    known, regions = Known.of(kb), load_image("regions?fallback=grid")
    mine, theirs = (
        read_parts(known.store, regions, own)  # type: ignore[arg-type]
        for own in ([sample.mention.image for sample in samples], known.paths)
    )
    bearers = {person.id: person.names for person in sitters.people()}
    for sample, scores in zip(samples, closest(mine, theirs), strict=True):
        rows = [row for row, id in enumerate(known.ids) if sample.mention.surface in bearers[id]]
        yield rank_of(scores[rows], [known.ids[row] for row in rows].index(sample.gold), "mean")


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


def _called(people: Sequence[Person]) -> tuple[dict[str, list[Person]], dict[str, list[Person]]]:
    """Return people by the surname that others bear, and all others by a first name that others bear."""
    groups = ambiguous(people)
    surnames = {name: own for name, own in groups.items() if all(person.names[0] == name for person in own)}
    return surnames, {name: own for name, own in groups.items() if name not in surnames}


def _number(words: str) -> int:
    return random.Random(words).getrandbits(32)
