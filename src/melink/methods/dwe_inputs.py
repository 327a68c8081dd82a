"""What ``dwe`` reads of mentions: texts, the picture taken apart, and what has been said about it, as sets of vectors.

::

    regions      a vector for each object in the picture   the region encoder, or patches of the image encoder
    whole        one                                       the image encoder
    faces        a vector for each face                    the face encoder
    looks        a sentence for each face                  attributes["face_attributes"], by the text encoder
    identities   whom a face is said to resemble           attributes["identity"], likewise
                 and whom it resembles                     what is read of the entities that the index of faces gives

Several sentences are separated by semicolons. A set may be empty: no picture, nothing detected, nothing said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from melink.errors import ConfigError, Problems
from melink.features.encoder import Encoder
from melink.features.face_index import FaceIndex, Resemblance, face_encoder, state
from melink.features.load import load_image
from melink.features.part_table import PartTable, read_parts
from melink.features.parts import PartEncoder
from melink.features.store import FeatureTable
from melink.features.template import read_mention
from melink.kb.view import EntityView
from melink.methods.base import Context
from melink.records import Mention

SAID: Final = {"looks": "face_attributes", "identities": "identity"}
"""Kind → the attribute of a mention that holds its sentences."""
Table = FeatureTable | PartTable
AnyTable = TypeVar("AnyTable", bound=Table)


class Rows(NamedTuple):
    """A set of vectors for each of some mentions.

    Attributes:
        vectors: Padded to the longest.
        there: Which of them are real.
    """

    vectors: Float[Tensor, "n l d"]
    there: Bool[Tensor, "n l"]


class Given(NamedTuple):
    """Some mentions, ready for the network.

    Attributes:
        surface: Vectors of their names.
        text: Vectors of their texts, zeros where there is none.
        read: Who has a text.
        sets: Kind → rows; a kind that nobody has is left out.
        alike: How much each of ``identities`` resembles its face; 1 for what is said. None without such rows.
    """

    surface: Float[Tensor, "n dt"]
    text: Float[Tensor, "n dt"]
    read: Bool[Tensor, " n"]
    sets: dict[str, Rows]
    alike: Float[Tensor, "n l"] | None = None


@dataclass(frozen=True)
class Sentences:
    """Some sentences of each of many mentions; equal ones are there once.

    Attributes:
        vectors: Of the different sentences.
        texts: They themselves.
        owned: Places in ``vectors``, by mention.
        scores: How sure each is, by mention.
    """

    vectors: Float32[np.ndarray, "t d"]
    texts: list[str]
    owned: list[list[int]]
    scores: list[list[float]]

    def take(self, rows: Int64[np.ndarray, " m"]) -> tuple[Float32[np.ndarray, "m l d"], Bool[np.ndarray, "m l"]]:
        """Return the vectors of some mentions, padded with zeros, and which of them are real."""
        own = [self.owned[row] for row in rows]
        there = np.arange(max(map(len, own), default=0)) < np.asarray([len(each) for each in own], int)[:, None]
        vectors = np.zeros((*there.shape, self.vectors.shape[1]), np.float32)
        vectors[there] = self.vectors[[place for each in own for place in each]]
        return vectors, there

    def sure(self, rows: Int64[np.ndarray, " m"], there: Bool[np.ndarray, "m l"]) -> Float32[np.ndarray, "m l"]:
        """Return the scores of some mentions, padded with zeros."""
        found = np.zeros(there.shape, np.float32)
        found[there] = [score for row in rows for score in self.scores[row]]
        return found


@dataclass(frozen=True)
class Items:
    """Many mentions; vectors of pictures stay on disk until they are asked for."""

    surface: Float32[np.ndarray, "n d"]
    text: Float32[np.ndarray, "n d"]
    read: Bool[np.ndarray, " n"]
    pictures: dict[str, Table] = field(default_factory=dict)
    said: dict[str, Sentences] = field(default_factory=dict)

    def take(self, rows: Int64[np.ndarray, " m"], device: torch.device | str, dtype: torch.dtype) -> Given:
        """Return some of them."""
        sets = {}
        for kind, table in self.pictures.items():
            if kind == "whole":
                sets[kind] = table.vectors(rows)[:, None], table.present[rows][:, None]
            else:
                sets[kind] = table.tokens(rows)
        sets |= {kind: own.take(rows) for kind, own in self.said.items()}
        made = {
            kind: Rows(torch.from_numpy(vectors).to(device, dtype), torch.from_numpy(there).to(device))
            for kind, (vectors, there) in sets.items()
        }
        surface, text = (torch.from_numpy(each[rows]).to(device, dtype) for each in (self.surface, self.text))
        alike = None
        if "identities" in self.said:
            alike = torch.from_numpy(self.said["identities"].sure(rows, sets["identities"][1])).to(device, dtype)
        return Given(surface, text, torch.from_numpy(self.read[rows]).to(device), made, alike)

    def counts(self, kind: str) -> Int64[np.ndarray, " n"]:
        """Return how many rows of a kind each mention has."""
        if kind in self.said:
            return np.asarray([len(own) for own in self.said[kind].owned], np.int64)
        if kind not in self.pictures:
            return np.zeros(len(self.surface), np.int64)
        table = self.pictures[kind]
        return table.present.astype(np.int64) if kind == "whole" else table.lengths()


class Reader:
    """Reads mentions through the feature store.

    Args:
        context: Its text encoder is needed.
        template: What is read of a mention.
        kinds: Which kinds of rows are wanted.
        regions: The region encoder; None for the patches of the image encoder of the context.
        faces: The face encoder; None for none.
        known: What is read of some entities; with it, faces are looked up in the index of the knowledge base.

    Attributes:
        widths: Width of each kind's rows; kinds that nothing gives are left out.

    Raises:
        ConfigError: No text encoder; or a region encoder beside ``whole`` pictures alone, which no encoder reads.
        NotFound, NotInstalled, ConfigError: An encoder that cannot be loaded.
    """

    def __init__(
        self,
        context: Context,
        template: str,
        kinds: Sequence[str],
        regions: str | None = None,
        faces: str | None = None,
        known: Callable[[EntityView], list[str]] | None = None,
    ) -> None:
        if context.text is None:
            raise ConfigError("dwe needs a text encoder", "choose one with --text-encoder")
        if regions and "whole" in kinds and "regions" not in kinds and context.image is None:
            raise ConfigError(
                f"regions: {regions!r} is not read with objects: whole, and nothing reads the whole without an encoder",
                "choose one with --image-encoder, or take objects: regions",
            )
        self.text, self._context, self._template, self._known = context.text, context, template, known
        named = {
            "regions": load_image(regions) if regions and "regions" in kinds else context.image,
            "whole": context.image,
            "faces": face_encoder(faces) if faces and "faces" in kinds else None,
        }
        self._pictures = {kind: each for kind, each in named.items() if each is not None and kind in kinds}
        self._sentences = [kind for kind in SAID if kind in kinds]
        self.widths = {kind: _width(kind, each) for kind, each in self._pictures.items()}
        self.widths |= dict.fromkeys(self._sentences, self.text.dim)
        self._told: set[str] = set()
        self._index: tuple[EntityView, Any, FaceIndex] | None = None

    def read_mentions(self, mentions: Sequence[Mention]) -> list[str]:
        """Return the text of mentions."""
        return [read_mention(self._template, mention) for mention in mentions]

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "t d"]:
        """Return text vectors, zeros for blank ones."""
        return self._context.store.encode(self.text, texts).vectors()

    def items(self, mentions: Sequence[Mention]) -> Items:
        """Return the vectors of mentions."""
        images = [mention.image for mention in mentions]
        table = self._context.store.encode(self.text, self.read_mentions(mentions))
        pictures = {
            kind: self._told_once(partial(self._features, kind, each), images) for kind, each in self._pictures.items()
        }
        said = {kind: self._said(mentions, kind) for kind in self._sentences}
        return Items(
            self.encode([mention.surface for mention in mentions]),
            table.vectors(),
            table.present,
            {kind: each for kind, each in pictures.items() if each.present.any()},
            {kind: each for kind, each in said.items() if each.texts},
        )

    def index(self) -> FaceIndex | None:
        """Return the known faces as they are now, without those that were forgotten meanwhile; None when not asked.

        Raises:
            NotFound: The index is off, or was turned off.
        """
        if self._known is None:
            return None
        view, now = self._context.kb.view(), state(self._context.kb)
        if self._index is None or self._index[0] is not view or self._index[1] != now:
            self._index = None
            self._index = view, now, FaceIndex.open(self._context.kb, self._context.store, self._context.problems)
        return self._index[2]

    def resemblances(self, images: Sequence[str | None]) -> list[list[Resemblance]]:
        """Return the entities that the faces in each picture resemble, those of one face after those of another."""
        index = self.index()
        if index is None or index.encoder is None:
            return [[] for _ in images]
        table = self._told_once(partial(read_parts, self._context.store, index.encoder), images)
        return [[each for face in faces for each in face] for faces in index.of(table)]

    def _said(self, mentions: Sequence[Mention], kind: str) -> Sentences:
        own = [[(text, 1.0) for text in sentences(mention, SAID[kind])] for mention in mentions]
        if kind == "identities" and self._known is not None:
            found = self.resemblances([mention.image for mention in mentions])
            ids = sorted({each.id for several in found for each in several})
            texts = dict(zip(ids, self._known(self._context.kb.take(ids)), strict=True))
            own = [
                [*said, *((texts[each.id], each.score) for each in several)]
                for said, several in zip(own, found, strict=True)
            ]
        places: dict[str, int] = {}
        owned = [[places.setdefault(text, len(places)) for text, _ in each] for each in own]
        return Sentences(self.encode(list(places)), list(places), owned, [[score for _, score in each] for each in own])

    def _told_once(
        self, read: Callable[[Sequence[str | None], Problems | None], AnyTable], images: Sequence[str | None]
    ) -> AnyTable:
        """Return features of pictures; those that cannot be read are reported once, whoever reads them."""
        table = read(images, None)
        absent = {path for path, seen in zip(images, table.present, strict=True) if path is not None and not seen}
        if fresh := sorted(absent - self._told):
            self._told.update(fresh)
            read(fresh, self._context.problems)
        return table

    def _features(self, kind: str, encoder: Encoder, images: Sequence[str | None], problems: Problems | None) -> Table:
        store = self._context.store
        if kind != "whole" and isinstance(encoder, PartEncoder):
            return read_parts(store, encoder, images, problems)
        return store.encode(encoder, images, tokens=kind != "whole", problems=problems)


def _width(kind: str, encoder: Encoder) -> int:
    if kind == "whole":
        return encoder.dim
    return encoder.width if isinstance(encoder, PartEncoder) else encoder.token_dim


def sentences(mention: Mention, key: str) -> list[str]:
    """Return what an attribute of a mention says, sentence by sentence."""
    return [text for part in mention.attributes.get(key, "").split(";") if (text := part.strip())]
