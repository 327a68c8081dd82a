"""How a training goes: the part of a run file under ``train``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from melink import registry
from melink.config import Config, parse
from melink.runs import Run
from melink.train.negatives import NegativesConfig


class Plan(Config):
    """Settings of the trainer.

    Attributes:
        epochs: Passes over the training mentions.
        batch: Mentions in one step, over all processes.
        accumulate: Batches whose gradients are added up before the weights move.
        lr: Highest learning rate of a pretrained encoder.
        head_lr: Highest learning rate of curves and weights; heads have a tenth of it.
        weight_decay: Of AdamW.
        warmup: Share of all steps in which the rates rise.
        schedule: How they fall afterwards.
        clip: Largest norm of a gradient; 0 for none.
        precision: Arithmetic; bf16 only pays on an accelerator or a CPU that computes in it.
        validations: How often an epoch is interrupted for validation, its end included.
        patience: Stop after so many validations without a better figure.
        valid_mentions: Validation mentions that a checkpoint is chosen by, drawn once; 0 for all.
        valid_candidates: Candidates each of them is ranked among.
        checkpoint_every: Steps between two checkpoints.
        seed: Of everything that is drawn.
        negatives: How batches are made.
    """

    epochs: int = Field(default=2, ge=1)
    batch: int = Field(default=32, ge=1)
    accumulate: int = Field(default=1, ge=1)
    lr: float = Field(default=3e-4, gt=0)
    head_lr: float = Field(default=2e-2, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.06, ge=0, lt=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: float = Field(default=1.0, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    validations: int = Field(default=1, ge=1)
    patience: int = Field(default=3, ge=1)
    valid_mentions: int = Field(default=400, ge=0)
    valid_candidates: int = Field(default=12, ge=2)
    checkpoint_every: int = Field(default=100, ge=1)
    seed: int = 0
    negatives: NegativesConfig = NegativesConfig()

    @classmethod
    def of(cls, run: Run) -> Plan:
        """Return the plan of a run: what it says, over its method's own defaults, over these.

        Raises:
            NotFound: No such method.
            ConfigError: A plan that cannot be used.
        """
        own: Mapping[str, Any] = getattr(registry.load("method", run.method), "plan", {})
        said = run.train or {}
        negatives = said.get("negatives")
        if isinstance(negatives, Mapping):  # a key said leaves the method's others as they are
            said = {**said, "negatives": {**own.get("negatives", {}), **negatives}}
        return parse(cls, {**own, **said}, "train")

    def rate(self, step: int, steps: int) -> float:
        """Return the share of the highest learning rate at a step, counted from 0, of ``steps``."""
        rise = max(1, round(self.warmup * steps))
        if step < rise:
            return (step + 1) / rise
        done = (step - rise) / max(1, steps - rise)
        return {"linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "constant": 1.0}[self.schedule]
