"""``fissfuse``: a mention beside each of its candidates in six ways, learnt from lists.

FissFuse, published with the KAR reranker (docs/papers.md, docs/fissfuse.md). The two branches and the six scores are in
:mod:`melink.methods.fissfuse_net`; here they are fed and trained. Each score is trained for itself: with N the
candidates of a mention, gold among them,::

    L = Σ_k −log( exp S_k(gold) / Σ_{j ∈ N} exp S_k(j) )      k = 1 … 6;    S = mean of the S_k that exist

Image scores are told apart where a candidate has a picture, for the mentions whose gold and who themselves have one;
with ``absent: neutral`` among all candidates, those without a picture at 0, which is what teaches the constant.
Nothing else than a mention's own candidates counts as wrong (``negatives.listwise``), and a mention whose gold is not
listed teaches nothing: it is left out and counted; at evaluation it is a miss. The candidates of a batch are read once
each, however many lists they are on.

``names: true`` adds a learned, rising curve of the name similarity (:mod:`melink.methods.name_curve`; the paper has
none) to every S_k, in the loss as in S: each score then learns what names leave open. The encoders stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from melink.config import Config, parse
from melink.errors import ConfigError
from melink.features.huggingface import best_device
from melink.features.template import ENTITY_FIELDS, MENTION_FIELDS, check, read_entities, read_mention
from melink.kb.view import EntityView
from melink.methods.base import Context, Need, Parts
from melink.methods.confidence import Confidence
from melink.methods.fissfuse_net import FISSION, FUSION, IMAGE, FissFuseNet, Part, Scores, Terms
from melink.methods.fissfuse_terms import Side, Split
from melink.methods.gather import share
from melink.methods.matcher import Absent, Read
from melink.methods.mimic import Prepared
from melink.methods.name_curve import NameCurve, NameEvidence
from melink.methods.names import entity_names, name_evidence
from melink.methods.reading import TokenReader, first_images
from melink.methods.tensors import read_tensors, write_tensors
from melink.methods.trainable import Batch, Step
from melink.records import Entity, Mention

NAME: Final = 15.0
"""What an exact name is worth before training, in units of a score."""


class FissFuseSettings(Config):
    """Settings of ``fissfuse``.

    Attributes:
        mention_template: What is read of a mention; see :mod:`melink.features.template`.
        entity_template: What is read of an entity.
        most_triples: Facts in ``{triples}``.
        tokens: Tokens read of each text.
        width: Of everything inside (d).
        heads: Of every attention; divides ``width``.
        shared: One set of weights for mentions and entities.
        sharpness: What two equal vectors after a layer norm are worth before training; see
            :class:`~melink.methods.fissfuse_net.FissFuseNet`.
        scores: Which of the six are used: the paper's ablations.
        vision: Read pictures; without, the image scores do not exist and nothing is fused with text.
        absent: What S is where a side has no picture; see :mod:`melink.methods.fissfuse_net`.
        names: Add name evidence.
        confidence: Temperature and NIL.
    """

    mention_template: str = "{surface} [SEP] {text}"
    entity_template: str = "{label} [SEP] {description} {attributes} {extract}"
    most_triples: int = Field(default=6, ge=0)
    tokens: int = Field(default=64, ge=4)
    width: int = Field(default=100, ge=2)
    heads: int = Field(default=1, ge=1)
    shared: bool = True
    sharpness: float | None = Field(default=None, gt=0)
    scores: tuple[Part, ...] = FISSION + FUSION
    vision: bool = True
    absent: Absent = "average"
    names: bool = False
    confidence: Confidence = Confidence(temperature=1.0)

    @field_validator("scores")
    @classmethod
    def _of_text(cls, scores: tuple[Part, ...]) -> tuple[Part, ...]:
        """Refuse scores that most pairs would not have, and order them."""
        if not set(scores) - set(IMAGE):
            raise ValueError("needs a score beside those of pictures, which few pairs have")
        return tuple(part for part in FISSION + FUSION if part in scores)


class Inputs(NamedTuple):
    """This process's mentions, the entities on their lists once each, and the lists.

    Attributes:
        mentions: As read.
        entities: As read.
        lists: Places of each mention's candidates among the entities; what stands where ``listed`` is false is filler.
        listed: Which are candidates.
        names: Name similarity of each; None without name evidence.
        gold: Place of gold on its list, −1 where it is not there.
        columns: Column of the batch that each candidate has, filler included.
        width: Columns of the batch.
        batch: Mentions with gold in the batch of all processes.
        world: Processes.
    """

    mentions: Read
    entities: Read
    lists: Tensor
    listed: Bool[Tensor, "b k"]
    names: Float[Tensor, "b k"] | None
    gold: Tensor
    columns: Tensor
    width: int
    batch: int
    world: int


class Net(nn.Module):
    """What is trained: the network and the name curve."""

    def __init__(self, core: FissFuseNet, names: bool) -> None:
        super().__init__()
        self.core = core
        self.names = NameCurve(NAME) if names else None

    def forward(self, inputs: Inputs) -> Step:
        """Return the loss, and totals of this process's mentions against all columns: −∞ where nobody asked."""
        with torch.autocast(inputs.gold.device.type, enabled=False):  # 16 bits would tie scores that differ
            ours, theirs = self.core.mention(Read(*inputs.mentions)), self.core.entity(Read(*inputs.entities))
            lists = Terms(*(x[inputs.lists] for x in theirs))
            scores = {part: s[:, 0] for part, s in self.core(Terms(*(x[:, None] for x in ours)), lists).items()}
            both = ours.seen[:, None] & lists.seen
            named = self.names(inputs.names) if self.names is not None and inputs.names is not None else None
            level = self.core.neutral if self.core.absent == "neutral" else None
            loss = losses(scores, both, named, inputs.gold, inputs.listed, level)
            loss = loss * (inputs.world / max(inputs.batch, 1))
            total = torch.stack(list(self.core.contributions(scores, both).values())).sum(0)
            total = total if named is None else total + named
        every = total.new_full((len(total), inputs.width), float("-inf"))
        total = total.masked_fill(~inputs.listed, float("-inf"))
        return Step(loss, every.scatter(1, inputs.columns, total))


