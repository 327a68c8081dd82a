"""Encoders of the parts of a picture: detect, cut out, describe. The tokens of such an encoder are the parts.

A token is the vector of the part and, in its last six numbers, where the part is (left, top, right, bottom as shares),
its score and the number of its label. :class:`~melink.features.part_table.PartTable` takes the two apart. Pictures
that cannot be read, caching and resuming are the feature store's affair, as with every encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from jaxtyping import Float32
from PIL import Image

from melink.features.detect import Choice, Detector, Found
from melink.features.encoder import FORMAT, Features, Modality
from melink.features.pixels import opened
from melink.features.towers import nothing, scatter

PLACE: Final = 6
"""Numbers at the end of a token that say where the part is, how sure the detector is, and what it is."""
_WORK: Final = 64
"""Counted for each picture: 512 pictures make a shard, which is the most work that a kill can lose."""
_BATCH: Final = 16
"""Pictures in one call."""


class Describer(Protocol):
    """Cuts parts out and turns them into vectors.

    Attributes:
        dim: Width of a vector.
        space: See :class:`~melink.features.encoder.Encoder`.
        fingerprint: Hash of everything that the vectors depend on.
        workers: How many threads may call it at once.
    """

    dim: int
    space: str
    fingerprint: str
    workers: int

    def cut(self, picture: Image.Image, parts: Found) -> list[Image.Image]:
        """Return a picture of each part."""

    def describe(self, cuts: Sequence[Image.Image]) -> Float32[np.ndarray, "c d"]:
        """Return the vector of each cut."""

    def whole(
        self, pictures: Sequence[Image.Image], parts: Sequence[Float32[np.ndarray, "k d"]], found: Sequence[Found]
    ) -> Float32[np.ndarray, "n d"]:
        """Return the global vector of each picture, given the vectors of its parts."""


class PartEncoder:
    """Finds and describes the parts of pictures.

    Args:
        name: What reports call it.
        detector: Finds them.
        choice: Which are kept.
        describer: Describes them.
        fallback: Finds parts where the detector and the choice leave none; its labels follow the detector's.

    Attributes:
        labels: Names of the labels that the last number of a token stands for.
        width: Width of a part's vector: of a token without its place.

    Raises:
        ConfigError: The choice does not fit the detector.
    """

    modality: Modality = "image"

    def __init__(
        self, name: str, detector: Detector, choice: Choice, describer: Describer, fallback: Detector | None = None
    ) -> None:
        choice.check(detector)
        self.name, self.space, self.dim, self.width = name, describer.space, describer.dim, describer.dim
        self.token_dim = describer.dim + PLACE
        self.labels = (*detector.labels, *(fallback.labels if fallback else ()))
        self.workers = min(detector.workers, describer.workers)
        self.batch = _WORK * _BATCH
        self._detector, self._choice, self._describer, self._fallback = detector, choice, describer, fallback
        parts = [name, FORMAT, PLACE, detector.fingerprint, describer.fingerprint, fallback and fallback.fingerprint]
        settings = [choice.least, choice.most, sorted(choice.classes)]
        self.fingerprint = hashlib.sha256(json.dumps([parts, settings]).encode()).hexdigest()

    def sizes(self, items: Sequence[Any]) -> list[int]:
        """Return a constant for each picture, since nobody knows how many parts it has; 0 when absent."""
        return [0 if item is None else _WORK for item in items]

    def encode(self, items: Sequence[Image.Image | str | Path | None], tokens: bool = False) -> Features:
        """Encode a batch of pictures or their paths; None is absent. A picture without parts has an all-False mask.

        Raises:
            BadImage: A path that cannot be decoded.
        """
        present = np.array([item is not None for item in items], dtype=bool)
        if not present.any():
            return nothing(present, self.dim, self.token_dim if tokens else None)
        pictures = [opened(item) for item in items if item is not None]
        found = self.find(pictures)
        vectors = self._vectors(pictures, found)
        whole = self._describer.whole(pictures, vectors, found)
        if not tokens:
            return scatter(present, whole, None, None)
        padded = np.zeros((len(pictures), max(map(len, found)), self.token_dim), dtype=np.float32)
        for row, (own, parts) in enumerate(zip(vectors, found, strict=True)):
            padded[row, : len(parts)] = np.concatenate([own, _places(parts)], axis=1)
        mask = np.arange(padded.shape[1]) < np.array([len(parts) for parts in found])[:, None]
        return scatter(present, whole, padded, mask)

    def find(self, pictures: Sequence[Image.Image]) -> list[Found]:
        """Return the parts of each RGB picture that are kept, best first."""
        kept = [self._choice.of(every, self._detector.labels) for every in self._detector.find(pictures)]
        if self._fallback is None:
            return kept
        bare = [place for place, parts in enumerate(kept) if not len(parts)]
        for place, parts in zip(bare, self._fallback.find([pictures[place] for place in bare]), strict=True):
            own = Choice(most=self._choice.most).of(parts, self._fallback.labels)
            kept[place] = Found(own.boxes, own.scores, own.labels + len(self._detector.labels), own.eyes)
        return kept

    def _vectors(self, pictures: Sequence[Image.Image], found: Sequence[Found]) -> list[np.ndarray]:
        cuts = [self._describer.cut(picture, parts) for picture, parts in zip(pictures, found, strict=True)]
        flat = [cut for own in cuts for cut in own]
        rows = self._describer.describe(flat) if flat else np.zeros((0, self.dim), dtype=np.float32)
        return np.split(rows, np.cumsum([len(own) for own in cuts])[:-1])


def _places(parts: Found) -> Float32[np.ndarray, "k 6"]:
    return np.column_stack([parts.boxes, parts.scores, parts.labels]).astype(np.float32)
