"""``mimic``: text, picture and both together, each compared as a whole and in detail.

Luo et al., Multi-Grained Multimodal Interaction Network for Entity Linking (MIMIC), KDD 2023. The units and their sum S
are in :mod:`melink.methods.matcher`; here they are fed and trained. Loss, over the columns that
:mod:`melink.train.negatives` allows (so two mentions of one entity are never each other's negatives)::

    L = CE(S) + CE(S_T) + CE(S_V) + CE(S_C)

CE of S_V and S_C is over the columns with a picture, for the mentions whose gold and who themselves have one; all four
sums are divided by the number of mentions, so pictures weigh in as often as they are there.

Read are ``surface [SEP] text`` and ``label [SEP] …`` (the paper's attribute string where there is one), the first 40
tokens; of several pictures the first. With ``tune: 0`` the encoders stay as they are and cached features are read; else
their last blocks, or all of them as in the paper, are trained through the same module. ``names: true`` adds a learned,
rising curve of the name similarity to S (:mod:`melink.methods.name_curve`); the paper has none.

``reference_quirks`` reproduces published checkpoints: padding takes part, a missing picture is an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from melink.config import Config, parse
from melink.features.huggingface import best_device
from melink.features.template import ENTITY_FIELDS, MENTION_FIELDS, check, read_entities, read_mention
from melink.kb.view import EntityView
from melink.methods.base import Context, Need, Parts
from melink.methods.confidence import Confidence
from melink.methods.gather import share
from melink.methods.matcher import (
    Absent,
    Matcher,
    MentionTerms,
    Read,
    Scores,
)
from melink.methods.mimic_bounds import Bounded, EntitySide, MentionSide
from melink.methods.name_curve import NameCurve, NameEvidence
from melink.methods.names import entity_names, name_evidence
from melink.methods.reading import Tables, TokenReader, first_images
from melink.methods.tensors import read_tensors, write_tensors
from melink.methods.trainable import Batch, Step
from melink.methods.tuned import TunedEncoders
from melink.records import Entity, Mention

NAME: float = 15.0
"""What an exact name is worth before training, in units of S."""


class MimicSettings(Config):
    """Settings of ``mimic``.

    Attributes:
        mention_template: What is read of a mention; see :mod:`melink.features.template`.
        entity_template: What is read of an entity.
        most_triples: Facts in ``{triples}``.
        tokens: Tokens read of each text.
        width: Of the units (d).
        sharpness: What a cosine of 1 between the text vectors is worth in S before training, of pairs without
            pictures: the gain that their layer norm starts with. None starts with a gain of 1, as in the paper.
        absent: What S is where a side has no picture; see :mod:`melink.methods.matcher`.
        names: Add name evidence.
        tune: How many of the encoders' last blocks are trained, ``all``, or 0 for cached features.
        reference_quirks: As the published code does it.
        confidence: Temperature and NIL.
    """

    mention_template: str = "{surface} [SEP] {text}"
    entity_template: str = "{label} [SEP] {description} {attributes} {extract}"
    most_triples: int = Field(default=6, ge=0)
    tokens: int = Field(default=40, ge=4)
    width: int = Field(default=96, ge=2)
    sharpness: float | None = Field(default=12.5, gt=0)
    absent: Absent = "average"
    names: bool = False
    tune: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    reference_quirks: bool = False
    confidence: Confidence = Confidence(temperature=1.0)


class Inputs(NamedTuple):
    """This process's mentions and all columns of a batch, each as a :class:`Read` or as what tuned encoders take."""

    mentions: Any
    entities: Any
    names: Float[Tensor, "b c"] | None
    gold: Tensor
    allowed: Bool[Tensor, "b c"]
    batch: int
    world: int
    keys: Tensor | None = None


class Net(nn.Module):
    """What is trained: the matcher, the name curve and, while they are tuned, the encoders."""

    def __init__(self, matcher: Matcher, names: bool) -> None:
        super().__init__()
        self.matcher = matcher
        self.names = NameCurve(NAME) if names else None
        self.encoders: nn.Module | None = None

    def mentions(self, read: Read, keys: Tensor | None = None) -> tuple[MentionTerms, Tensor]:
        """Return the terms of mentions, and what reading them adds to the loss; ``keys`` are for MELOV."""
        return self.matcher.mention(read), read.text.new_zeros(())

    def forward(self, inputs: Inputs) -> Step:
        """Return loss and scores of this process's mentions against all columns."""
        ours, theirs = inputs.mentions, inputs.entities
        if self.encoders is not None:
            ours, theirs = self.encoders(ours), self.encoders(theirs)
        with torch.autocast(inputs.gold.device.type, enabled=False):  # 16 bits would tie scores that differ
            terms, extra = self.mentions(Read(*ours), inputs.keys)
            scores = self.matcher(terms, self.matcher.entity(Read(*theirs)))
            total = self.matcher.combine(scores)
            if self.names is not None and inputs.names is not None:
                total = total + self.names(inputs.names)
            loss = losses(total, scores, inputs.gold, inputs.allowed) * (inputs.world / max(inputs.batch, 1))
        return Step(loss + extra, total)