def losses(
    scores: Scores,
    both: Bool[Tensor, "b k"],
    names: Tensor | None,
    gold: Tensor,
    listed: Bool[Tensor, "b k"],
    neutral: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return the sum over scores and mentions of the cross-entropy of gold among its list.

    Args:
        scores: Of each mention's candidates.
        both: Which of the pairs have two pictures.
        names: Name evidence of the pairs, added to every score.
        gold: Place of gold on its list, −1 where it is not there.
        listed: Which are candidates; the rest is filler.
        neutral: What an image score counts from; None leaves candidates without a picture out instead.
    """
    found = both.new_zeros((), dtype=torch.float32)
    seen = both.gather(1, gold.clamp(min=0)[:, None])[:, 0]
    for part, score in scores.items():
        there, columns = gold >= 0, listed
        if part in IMAGE and neutral is not None:
            there, score = there & (both & listed).any(1), torch.where(both, score - neutral[part], 0.0)
        elif part in IMAGE:
            there, columns = there & seen, columns & both
        judged = score if names is None else score + names
        masked = judged.masked_fill(~columns, float("-inf"))
        found = found + F.cross_entropy(masked[there], gold[there], reduction="sum")
    return found


class FissFuse(Split):
    """Scores by six comparisons of text and picture, before and after mention and candidate have read each other."""

    name: ClassVar[str] = "fissfuse"
    paper: ClassVar[str] = "FissFuse, published with the KAR reranker"
    needs: ClassVar[frozenset[Need]] = frozenset(
        {Need.TEXT_GLOBAL, Need.TEXT_TOKENS, Need.IMAGE_GLOBAL, Need.IMAGE_PATCHES}
    )
    trains: ClassVar[bool] = True
    plan: ClassVar[dict[str, Any]] = {
        "epochs": 4,
        "batch": 32,
        "head_lr": 1e-3,
        "weight_decay": 1e-2,
        "negatives": {
            "generators": ["names", "fuzzy", "persons", "lexical"],
            "listwise": True,
            "pool": 100,
            "hard": 15,
            "sharpness": 1.0,
            "easy": 1.0,
        },
    }
    config: FissFuseSettings

    def __init__(self, context: Context, config: FissFuseSettings) -> None:
        check(config.mention_template, MENTION_FIELDS, "mention_template")
        check(config.entity_template, ENTITY_FIELDS, "entity_template")
        if config.width % config.heads:
            raise ConfigError(
                f"settings.heads={config.heads} does not divide settings.width={config.width}", "choose a divisor"
            )
        self.context, self.config, self.confidence = context, config, config.confidence
        self.reader = TokenReader(context, config.tokens)
        self.device = best_device()
        self.names = NameEvidence(config.names)
        text, image = self.reader.text, self.reader.image if config.vision else None
        whole, patch = (image.dim, image.token_dim) if image is not None else (None, None)
        core = FissFuseNet(
            text.dim, text.token_dim, whole, patch, config.width, config.heads, config.scores, config.shared,
            config.absent, config.sharpness,
        )  # fmt: skip
        self.module: nn.Module = Net(core, config.names)
        if context.folder is not None:
            read_tensors(self.module, context.folder)
        self.module.to(self.device).eval()

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> FissFuse:
        """Make the method over the encoders of the context, with the tensors of its run directory if it has one."""
        return cls(context, parse(FissFuseSettings, settings))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self.config.model_dump(mode="json")

    # Linking: terms of each side, six scores, names.

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
        """Return what ``dense`` compares: the encoder's own vectors, for the fusion branch reads tokens, too."""
        return vectors

    def entity_head(self, vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Return what ``dense`` compares: the encoder's own vectors."""
        return vectors

    @property
    def net(self) -> FissFuseNet:
        """The network, as trained."""
        return self._whole.core

    @property
    def curve(self) -> NameCurve | None:
        """What names are worth."""
        return self._whole.names

    @property
    def _whole(self) -> Net:
        net: Any = self.module
        return net  # type: ignore[no-any-return]

    def mentions(self, mentions: Sequence[Mention]) -> Side:
        """Prepare a batch of mentions."""
        tables = self.reader.tables(self.read_mentions(mentions), [mention.image for mention in mentions])
        with torch.inference_mode():
            terms = self.net.mention(self.reader.read(tables, device=self.device))
        return Side(self.names.side((mention.surface,) for mention in mentions), terms)

    def entities(self, view: EntityView) -> Side:
        """Prepare a chunk of entities."""
        return self.revived(self.terms(view), view)

    def score(self, mentions: Side, entities: Side, where: Bool[np.ndarray, "m n"] | None = None) -> Parts:
        """Return what each score contributes, NaN where it does not exist.

        Args:
            mentions: As prepared.
            entities: As prepared.
            where: Pairs that matter; elsewhere the fission branch is left out.
        """
        with torch.inference_mode():
            ours, theirs = mentions.terms, entities.terms
            found = self.tiled(ours, theirs) if where is None else self._listed(ours, theirs, where)
            found |= self.middling(ours, theirs)
            both = ours.seen[:, None] & theirs.seen[None]
        parts: Parts = {}
        for part in self.net.parts:
            score = np.round(found[part].cpu().numpy(), 4)  # equal entities tie wherever they are scored
            parts[part] = np.where(self.net.exists(part, both).cpu().numpy(), score, np.float32(np.nan))
        if (named := self.names.bent(mentions.names, entities.names, self.curve)) is not None:
            parts["name"] = np.round(named, 4)
        return parts

    def _listed(self, mentions: Terms, entities: Terms, where: Bool[np.ndarray, "m n"]) -> Scores:
        """Return contributions of the fission branch for some pairs, zero elsewhere."""
        found: Scores = {part: torch.zeros(where.shape, device=self.device) for part in FISSION}
        for m in range(len(where)):
            columns = torch.from_numpy(np.flatnonzero(where[m])).to(self.device)
            if len(columns):
                for part, score in self.crossed(mentions, m, Terms(*(x[columns] for x in entities))).items():
                    found[part][m, columns] = score
        return found

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Name the alias that matched."""
        return name_evidence(mention, entity) if self.config.names else {}

    # Training: lists of places into cached features, then one forward.

    def start_training(self) -> None:
        """Do nothing: the encoders stay as they are."""

    def groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        """Return matrices at ``head_lr``, gains and biases undecayed, the name curve at ten times that, undecayed."""
        net = self._whole
        curve = list(net.names.parameters()) if net.names is not None else []
        plain = list(net.core.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in plain if p.ndim > 1], "lr": head_lr},
            {"params": [p for p in plain if p.ndim <= 1], "lr": head_lr, "weight_decay": 0.0},
            {"params": curve, "lr": 10 * head_lr, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def prepare(self, mentions: Sequence[Mention], view: EntityView) -> Prepared:
        """Encode every mention and entity that batches will point into."""
        ours = self.reader.tables(self.read_mentions(mentions), [mention.image for mention in mentions])
        theirs = self.reader.tables(self.read_entities(view), first_images(view))
        return Prepared(ours, theirs, [mention.surface for mention in mentions], entity_names(view))

    def collate(self, prepared: Prepared, batch: Batch, rank: int = 0, world: int = 1) -> Inputs:
        """Return this process's mentions, their lists, and what is on them."""
        own = share(len(batch.mentions), rank, world)
        rows, allowed, gold = batch.mentions[own], batch.allowed[own], batch.gold[own]
        columns, listed = lists_of(allowed)
        used, places = np.unique(columns, return_inverse=True)
        device = next(self.module.parameters()).device
        similarity = self.names.similarity(
            (prepared.surfaces[row] for row in rows), (prepared.names[e] for e in batch.entities[used])
        )
        if similarity is not None:
            similarity = np.take_along_axis(similarity, places.reshape(columns.shape), 1)
        at = np.where(gold >= 0, (columns == gold[:, None]).argmax(1) if columns.size else 0, -1)
        return Inputs(
            self.reader.read(prepared.mentions, rows, device),
            self.reader.read(prepared.entities, batch.entities[used], device),
            torch.from_numpy(places.reshape(columns.shape)).to(device),
            torch.from_numpy(listed).to(device),
            None if similarity is None else torch.from_numpy(similarity).to(device),
            torch.from_numpy(at).to(device),
            torch.from_numpy(columns).to(device),
            len(batch.entities),
            int((batch.gold >= 0).sum()),
            world,
        )

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``model.safetensors``."""
        write_tensors(self.module, folder)
        return {}


def lists_of(allowed: Bool[np.ndarray, "b c"]) -> tuple[Int64[np.ndarray, "b k"], Bool[np.ndarray, "b k"]]:
    """Return the allowed columns of each mention in order, filled up with others, and which are allowed."""
    most = int(allowed.sum(1).max()) if allowed.size else 0
    columns = np.argsort(~allowed, axis=1, kind="stable")[:, :most]
    return columns, np.take_along_axis(allowed, columns, 1)
