"""A method with one parameter, over entities that share a name: what every step does can be told beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from melink.candidates.names import Names
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.kb.view import EntityView
from melink.methods.base import Context, Parts
from melink.methods.tensors import read_tensors, write_tensors
from melink.methods.trainable import Batch
from melink.records import Entity, Labelled, Mention
from melink.train.course import Course
from melink.train.plan import Plan

MakeKB = Callable[..., KnowledgeBase]


class Step(NamedTuple):
    loss: Tensor
    scores: Tensor


class Lines(nn.Module):
    """score(e) = slope_e · θ + height_e, whatever the mention."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(()))
        self.before: Callable[[], object] | None = None

    def forward(self, inputs: tuple[Tensor, Tensor, Tensor, Tensor]) -> Step:
        if self.training and self.before is not None:
            self.before()
        slope, height, gold, allowed = inputs
        scores = (slope * self.theta + height).expand(len(gold), -1)
        has = gold >= 0
        loss = F.cross_entropy(scores.masked_fill(~allowed, -torch.inf)[has], gold[has], reduction="sum")
        return Step(loss / max(int(has.sum()), 1), scores)


class Toy:
    """The method: ``lines`` gives slope and height of each entity; ``before`` is called before each training batch.

    It links as well, by the tensors of a run directory. Its name is that of a method that needs no encoder.
    """

    name = "names"

    def __init__(
        self, lines: Mapping[str, tuple[float, float]], before: Callable[[], object] | None = None, lr: float = 1.0
    ) -> None:
        self.lines, self.lr = dict(lines), lr
        self.context: Context | None = None
        self.module: Any = Lines()
        self.module.before = before

    def settings(self) -> dict[str, Any]:
        return {"lines": self.lines}

    def start_training(self) -> None:
        self.module.requires_grad_(True)

    def read_entities(self, view: EntityView) -> list[str]:
        return list(view.column("description"))

    def groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        return [{"params": [self.module.theta], "lr": lr}]

    def prepare(self, mentions: Sequence[Mention], view: EntityView) -> list[tuple[float, float]]:
        return [self.lines[id] for id in view.ids]

    def collate(self, prepared: Any, batch: Batch, rank: int = 0, world: int = 1) -> Any:
        chosen = torch.tensor([prepared[place] for place in batch.entities]).reshape(-1, 2)
        return chosen[:, 0], chosen[:, 1], torch.from_numpy(batch.gold), torch.from_numpy(batch.allowed)

    def save(self, folder: Path) -> dict[str, Any]:
        write_tensors(self.module, folder)
        return {}

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> Toy:
        made = cls(settings["lines"])
        read_tensors(made.module, context.folder)
        return made

    def warm(self, view: EntityView) -> None:
        """There is nothing to encode."""

    def mentions(self, mentions: Sequence[Mention]) -> int:
        return len(mentions)

    def entities(self, view: EntityView) -> list[float]:
        theta = float(self.module.theta.detach())
        return [slope * theta + height for slope, height in (self.lines[id] for id in view.ids)]

    def score(self, mentions: int, entities: list[float]) -> Parts:
        return {"line": np.tile(np.asarray(entities, dtype=np.float32), (mentions, 1))}


class Class:
    """Four entities called Ann, and mentions of one or the other."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def course(self, toy: Toy, gold: Sequence[str | None], valid: Sequence[str | None], **plan: Any) -> Course:
        names = [Names(self.kb)]
        toy.context = Context(self.kb, FeatureStore(self.kb.features_dir))
        return Course(toy, self.kb, names, names, labelled(gold, "t"), labelled(valid, "v"), Plan.model_validate(plan))


def labelled(gold: Sequence[str | None], prefix: str) -> list[Labelled]:
    return [Labelled(Mention(f"{prefix}{n}", "Ann is here", "Ann", 0, 3), id) for n, id in enumerate(gold)]


@pytest.fixture
def anns(make_kb: MakeKB) -> Class:
    """The entities E1 to E4, all called Ann; E4 reads as E1 does."""
    about = {"E1": "singer", "E2": "river", "E3": "ship", "E4": "singer"}
    return Class(make_kb(*(Entity(id, "Ann", description=text) for id, text in about.items())))


@pytest.fixture
def toy() -> type[Toy]:
    """The method's class."""
    return Toy