def losses(total: Float[Tensor, "b c"], scores: Scores, gold: Tensor, allowed: Bool[Tensor, "b c"]) -> Tensor:
    """Return CE(S) + CE(S_T) + CE(S_V) + CE(S_C), summed over mentions.

    Args:
        total: S, with name evidence if there is any.
        scores: The units' own.
        gold: Column of each mention's gold; −1 where it is not there.
        allowed: Columns that take part.
    """
    has = gold >= 0
    seen = has & scores.both.gather(1, gold.clamp(min=0)[:, None])[:, 0]
    loss = total.new_zeros(())
    for part, rows, columns in (
        (total, has, allowed),
        (scores.text, has, allowed),
        (scores.image, seen, allowed & scores.both),
        (scores.cross, seen, allowed & scores.both),
    ):
        masked = part.masked_fill(~columns, float("-inf"))
        loss = loss + F.cross_entropy(masked[rows], gold[rows], reduction="sum")
    return loss


@dataclass(frozen=True)
class Prepared:
    """Mentions and entities that batches point into: tables of features or inputs of tuned encoders; names."""

    mentions: Any
    entities: Any
    surfaces: list[str]
    names: list[tuple[str, ...]]


class Mimic(Bounded):
    """Scores by three units over text and picture."""

    name: ClassVar[str] = "mimic"
    paper: ClassVar[str] = "MIMIC (Luo et al., KDD 2023)"
    needs: ClassVar[frozenset[Need]] = frozenset(
        {Need.TEXT_GLOBAL, Need.TEXT_TOKENS, Need.IMAGE_GLOBAL, Need.IMAGE_PATCHES}
    )
    trains: ClassVar[bool] = True
    plan: ClassVar[dict[str, Any]] = {"epochs": 4, "batch": 128, "lr": 1e-5, "head_lr": 1e-3, "weight_decay": 1e-4}
    Settings: ClassVar[type[MimicSettings]] = MimicSettings
    config: MimicSettings

    def __init__(self, context: Context, config: MimicSettings) -> None:
        check(config.mention_template, MENTION_FIELDS, "mention_template")
        check(config.entity_template, ENTITY_FIELDS, "entity_template")
        self.context, self.config, self.confidence = context, config, config.confidence
        self.reader = TokenReader(context, config.tokens, config.reference_quirks)
        self.device = best_device()
        self.names = NameEvidence(config.names)
        self.module: nn.Module = self._made()
        if context.folder is not None:
            read_tensors(self.module, context.folder)
        self.module.to(self.device).eval()

    def _made(self) -> Net:
        text, image, config = self.reader.text, self.reader.image, self.config
        quirks = config.reference_quirks
        whole, patch = (image.dim, image.token_dim) if image is not None else (None, None)
        matcher = Matcher(text.dim, text.token_dim, whole, patch, config.width, config.absent, quirks)
        if config.sharpness is not None:
            parts = 3 if matcher.pictures and config.absent == "neutral" else 1
            nn.init.constant_(matcher.norm_text.weight, (2 * parts * config.sharpness / text.dim) ** 0.5)
        return Net(matcher, config.names)

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> Mimic:
        """Make the method over the encoders of the context, with the tensors of its run directory if it has one."""
        return cls(context, parse(cls.Settings, settings))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self.config.model_dump(mode="json")

    # Linking: terms of each side, units, parts.

    def warm(self, view: EntityView) -> None:
        """Encode every entity text and picture that the store lacks."""
        self.reader.tables(self.read_entities(view), first_images(view))

    def read_mentions(self, mentions: Sequence[Mention]) -> list[str]:
        """Return what the encoder reads of mentions."""
        return [read_mention(self.config.mention_template, mention) for mention in mentions]

    def read_entities(self, view: EntityView) -> list[str]:
        """Return what the encoder reads of entities."""
        return read_entities(self.config.entity_template, view, self.config.most_triples)

    def mention_head(self, vectors: Float32[np.ndarray, "m d"]) -> Float32[np.ndarray, "m d"]:
        """Return what ``dense`` compares: t."""
        return self._normed(vectors)

    def entity_head(self, vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Return what ``dense`` compares: t."""
        return self._normed(vectors)

    def _normed(self, vectors: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = self._net.matcher.norm_text(torch.from_numpy(vectors).to(self.device)).cpu().numpy()
        return found

    @property
    def matcher(self) -> Matcher:
        """The matcher, as trained."""
        return self._net.matcher

    @property
    def curve(self) -> NameCurve | None:
        """What names are worth."""
        return self._net.names

    @property
    def _net(self) -> Net:
        net: Any = self.module
        return net  # type: ignore[no-any-return]

    def mentions(self, mentions: Sequence[Mention]) -> MentionSide:
        """Prepare a batch of mentions."""
        tables = self.reader.tables(self.read_mentions(mentions), [mention.image for mention in mentions])
        with torch.inference_mode():
            terms, _ = self._net.mentions(self.reader.read(tables, device=self.device))
        return MentionSide(self.names.side((mention.surface,) for mention in mentions), terms)

    def entities(self, view: EntityView) -> EntitySide:
        """Prepare a chunk of entities."""
        return self.revived(self.terms(view), view)

    def score(self, mentions: MentionSide, entities: EntitySide, where: Bool[np.ndarray, "m n"] | None = None) -> Parts:
        """Return what each unit contributes, NaN where it does not exist.

        Args:
            mentions: As prepared.
            entities: As prepared.
            where: Pairs that matter; elsewhere G2L is left out, which saves most of the time.
        """
        with torch.inference_mode():
            tglu, text = self._net.matcher.tglu, self._text(mentions, entities)
            if where is None:
                text += tglu.local(mentions.terms, entities.terms, entities.gained) / 2
            else:
                for m in range(len(where)):
                    rows = torch.from_numpy(np.flatnonzero(where[m])).to(self.device)
                    some = entities.terms._replace(queries=entities.terms.queries[rows], mask=entities.terms.mask[rows])
                    text[m, rows] += tglu.pairs(mentions.terms, m, some, entities.gained[rows]) / 2
            shares = self._net.matcher.shares(Scores(text, *self._net.matcher.visual(mentions.terms, entities.terms)))
        parts = {"text": _rounded(shares.text)}
        if self._net.matcher.pictures:
            exists = shares.both.cpu().numpy()
            parts["image"] = np.where(exists, _rounded(shares.image), np.float32(np.nan))
            parts["cross"] = np.where(exists, _rounded(shares.cross), np.float32(np.nan))
        if (named := self.names.bent(mentions.names, entities.names, self.curve)) is not None:
            parts["name"] = np.round(named, 4)
        return parts

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Name the alias that matched."""
        return name_evidence(mention, entity) if self.config.names else {}

    # Training: places into cached features or the inputs of tuned encoders, then one forward.

    def start_training(self) -> None:
        """Load the encoders with gradients, when they are to be tuned.

        Raises:
            ConfigError: An encoder cannot be tuned.
        """
        if self.config.tune != 0:
            self._net.encoders = TunedEncoders(self.reader, self.config.tune, self.config.tokens)

    def groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        """Return the encoders at ``lr``, the matcher at ``head_lr``, the name curve at ten times that, undecayed."""
        net = self._net
        tuned = [p for p in net.encoders.parameters() if p.requires_grad] if net.encoders is not None else []
        curve = list(net.names.parameters()) if net.names is not None else []
        own = {id(p) for p in (*tuned, *curve)}
        plain = [p for p in net.parameters() if id(p) not in own and p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": tuned, "lr": lr},
            {"params": [p for p in plain if p.ndim > 1], "lr": head_lr},
            {"params": [p for p in plain if p.ndim <= 1], "lr": head_lr, "weight_decay": 0.0},
            {"params": curve, "lr": 10 * head_lr, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def prepare(self, mentions: Sequence[Mention], view: EntityView) -> Prepared:
        """Encode with the frozen encoders, or tokenise, every mention and entity that batches will point into."""
        sides = [
            (self.read_mentions(mentions), [mention.image for mention in mentions]),
            (self.read_entities(view), first_images(view)),
        ]
        encoders = self._net.encoders
        ours, theirs = (self.reader.tables(*side) if encoders is None else encoders.prepare(*side) for side in sides)
        return Prepared(ours, theirs, [mention.surface for mention in mentions], entity_names(view))

    def collate(self, prepared: Prepared, batch: Batch, rank: int = 0, world: int = 1) -> Inputs:
        """Return this process's mentions and all columns."""
        own = share(len(batch.mentions), rank, world)
        rows = batch.mentions[own]
        device = next(self.module.parameters()).device
        similarity = self.names.similarity(
            (prepared.surfaces[row] for row in rows), (prepared.names[column] for column in batch.entities)
        )
        return Inputs(
            self._taken(prepared.mentions, rows, device),
            self._taken(prepared.entities, batch.entities, device),
            None if similarity is None else torch.from_numpy(similarity).to(device),
            torch.from_numpy(batch.gold[own]).to(device),
            torch.from_numpy(batch.allowed[own]).to(device),
            int((batch.gold >= 0).sum()),
            world,
        )

    def _taken(self, prepared: Any, places: np.ndarray, device: torch.device) -> Any:
        if isinstance(prepared, Tables):
            return self.reader.read(prepared, places, device)
        encoders: Any = self._net.encoders
        return encoders.taken(prepared, places, device)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``model.safetensors`` and, when they were tuned, the encoders."""
        net, encoders = self._net, self._net.encoders
        net.encoders = None
        try:
            write_tensors(net, folder)
        finally:
            net.encoders = encoders
        if encoders is None:
            return {}
        updates: dict[str, Any] = encoders.save(folder)
        return updates


def _rounded(part: Tensor) -> Float32[np.ndarray, "m n"]:
    """Return scores to 1e-4, so that equal entities tie wherever they are scored."""
    found: np.ndarray = np.round(part.cpu().numpy(), 4)
    return found
