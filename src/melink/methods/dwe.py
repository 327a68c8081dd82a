"""``dwe``: the mention asks its text, the objects and faces in its picture and whom these resemble; one vector answers.

Song et al., DWE+: Dual-Way Matching Enhanced Framework for Multimodal Entity Linking, arXiv 2404.04818, 2024; and DWE,
its shorter predecessor (AAAI 2024). Vectors of name m, text t, objects d, faces f, identities s come from frozen
encoders (:mod:`melink.methods.dwe_inputs`); each kind goes through Linear, ReLU, LayerNorm, dropout; then::

    m_x = MultiHead(m, x)        for x in t, d, f, s, one attention for all; 0 where x is empty
    g_m = m + m_t + m_d
    g   = ((1 − ε) g_m + ε (m_f + m_s)) W_g + b_g        ε = σ(ε'), so that both shares are positive
    score = cos(g + t⁰ + ω s⁰, e) + name evidence        e: the frozen vector of the entity's text, nothing trained
    L = λ_f L_f + λ_c L_c + λ_t L_t

    L_c = MSC(m_t, m_d)        text and picture of one mention belong together
    L_f = MSC(m, m_d)          so do a mention and its objects; eq. 12 as printed: MSC(m_f, m_d)
    L_t = max(0, Γ(other) − Γ(gold) + 0.5)        Γ: the score

**MSC**, mean-shifted contrast (eq. 10): rows that belong together are stacked, their mean is subtracted, each is
divided by its length; with a an anchor and p its partner, the mean over all 2P anchors of
−log( e^(⟨a,p⟩/τ) / (Σ_{i≠a} e^(⟨a,i⟩/τ) − e^(⟨a,p⟩/τ)) ). The partner is not in the denominator, so this is no
likelihood: it falls below any bound as τ falls. ``positive: kept`` leaves it there. The centre f_c, of which the paper
does not say what it is, is the mean of the stack. **L_t**, eq. 13, is printed with the other sign: so it is least when
another entity is ahead of gold. Its others are the ``hard`` columns that score highest, and one of the batch.

W_g is printed as 2d × d, which fits nothing it is multiplied with: it is d × the width of e. ``fusion: concatenated``
is the published code's, and DWE's: g = [m; m_t; m_d; m_f; m_s] W_g + b_g.

Ours: the shortcut t⁰ + ω s⁰, which ``shortcut: false`` takes away: t⁰ is the text's frozen vector, which lies in the
space of e already, and s⁰ = Σ softmax(κ⟨m⁰, s⁰⟩ + ρ c) s⁰ likewise, c being how much a face resembles s. W_g starts at
0, so that before training this is the cosine of the frozen encoder. Name evidence (:mod:`melink.methods.name_curve`).
By default L_t is the cross-entropy of gold among all columns, which ranks better; ``ranking: triplet`` is eq. 13. The
score splits by what it comes from: ``text``, ``objects``, ``faces``, ``identity`` are the products of the summands of
the vector with e, over its length.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from melink.candidates.name_score import NameSide
from melink.config import Config, parse
from melink.features.face_index import FaceIndex, Resemblance
from melink.features.template import ENTITY_FIELDS, MENTION_FIELDS, check, read_entities
from melink.kb.view import EntityView
from melink.methods.base import Context, Need, Parts
from melink.methods.confidence import Confidence
from melink.methods.dwe_inputs import SAID, Given, Items, Reader, sentences
from melink.methods.dwe_query import ASKED, SHARPNESS, Query, QuerySettings, Terms
from melink.methods.gather import gather_rows, share
from melink.methods.name_curve import NameCurve, NameEvidence
from melink.methods.names import entity_names, name_evidence
from melink.methods.tensors import read_tensors, write_tensors
from melink.methods.trainable import Batch, Step
from melink.records import Entity, Mention

NAME: Final = 1.25
"""What an exact name is worth before training, in cosines."""
PARTS: Final[tuple[str, ...]] = ("objects", "faces", "identity")
"""Summands of the vector that only some mentions have."""

_log = logging.getLogger("melink")


class LossWeights(Config):
    """λ of L_f, L_c and L_t; 0 leaves one out."""

    fine: float = Field(default=1.0, ge=0)
    coarse: float = Field(default=1.0, ge=0)
    ranking: float = Field(default=10.0, ge=0)

    def pairs(self, fine: str) -> tuple[tuple[str, float, str], ...]:
        """Return name and weight of both contrasts, and what is paired with the objects in each."""
        return ("fine", self.fine, fine), ("coarse", self.coarse, "text")


class DWESettings(QuerySettings):
    """Settings of ``dwe``, beside those of the network.

    Attributes:
        mention_template: What is read of a mention; see :mod:`melink.features.template`.
        entity_template: What is read of an entity.
        most_triples: Facts in ``{triples}``.
        objects: What d is: ``regions``, the ``whole`` picture, ``both`` or ``none``.
        regions: The region encoder; None for the patches of the image encoder.
        faces: The face encoder; None for no face vectors.
        looks: Sentences about faces (``attributes["face_attributes"]`` of a mention) are faces as well.
        identity: Read whom faces resemble: as it is ``said`` (``attributes["identity"]`` of a mention), as the
            ``index`` of faces of the knowledge base says too, or ``none``.
        losses: Weights of the losses.
        fine: What L_f brings together with the objects: the ``mention``, or the ``faces``.
        positive, msc_temperature: Of MSC.
        ranking: ``softmax``, or ``triplet``.
        margin, hard: Of the triplets, and how many hard negatives a mention has in them.
        names: Add name evidence.
        confidence: Temperature and NIL.
    """

    mention_template: str = "{surface} [SEP] {text}"
    entity_template: str = "{label} [SEP] {description} {attributes} {extract}"
    most_triples: int = Field(default=6, ge=0)
    objects: Literal["regions", "whole", "both", "none"] = "regions"
    regions: str | None = None
    faces: str | None = None
    looks: bool = True
    identity: Literal["none", "said", "index"] = "said"
    losses: LossWeights = LossWeights()
    fine: Literal["mention", "faces"] = "mention"
    positive: Literal["removed", "kept"] = "removed"
    msc_temperature: float = Field(default=0.6, gt=0)
    ranking: Literal["softmax", "triplet"] = "softmax"
    margin: float = Field(default=0.5, gt=0)
    hard: int = Field(default=1, ge=0)
    names: bool = True
    confidence: Confidence = Confidence(temperature=0.08)

    @property
    def kinds(self) -> list[str]:
        """Which sets of vectors are read; see :mod:`melink.methods.dwe_inputs`."""
        wanted = {
            "regions": self.objects in ("regions", "both"),
            "whole": self.objects in ("whole", "both"),
            "faces": self.faces is not None,
            "looks": self.looks,
            "identities": self.identity != "none",
        }
        return [kind for kind, asked in wanted.items() if asked]


def mean_shifted(
    one: Float[Tensor, "n d"],
    other: Float[Tensor, "n d"],
    there: Bool[Tensor, " n"],
    temperature: float,
    positive: str = "removed",
) -> Tensor:
    """Return MSC, the mean over anchors; 0 with fewer than two pairs.

    Args:
        one: A row of each pair.
        other: Its partner.
        there: Which pairs exist; the others take no part.
        temperature: τ.
        positive: Whether the partner stands in the denominator.
    """
    pairs = int(there.sum())
    if pairs < 2:
        return one.new_zeros(())
    rows = torch.cat([one[there], other[there]])
    rows = F.normalize(rows - rows.mean(0), dim=-1)
    logits = rows @ rows.T / temperature
    places = torch.arange(2 * pairs, device=rows.device)
    partner = places.roll(pairs)
    found = logits[places, partner]
    out = places[:, None] == places
    if positive == "removed":
        out = out | (partner[:, None] == places)
    return (logits.masked_fill(out, -torch.inf).logsumexp(1) - found).mean()


def triplet(
    scores: Float[Tensor, "b c"],
    gold: Tensor,
    allowed: Bool[Tensor, "b c"],
    beside: Tensor,
    hard: int,
    margin: float,
) -> Tensor:
    """Return max(0, Γ⁻ − Γ⁺ + margin), the mean over each mention's negatives, summed over mentions.

    Negatives are the ``hard`` columns that score highest among those allowed, and one of the batch.

    Args:
        scores: Γ.
        gold: Column of each mention's gold; −1 where it is not there.
        allowed: Columns that take part.
        beside: Column of the batch's one negative; −1 for none.
        hard: How many hard ones.
        margin: By how much gold is to be ahead.
    """
    has = gold >= 0
    own, gold, beside = scores[has], gold[has], beside[has]
    columns = torch.arange(scores.shape[1], device=scores.device)
    wrong = allowed[has] & (columns != gold[:, None])
    behind = own - own.gather(1, gold[:, None])
    hinge = (behind + margin).clamp(min=0)
    top = own.detach().masked_fill(~wrong, -torch.inf).topk(min(hard, scores.shape[1]), dim=1).indices
    counted = torch.zeros_like(own).scatter(1, top, 1.0) * wrong
    counted = counted + (columns == beside[:, None]) * wrong
    return ((hinge * counted).sum(1) / counted.sum(1).clamp(min=1)).sum()


def neighbours(gold: Tensor, all_gold: Tensor, allowed: Bool[Tensor, "b c"], first: int) -> Tensor:
    """Return for each mention the gold of the next mention of the batch that may be its negative; −1 for none.

    Args:
        gold: Columns of some mentions' gold.
        all_gold: The same of all mentions.
        allowed: Columns that take part.
        first: Place of the first among all.
    """
    count = len(all_gold)
    if not count:
        return gold.clone()
    places = torch.arange(first, first + len(gold), device=gold.device)
    turn = (places[:, None] + torch.arange(1, count + 1, device=gold.device)) % count
    others = all_gold[turn]
    usable = (others >= 0) & (others != gold[:, None]) & allowed.gather(1, others.clamp(min=0))
    chosen = others.gather(1, usable.int().argmax(1, keepdim=True))[:, 0]
    return torch.where(usable.any(1), chosen, -1)


class Inputs(NamedTuple):
    """This process's share of a batch: its mentions against all columns.

    Attributes:
        mentions: Its mentions.
        entities: Frozen vectors of all columns.
        names: Name similarities; None when they are not used.
        gold: Column of each of its mentions' gold.
        all_gold: The same of all mentions.
        allowed: Columns that take part.
        first: Place of its first mention among all.
        batch: Mentions with gold over all processes.
        world: Processes.
    """

    mentions: Given
    entities: Float[Tensor, "c dt"]
    names: Float[Tensor, "b c"] | None
    gold: Tensor
    all_gold: Tensor
    allowed: Bool[Tensor, "b c"]
    first: int
    batch: int
    world: int


class Net(nn.Module):
    """What is trained: the query and the name curve."""

    def __init__(self, query: Query, s: DWESettings) -> None:
        super().__init__()
        self.query, self.names, self.s = query, NameCurve(NAME) if s.names else None, s

    def forward(self, inputs: Inputs) -> Step:
        """Return loss and scores of this process's mentions against all columns."""
        with torch.autocast(inputs.gold.device.type, enabled=False):  # 16 bits would tie scores that differ
            terms = self.query(inputs.mentions)
            scores = F.normalize(terms.whole(), dim=-1) @ inputs.entities.T
            if self.names is not None and inputs.names is not None:
                scores = scores + self.names(inputs.names)
            if not inputs.batch:
                return Step(scores.sum() * 0.0, scores)
            ranking = self.ranking(inputs, scores) * (inputs.world / inputs.batch)
            return Step(self.s.losses.ranking * ranking + self.contrast(terms, len(inputs.all_gold)), scores)

    def ranking(self, inputs: Inputs, scores: Tensor) -> Tensor:
        """Return L_t of this process's mentions, summed."""
        gold, has = inputs.gold, inputs.gold >= 0
        if self.s.ranking == "softmax":
            masked = scores.masked_fill(~inputs.allowed, -torch.inf) * SHARPNESS
            return F.cross_entropy(masked[has], gold[has], reduction="sum")
        beside = neighbours(gold, inputs.all_gold, inputs.allowed, inputs.first)
        return triplet(scores, gold, inputs.allowed, beside, self.s.hard, self.s.margin)

    def contrast(self, terms: Terms, count: int) -> Tensor:
        """Return λ_f L_f + λ_c L_c over the mentions of all processes that have both features of a pair."""
        total = terms.found["mention"].new_zeros(())
        for _, weight, one in self.s.losses.pairs(self.s.fine):
            if weight and one in terms.found and "objects" in terms.found:
                total = total + weight * self._pairs(terms, one, "objects", count)
        return total

    def _pairs(self, terms: Terms, one: str, other: str, count: int) -> Tensor:
        rows, there = [terms.found[one], terms.found[other]], terms.seen[other]
        there = there & terms.seen.get(one, there)
        joined = gather_rows(torch.cat([*rows, there[:, None].to(rows[0].dtype)], 1), count)
        first, second, known = joined.split((rows[0].shape[1], rows[1].shape[1], 1), 1)
        return mean_shifted(first, second, known[:, 0] > 0.5, self.s.msc_temperature, self.s.positive)


