"""The parts of many pictures, read from the feature store: vectors with their mask, and where each part is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Float32, Int64

from melink.errors import Problems
from melink.features.parts import PLACE, PartEncoder
from melink.features.store import FeatureStore, FeatureTable, Item, Rows


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a picture.

    Attributes:
        box: Left, top, right, bottom, as shares of width and height.
        score: The detector's confidence.
        label: What it is.
    """

    box: tuple[float, float, float, float]
    score: float
    label: str


class PartTable:
    """Parts of a list of pictures, in its order; read like a :class:`~melink.features.store.FeatureTable`.

    Attributes:
        present: Which pictures could be read.
        dim: Width of the vector of a part, and of a whole picture.
        token_dim: The same: a token here is the vector of a part, without its place.
        labels: What parts can be.
        encoded: How many pictures were newly encoded.
        missing: Why others could not be, by reason code.
    """

    def __init__(self, table: FeatureTable, labels: tuple[str, ...]) -> None:
        self._table, self.labels = table, labels
        self.present: Bool[np.ndarray, " n"] = table.present
        self.dim = self.token_dim = table.token_dim - PLACE
        self.encoded, self.missing = table.encoded, table.missing

    def __len__(self) -> int:
        return len(self._table)

    def vectors(self, rows: Rows = None) -> Float32[np.ndarray, "r d"]:
        """Return one vector for each picture: of regions, the whole picture's; of faces, the largest face's.

        Args:
            rows: A slice or row numbers; all of them when None.
        """
        return self._table.vectors(rows)

    def tokens(
        self, rows: Rows = None, most: int | None = None, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Float[np.ndarray, "r l d"], Bool[np.ndarray, "r l"]]:
        """Return the vectors of parts, best first, padded with zeros to the most of these rows, and which are real.

        Args:
            rows: A slice or row numbers; all of them when None.
            most: Only the first so many of each picture.
            dtype: ``float16`` is how they are kept.
        """
        tokens, mask = self._table.tokens(rows, most, dtype)
        return np.ascontiguousarray(tokens[..., : self.dim]), mask

    def lengths(self, rows: Rows = None) -> Int64[np.ndarray, " r"]:
        """Return how many parts each picture has; 0 where it is absent."""
        return self._table.lengths(rows)

    def places(self, rows: Rows = None) -> list[list[Part]]:
        """Return where the parts of each picture are, in the order of :meth:`tokens`."""
        tokens, mask = self._table.tokens(rows)
        places, lengths = tokens[..., self.dim :].astype(float), mask.sum(1)
        return [
            [Part((a, b, c, d), score, self.labels[round(label)]) for a, b, c, d, score, label in own[:length].tolist()]
            for own, length in zip(places, lengths, strict=True)
        ]


def read_parts(
    store: FeatureStore, encoder: PartEncoder, items: Sequence[Item], problems: Problems | None = None
) -> PartTable:
    """Return the parts of some pictures, encoding those that the store does not have.

    Args:
        store: Where features are kept.
        encoder: Such as ``load_image("regions")`` or ``load_image("faces")``.
        items: Paths; None is absent.
        problems: Receives each picture that could not be used, once.

    Raises:
        StoreError: The disk is full, the folder cannot be written, or a shard is damaged.
    """
    return PartTable(store.encode(encoder, items, tokens=True, problems=problems), encoder.labels)
