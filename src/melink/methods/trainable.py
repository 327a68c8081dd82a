"""What a method adds when it has tensors to train.

The trainer (:mod:`melink.train.loop`) hands over labelled *places*: which mention, which entities it is told apart
from, which of them may count as wrong. The method turns them into tensors and a loss; it never sees a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from melink.kb.view import EntityView
from melink.records import Mention


@dataclass(frozen=True, slots=True)
class Batch:
    """One step over all processes, as places into what :meth:`Trainable.prepare` was given.

    Attributes:
        mentions: Which mentions.
        entities: Which entities, each once: one column of scores each.
        gold: Column of each mention's gold; -1 when it is not there (validation only).
        allowed: Which columns take part in a mention's loss: gold and what may honestly count as wrong; in validation,
            whose scores are looked at.
    """

    mentions: Int64[np.ndarray, " b"]
    entities: Int64[np.ndarray, " c"]
    gold: Int64[np.ndarray, " b"]
    allowed: Bool[np.ndarray, "b c"]


class Step(NamedTuple):
    """What a module returns.

    Attributes:
        loss: Scalar; its mean over processes is the loss of the whole batch.
        scores: Total scores of this process's mentions against all columns; of allowed ones at least, −∞ elsewhere.
    """

    loss: Tensor
    scores: Float[Tensor, "b c"]


class Trainable(Protocol):
    """A method that can be trained.

    It may also have ``refresh(prepared)``, called with the training mentions before the first step and before each
    validation, for what it keeps of them beside its weights; and ``plan``, its own defaults of
    :class:`melink.train.plan.Plan`.

    Attributes:
        module: Called with what :meth:`collate` gives; returns a :class:`Step`. Its parameters that require
            gradients are trained.
    """

    module: nn.Module

    def settings(self) -> dict[str, Any]:
        """Return the settings; a checkpoint is only gone on from under equal ones."""

    def start_training(self) -> None:
        """Load what is trained, with gradients."""

    def groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        """Return optimiser groups: the encoder at ``lr``, what is new at ``head_lr``."""

    def prepare(self, mentions: Sequence[Mention], view: EntityView) -> Any:
        """Read, tokenise or encode everything that batches will point into."""

    def collate(self, prepared: Any, batch: Batch, rank: int = 0, world: int = 1) -> Any:
        """Return the inputs of this process's share of a batch."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the tensors into a run directory; return the keys of its run that change."""
