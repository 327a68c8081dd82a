"""What can be seen in pictures: regions and faces; on request attributes and resemblances too (DWE+, §3.2).

    regions       what a detector sees (melink.features.regions)
    faces         where faces are (melink.features.faces)
    attributes    what classifiers say of each face, as a sentence: ``Ann Lee, gender: woman, age: 40-49``, without the
                  name where nobody is recognised; off by default
    identity      entities of the knowledge base that a face resembles, or the names of a closed list; off by default

Everything is computed once: the feature store keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float32
from pydantic import Field

from melink.config import Config
from melink.errors import ConfigError, Problems
from melink.features.detect import overlaps
from melink.features.face_index import FaceIndex, Resemblance, face_encoder
from melink.features.face_labels import FaceLabels
from melink.features.load import load_image
from melink.features.part_table import Part, PartTable, read_parts
from melink.features.parts import PartEncoder
from melink.features.store import FeatureStore

IDENTITY: Final = "identity"
SENTENCES: Final = {"face_attributes": "sentences", IDENTITY: "identities"}
"""Attribute of a mention that methods read → what of a picture it says."""
_SAME: Final = 0.5
"""Intersection over union from which the boxes of two detectors are one face."""


class AttributeSettings(Config):
    """One attribute.

    Attributes:
        model: Hub name or folder of an image classifier of faces.
        words: Label of the classifier → word of the sentence; an empty word leaves it unsaid. Others stay as they are.
        least: Probability below which nothing is said.
    """

    model: str
    words: dict[str, str] = Field(default_factory=dict)
    least: float = Field(default=0.5, ge=0, le=1)


class PictureSettings(Config):
    """What is looked for.

    Attributes:
        regions: An encoder of regions; None for none.
        faces: An encoder of faces; None for none. With an index of faces, the index decides.
        detector: Finds the faces that classifiers see.
        attributes: Attribute → classifier; the sentence has them in this order.
        names: Classifier with a closed list of people, whose labels are names; None for none.
        least: Probability below which it names nobody.
        threshold: Least score of a resemblance; by default what the index has estimated.
        nearest: Most entities that one face is said to resemble.
    """

    regions: str | None = "regions"
    faces: str | None = "faces"
    detector: str = "opencv-faces"
    attributes: dict[str, AttributeSettings] = Field(default_factory=dict)
    names: str | None = None
    least: float = Field(default=0.5, ge=0, le=1)
    threshold: float | None = None
    nearest: int = Field(default=3, ge=1)


@dataclass(frozen=True, slots=True)
class Said:
    """What classifiers say of one face.

    Attributes:
        place: Where it is.
        attributes: Attribute → word and its probability.
        names: Names of a closed list, each with its probability.
        name: Whose face it is said to be; empty when nobody says.
    """

    place: Part
    attributes: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    names: tuple[tuple[str, float], ...] = ()
    name: str = ""

    @property
    def sentence(self) -> str:
        """Name and attributes as the text that an encoder reads; empty when no attribute is said."""
        said = ", ".join(f"{attribute}: {word}" for attribute, (word, _) in self.attributes.items())
        return f"{self.name}, {said}" if self.name and said else said


@dataclass(frozen=True, slots=True)
class Face:
    """One face.

    Attributes:
        place: Where it is.
        resembles: Entities of the knowledge base, best first.
    """

    place: Part
    resembles: tuple[Resemblance, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen in one picture.

    Attributes:
        path: The picture; None where there is none.
        readable: Whether it could be read.
        regions: Best first.
        faces: Best first.
        said: What classifiers say, of the faces that their detector finds; empty when none was asked.
    """

    path: str | None
    readable: bool
    regions: tuple[Part, ...] = ()
    faces: tuple[Face, ...] = ()
    said: tuple[Said, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """The attribute sentences of the faces of which something is said."""
        return [each.sentence for each in self.said if each.sentence]

    @property
    def identities(self) -> list[str]:
        """For each face that resembles or is named somebody, the names between commas."""
        known = [", ".join(each.label for each in face.resembles) for face in self.faces]
        named = [", ".join(name for name, _ in each.names) for each in self.said]
        return [text for text in (*known, *named) if text]

    @property
    def evidence(self) -> list[str]:
        """Each best resemblance in words."""
        return [face.resembles[0].words() for face in self.faces if face.resembles]

    def row(self) -> dict[str, Any]:
        """Return it for JSON."""
        faces = [{**asdict(face.place), "resembles": [asdict(each) for each in face.resembles]} for face in self.faces]
        said = [
            {**asdict(s.place), "sentence": s.sentence, "attributes": dict(s.attributes), "names": list(s.names)}
            for s in self.said
        ]
        return {"readable": self.readable, "regions": [asdict(r) for r in self.regions], "faces": faces, "said": said}


class PictureReader:
    """Sees what settings ask for.

    Args:
        settings: See there.
        index: Known faces; None leaves identity out.

    Raises:
        ConfigError: An encoder of something else, or settings that fit no detector.
        NotFound: Unknown model, or the hub cannot be reached.
        NotInstalled: An extra is missing.
    """

    def __init__(self, settings: PictureSettings, index: FaceIndex | None = None) -> None:
        self.settings, self.index = settings, index
        self._regions = _parts(settings.regions)
        own = index.encoder if index is not None else None
        self._faces = own or (face_encoder(settings.faces) if settings.faces else None)
        models = {name: each.model for name, each in settings.attributes.items()}
        models |= {IDENTITY: settings.names} if settings.names else {}
        self._labels = FaceLabels(models, settings.detector) if models else None

    def read(
        self,
        store: FeatureStore,
        items: Sequence[str | None],
        problems: Problems | None = None,
        people: Sequence[str] = (),
    ) -> tuple[list[Seen], int]:
        """Return what is seen in each picture, and how many pictures had to be looked at for it.

        Args:
            store: Where features are kept.
            items: Paths; None is absent.
            problems: Receives each picture that cannot be read, once.
            people: Whose picture each is, where that is known: the name of the only face in it.
        """
        tables: list[PartTable | None] = []
        for encoder in (self._regions, self._faces, self._labels):
            heard = problems if not any(tables) else None  # a picture that cannot be read is told once
            tables.append(read_parts(store, encoder, items, heard) if encoder is not None else None)
        regions, faces, labels = tables
        count = len(items)
        there = next((table.present for table in tables if table is not None), np.zeros(count, dtype=bool))
        every = regions.places() if regions else [[]] * count
        whose = [[tuple(each) for each in own] for own in self._whose(faces)] if faces else [[]] * count
        places = faces.places() if faces else [[]] * count
        said = self._said(labels) if labels else [()] * count
        seen = []
        for row, path in enumerate(items):
            known = tuple(Face(place, own) for place, own in zip(places[row], whose[row], strict=True))
            named = _named(said[row], known, people[row] if people else "")
            seen.append(Seen(path, bool(there[row]), tuple(every[row]), known, named))
        return seen, max((table.encoded for table in tables if table is not None), default=0)

    def _whose(self, faces: PartTable) -> list[list[list[Resemblance]]]:
        if self.index is None:
            return [[[] for _ in range(int(count))] for count in faces.lengths()]
        return self.index.of(faces, most=self.settings.nearest, threshold=self.settings.threshold)

    def _said(self, table: PartTable) -> list[tuple[Said, ...]]:
        assert self._labels is not None
        slots = self._labels.slots
        tokens, _ = table.tokens()
        return [
            tuple(self._of_face(place, shares, slots) for place, shares in zip(own, rows, strict=False))
            for own, rows in zip(table.places(), tokens, strict=True)
        ]

    def _of_face(self, place: Part, shares: Float32[np.ndarray, " l"], slots: Sequence[tuple[str, str]]) -> Said:
        by: dict[str, list[tuple[str, float]]] = {}
        for (attribute, label), share in zip(slots, shares.tolist(), strict=True):
            by.setdefault(attribute, []).append((label, round(share, 4)))
        found = {}
        for attribute, own in self.settings.attributes.items():
            label, share = max(by[attribute], key=lambda pair: pair[1])
            word = own.words.get(label, label)
            if word and share >= own.least:
                found[attribute] = (word, share)
        names = [pair for pair in by.get(IDENTITY, ()) if pair[1] >= self.settings.least]
        return Said(place, found, tuple(sorted(names, key=lambda pair: -pair[1])))


def said_of(seen: Seen, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of mentions with what is seen in its picture, and with that in words where methods read it.

    The words are ``attributes.face_attributes`` and ``attributes.identity``, a face each between semicolons. What
    somebody else wrote there stays; what an earlier run wrote (``picture.wrote``) is replaced.

    Args:
        seen: What is seen.
        row: The fields.
    """
    before, given = row.get("picture"), row.get("attributes")
    wrote = before.get("wrote") if isinstance(before, dict) else None
    own = wrote if isinstance(wrote, dict) else {}
    kept = {k: v for k, v in given.items() if k not in own or own[k] != v} if isinstance(given, dict) else {}
    words = {key: "; ".join(text.replace(";", ",") for text in getattr(seen, what)) for key, what in SENTENCES.items()}
    new = {key: text for key, text in words.items() if text and key not in kept}
    made = {**row, "picture": {**seen.row(), "wrote": new}}
    if kept or new or given is not None:
        made["attributes"] = {**kept, **new} if isinstance(given, dict | None) else given
    return made


def counted(seen: Iterable[Seen]) -> dict[str, int]:
    """Return sums for a report."""
    every = list(seen)
    return {
        "pictures": sum(each.path is not None for each in every),
        "readable": sum(each.readable for each in every),
        "with_regions": sum(any(part.label != "grid" for part in each.regions) for each in every),
        "regions": sum(part.label != "grid" for each in every for part in each.regions),
        "with_faces": sum(bool(each.faces) for each in every),
        "faces": sum(len(each.faces) for each in every),
        "resembling": sum(any(face.resembles for face in each.faces) for each in every),
        "with_sentences": sum(bool(each.sentences) for each in every),
    }


def _named(said: Sequence[Said], faces: Sequence[Face], person: str) -> tuple[Said, ...]:
    """Give faces a name: from the closed list, else whom the face there resembles most, else whose picture it is."""
    named = []
    for each in said:
        there = [
            face.resembles[0].label
            for face in faces
            if face.resembles and overlaps(np.array([face.place.box]), np.array([each.place.box]))[0, 0] > _SAME
        ]
        alone = [person] if person and len(said) == 1 else []
        named.append(replace(each, name=next(iter((*(name for name, _ in each.names), *there, *alone)), "")))
    return tuple(named)


def _parts(spec: str | None) -> PartEncoder | None:
    if not spec:
        return None
    encoder = load_image(spec)
    if not isinstance(encoder, PartEncoder):
        raise ConfigError(f"{spec!r} does not encode regions", "write regions, or 'regions?encoder=…&detector=…'")
    return encoder