@dataclass(frozen=True)
class Prepared:
    """Mentions and entities that batches point into."""

    mentions: Items
    entities: Float32[np.ndarray, "n d"]
    surfaces: list[str]
    names: list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Side:
    """One side at inference: names, vectors of length 1, and summands of mentions' with those who have them."""

    names: NameSide | None
    whole: Float64[np.ndarray, "n d"]
    parts: dict[str, tuple[Float64[np.ndarray, "n d"], Bool[np.ndarray, " n"]]]


class DWE:
    """Scores by the cosine of one vector of text, objects, faces and identities with the entity's text."""

    name: ClassVar[str] = "dwe"
    paper: ClassVar[str] = "DWE+ (Song et al., 2024)"
    needs: ClassVar[frozenset[Need]] = frozenset(
        {Need.NAMES, Need.TEXT_GLOBAL, Need.IMAGE_GLOBAL, Need.IMAGE_PATCHES, Need.REGIONS, Need.FACES}
    )
    trains: ClassVar[bool] = True
    plan: ClassVar[dict[str, Any]] = {"epochs": 4, "batch": 64, "head_lr": 1e-2, "weight_decay": 1e-3}

    def __init__(self, context: Context, config: DWESettings) -> None:
        check(config.mention_template, MENTION_FIELDS, "mention_template")
        check(config.entity_template, ENTITY_FIELDS, "entity_template")
        self.context, self.config, self.confidence = context, config, config.confidence
        known = self.read_entities if config.identity == "index" else None
        self.reader = Reader(context, config.mention_template, config.kinds, config.regions, config.faces, known)
        self.names = NameEvidence(config.names)
        net = self._made()
        if context.folder is not None:
            read_tensors(net, context.folder)
        self.module: nn.Module = net
        self._told = False
        self._latest: tuple[Mention, FaceIndex, list[Resemblance]] | None = None
        self._deploy()

    def _made(self) -> Net:
        return Net(Query(self.reader.text.dim, self.reader.widths, self.config), self.config)

    def _deploy(self) -> None:
        """Take the trained numbers over for linking, in 64 bits, so that how work is cut never shows."""
        frozen = self._made()
        frozen.load_state_dict(self.module.state_dict())
        self._frozen = frozen.double().eval().requires_grad_(False)

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> DWE:
        """Make the method over the encoders of the context, with the tensors of its run directory if it has one."""
        return cls(context, parse(DWESettings, settings))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self.config.model_dump(mode="json")

    # Linking: vectors of each side, products, parts.

    def warm(self, view: EntityView) -> None:
        """Encode every entity text that the store lacks."""
        self.reader.encode(self.read_entities(view))

    def read_mentions(self, mentions: Sequence[Mention]) -> list[str]:
        """Return the text of mentions."""
        return self.reader.read_mentions(mentions)

    def read_entities(self, view: EntityView) -> list[str]:
        """Return the text of entities."""
        return read_entities(self.config.entity_template, view, self.config.most_triples)

    def mentions(self, mentions: Sequence[Mention]) -> Side:
        """Prepare a batch of mentions."""
        names = self.names.side((mention.surface,) for mention in mentions)
        terms = self._terms(mentions)
        whole = terms.whole()
        length = whole.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        parts = {
            name: ((terms.parts[name] / length).numpy(), terms.seen[name].numpy())
            for name in PARTS
            if name in terms.parts
        }
        return Side(names, (whole / length).numpy(), parts)

    def entities(self, view: EntityView) -> Side:
        """Prepare a chunk of entities."""
        return Side(self.names.side(entity_names(view)), self.entity_vectors(view).astype(np.float64), {})

    def mention_vectors(self, mentions: Sequence[Mention]) -> Float32[np.ndarray, "m d"]:
        """Return vectors of mentions: their product with that of an entity is the cosine, so any index can serve it."""
        return self.mentions(mentions).whole.astype(np.float32)

    def entity_vectors(self, view: EntityView) -> Float32[np.ndarray, "n d"]:
        """Return vectors of entities, as the encoder gives them."""
        return self.reader.encode(self.read_entities(view))

    def score(self, mentions: Side, entities: Side) -> Parts:
        """Return the parts, NaN where a mention lacks what they come from."""
        text, parts = mentions.whole @ entities.whole.T, {}
        for name, (vectors, there) in mentions.parts.items():
            own = vectors @ entities.whole.T
            text -= own
            parts[name] = np.where(there[:, None], own, np.nan).astype(np.float32)
        parts = {"text": text.astype(np.float32), **parts}
        if (named := self.names.bent(mentions.names, entities.names, self._frozen.names)) is not None:
            parts["name"] = named
        return parts

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Name the alias that matched, what is said of the faces, and how one of them resembles this entity."""
        found = name_evidence(mention, entity)
        if self.config.looks and (said := sentences(mention, SAID["looks"])):
            found["faces_said"] = said
        if self.config.identity == "none":
            return found
        if said := sentences(mention, SAID["identities"]):
            found["identities_said"] = said
        if own := [each.words() for each in self._resembled(mention) if each.id == entity.id]:
            found["faces_resemble"] = own
        return found

    def _resembled(self, mention: Mention) -> list[Resemblance]:
        """Return whom the faces of a mention resemble, read once for all its candidates."""
        index = self.reader.index()
        if index is None:
            return []
        if self._latest is None or self._latest[0] is not mention or self._latest[1] is not index:
            self._latest = mention, index, self.reader.resemblances([mention.image])[0]
        return self._latest[2]

    def _terms(self, mentions: Sequence[Mention]) -> Terms:
        items = self.reader.items(mentions)
        with torch.inference_mode():
            found: Terms = self._frozen.query(items.take(np.arange(len(mentions)), "cpu", torch.float64))
        return found

    # Training: places into vectors, then one forward.

    def start_training(self) -> None:
        """Do nothing: encoders stay as they are, and the network has its gradients."""

    def groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        """Return layers at ``head_lr`` / 10; single numbers and the name curve at ``head_lr``, undecayed."""
        net: Any = self.module
        named = dict(net.query.named_parameters())
        rest = [named.pop(name) for name in ("epsilon", "omega", "kappa") if name in named]
        rest += net.names.parameters() if net.names is not None else []
        groups = [{"params": list(named.values()), "lr": head_lr / 10}]
        return groups + [{"params": rest, "lr": head_lr, "weight_decay": 0.0}] * bool(rest)

    def prepare(self, mentions: Sequence[Mention], view: EntityView) -> Prepared:
        """Read every mention and entity that batches will point into."""
        surfaces = [mention.surface for mention in mentions]
        return Prepared(self.reader.items(mentions), self.entity_vectors(view), surfaces, entity_names(view))

    def refresh(self, prepared: Prepared) -> None:
        """Say once of how many training mentions there are pairs, where they are too few for a loss."""
        if self._told:
            return
        self._told, items = True, prepared.mentions
        there = {n: np.any([items.counts(kind) > 0 for kind in ASKED[n]], axis=0) for n in ("objects", "faces")}
        there |= {"mention": np.ones(len(items.read), bool), "text": items.read & np.bool_(self.config.text)}
        for name, weight, one in self.config.losses.pairs(self.config.fine):
            if weight and (pairs := int(np.sum(there[one] & there["objects"]))) < 2:
                _log.warning("dwe: %d of %d training mentions have %s and objects: the %s loss is left out",
                             pairs, len(items.read), one, name)  # fmt: skip

    def collate(self, prepared: Prepared, batch: Batch, rank: int = 0, world: int = 1) -> Inputs:
        """Return this process's share of mentions, and all columns."""
        own, device = share(len(batch.mentions), rank, world), next(self.module.parameters()).device
        similarity = self.names.similarity(
            (prepared.surfaces[row] for row in batch.mentions[own]), (prepared.names[e] for e in batch.entities)
        )
        return Inputs(
            prepared.mentions.take(batch.mentions[own], device, torch.float32),
            torch.from_numpy(prepared.entities[batch.entities]).to(device),
            None if similarity is None else torch.from_numpy(similarity).to(device),
            torch.from_numpy(batch.gold[own]).to(device),
            torch.from_numpy(batch.gold).to(device),
            torch.from_numpy(batch.allowed[own]).to(device),
            own.start,
            int((batch.gold >= 0).sum()),
            world,
        )

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``model.safetensors``."""
        write_tensors(self.module, folder)
        return {}
