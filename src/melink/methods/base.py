"""What a method is: two towers and a scorer, with named parts.

A method prepares mentions and entities apart (so that the entity side can be kept), then scores every mention of a
batch against every entity of a chunk. Each part it returns is already a *weighted contribution*: the total score is
their plain sum, so that a person can read off what decided. NaN in a part means "could not be computed here" (no
picture on one side, say) and contributes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32

from melink.errors import Problems
from melink.features.encoder import Encoder
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.kb.view import EntityView
from melink.methods.confidence import Confidence
from melink.records import Entity, Mention

Parts = dict[str, Float32[np.ndarray, "m n"]]


class Need(StrEnum):
    """What a method reads; it gets exactly that."""

    NAMES = "names"
    TEXT_GLOBAL = "text_global"
    TEXT_TOKENS = "text_tokens"
    IMAGE_GLOBAL = "image_global"
    IMAGE_PATCHES = "image_patches"
    REGIONS = "regions"
    FACES = "faces"
    TRIPLES = "triples"


@dataclass(frozen=True)
class Context:
    """What methods are built over: a knowledge base, the feature store, and the chosen encoders.

    ``problems`` receives every picture that could not be read; ``folder`` is the run directory that a trained
    method's tensors lie in, None before training.
    """

    kb: KnowledgeBase
    store: FeatureStore
    text: Encoder | None = None
    image: Encoder | None = None
    folder: Path | None = None
    problems: Problems = field(default_factory=Problems)


class Method(Protocol):
    """Scores mentions against entities. Every registered method has this shape."""

    name: str
    paper: str
    needs: frozenset[Need]
    trains: bool
    confidence: Confidence

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> Method:
        """Make the method from the ``settings`` of a run (unknown keys are a ConfigError)."""

    def settings(self) -> dict[str, Any]:
        """Return what :meth:`build` needs to make the same method again."""

    def warm(self, view: EntityView) -> None:
        """Compute and store every entity feature that is missing, with one progress bar."""

    def entities(self, view: EntityView) -> Any:
        """Prepare the entity side of a chunk."""

    def mentions(self, mentions: Sequence[Mention]) -> Any:
        """Prepare the mention side of a batch."""

    def score(self, mentions: Any, entities: Any) -> Parts:
        """Return weighted part scores of every pair, NaN where a part does not exist."""

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Return evidence for one pair, for a person: which alias, which triple."""


def total(parts: Parts) -> Float32[np.ndarray, "m n"]:
    """Add the parts up, a missing part counting nothing; rounded to 1e-5 so that equal scores tie on any machine."""
    stacked = [np.nan_to_num(part, nan=0.0) for part in parts.values()]
    summed: np.ndarray = np.asarray(np.sum(stacked, axis=0, dtype=np.float32))
    return np.round(summed, 5)
