"""What every encoder is and gives: global vectors, token or patch vectors, masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float32

FORMAT = 1
"""Version of what encoders hand over; part of every fingerprint, so raising it re-encodes everything."""

Modality = Literal["text", "image"]


@dataclass(frozen=True, slots=True)
class Features:
    """Features of ``n`` items.

    A row whose item is absent has ``present`` False, zero vectors and an all-False mask: it is masked, not a zero
    that looks like a value.

    Attributes:
        vectors: Global vectors, L2-normalised where present.
        present: Whether the item was there.
        tokens: Token or patch vectors, padded with zeros to the longest of the batch; None when not asked for.
        mask: Which of ``tokens`` are real; None exactly when ``tokens`` is.
    """

    vectors: Float32[np.ndarray, "n d"]
    present: Bool[np.ndarray, " n"]
    tokens: Float32[np.ndarray, "n t dt"] | None = None
    mask: Bool[np.ndarray, "n t"] | None = None


class Encoder(Protocol):
    """Turns texts or pictures into vectors.

    Attributes:
        name: What reports call it.
        modality: ``text`` or ``image``.
        dim: Width of the global vector.
        token_dim: Width of a token or patch vector.
        space: Encoders of equal ``space`` may be compared by cosine: the two sides of CLIP share one.
        fingerprint: Hash of weights, configuration, preprocessing and :data:`FORMAT`; equal fingerprints mean
            interchangeable features.
        batch: Sum of sizes, padding included, that one call of ``encode`` should be given.
        workers: How many threads may call ``encode`` at once; 1 on an accelerator.
    """

    name: str
    modality: Modality
    dim: int
    token_dim: int
    space: str
    fingerprint: str
    batch: int
    workers: int

    def sizes(self, items: Sequence[Any]) -> list[int]:
        """Return the length of each item, which is what batches are formed by (tokens or patches; 0 when absent)."""

    def encode(self, items: Sequence[Any], tokens: bool = False) -> Features:
        """Encode a batch.

        Args:
            items: Texts; or pictures, as ``PIL.Image`` or path. None stands for an absent item.
            tokens: Also give token or patch vectors.

        Raises:
            BadImage: A path that cannot be decoded. The feature store catches and counts it.
        """


def cores() -> int:
    """Return how many cores this process may use, at most ``OMP_NUM_THREADS`` when that is set."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(available, int(asked)) if asked.isdigit() and int(asked) > 0 else available
