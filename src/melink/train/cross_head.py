"""Fits the head of the plain figures before the encoder is trained, which then learns what they leave.

First its linear part, by the likelihood of the targets (a convex problem); then each of its small networks by itself,
as what is to be added to that, on lists in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch

from melink import progress
from melink.rerank.cross_blend import fit, table
from melink.rerank.cross_model import MEMBERS, FigureHead, listwise
from melink.train.cross_lessons import Lesson, padded

EPOCHS: Final = 8
BATCH: Final = 64
RATE: Final = 3e-3
DECAY: Final = 0.05


def fit_head(head: FigureHead, lessons: Sequence[Lesson], seed: int) -> None:
    """Fit a head to lessons with a target.

    Args:
        head: Not trained yet.
        lessons: Each with its figures.
        seed: Of the small networks.
    """
    lists = table([{str(place): column for place, column in enumerate(lesson.own.T)} for lesson in lessons])
    target = padded([lesson.target for lesson in lessons], 0.0)
    weights = fit(lists, target, np.zeros(len(lists.names)), 1e-5)
    figures, there = torch.from_numpy(lists.values).float(), torch.from_numpy(lists.there)
    rows = figures[there]
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(weights)[None])
        head.mean.copy_(rows.mean(0))
        head.scale.copy_(rows.std(0, correction=0) + 1e-3)
        straight = head.linear(figures)[..., 0].masked_fill(~there, float("-inf"))
    wanted = torch.from_numpy(target).float()
    with progress.task("fitting figures", MEMBERS * EPOCHS, "epochs") as advance:
        for member in range(MEMBERS):
            _fit_member(head, member, (figures, straight, wanted), seed, advance)


def _fit_member(
    head: FigureHead,
    member: int,
    lists: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    seed: int,
    advance: Callable[[int], None],
) -> None:
    figures, straight, wanted = lists
    parameters = list(head.members[member].parameters())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    head.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * seed + member)
        for parameter in parameters:
            parameter.requires_grad_(True)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(wanted)).split(BATCH):
                loss = listwise(straight[rows] + head.bent(member, figures[rows]), wanted[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            advance(1)
        for parameter in parameters:
            parameter.requires_grad_(False)
    head.eval()
