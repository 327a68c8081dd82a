"""``kgmel``: text, picture and facts of each side become one vector, by a tower that both sides share.

Kim et al., KGMEL: Knowledge Graph-Enhanced Multimodal Entity Linking, SIGIR 2025, second stage. With text t, picture v
(0 where there is none) and facts k of relation r_k and tail t_k::

    x_k = t_k + MLP([t_k; r_k])                          Linear, LeakyReLU, dropout, Linear
    s_k = [β⟨W_v v, W_k x_k⟩ + (1 − β)⟨W_t t, W_k x_k⟩] / (√d τ_att)
    a   = softmax(s); of more than p, the p largest are kept as they are and the others become 0
    z   = W_o Σ_k a_k (W_x x_k + b)                       0 without facts
    u   = W_Z z + (W_T t) ⊙ σ(G_T t + g) + (W_V v) ⊙ σ(G_V v + g'), divided by its length
    score = ⟨u_m, u_e⟩ / τ_cl  + name evidence
    L = L_ME + λ_MM L_MM + λ_EE L_EE

L_ME is the cross-entropy of gold among the columns that :mod:`melink.train.negatives` allows; L_MM and L_EE push the
mentions of a batch apart, and its entities: cross-entropy of each being itself, by ⟨u, u'⟩ / τ_cl. Two mentions of one
entity are not pushed apart, as they are never each other's negatives.

Ours: projections without bias, so that what is missing adds nothing; padding takes no part; an item's facts are drawn
as pairs when there are too many, and read by the names of relation and tail alone, where the paper has ``label:
description`` of the entities' (:mod:`melink.methods.kgmel_inputs`); name evidence (:mod:`melink.methods.name_curve`);
and ``sentence``, one more fact of a mention whose tail is its sentence, so that mentions of which no fact is known meet
the facts of entities in one space. The score splits by what is the entity's: ``text``, ``image`` and ``triples`` are
the products of u_m with the three summands of u_e, over |u_e| τ_cl.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from melink.candidates.name_score import NameSide
from melink.config import Config, parse
from melink.features.template import ENTITY_FIELDS, MENTION_FIELDS, check, read_mention
from melink.kb.view import EntityView
from melink.methods.base import Context, Need, Parts
from melink.methods.confidence import Confidence
from melink.methods.gather import gather_rows, share
from melink.methods.kgmel_inputs import (
    Description,
    Fact,
    Given,
    Items,
    Reader,
    chosen,
    entity_texts,
    fact,
    mention_facts,
    mention_texts,
)
from melink.methods.kgmel_tower import Tower, TowerSettings, apart
from melink.methods.name_curve import NameCurve, NameEvidence
from melink.methods.names import entity_names, name_evidence
from melink.methods.reading import first_images
from melink.methods.tensors import read_tensors, write_tensors
from melink.methods.trainable import Batch, Step
from melink.records import Entity, Mention

NAME: Final = 12.5
"""What an exact name is worth before training, in units of the score."""
KEPT: Final = 200_000
"""Entities whose vectors are kept while the program runs."""
SHOWN: Final = 5
"""Facts of one item that evidence names."""


class LossWeights(Config):
    """λ of L_ME, L_MM and L_EE; 0 leaves one out."""

    mention_entity: float = Field(default=1.0, ge=0)
    mention_mention: float = Field(default=0.1, ge=0)
    entity_entity: float = Field(default=0.1, ge=0)


class KGMELSettings(TowerSettings):
    """Settings of ``kgmel``, beside those of the tower.

    Attributes:
        mention_template: What is read of a mention that has no generated description; see
            :mod:`melink.features.template`.
        description: A generated description is read ``instead`` of that, as ``surface: description`` (the paper),
            ``beside`` it, or ``ignored``.
        entity_template: What is read of an entity.
        most_triples: Facts in ``{triples}``.
        asides: Read what stands in brackets in entity texts.
        images: Read pictures.
        sentence: What ``mention_template`` reads of a mention is one more fact of it.
        temperature: τ_cl.
        losses: Weights of the losses.
        names: Add name evidence.
        confidence: Temperature and NIL.
    """

    mention_template: str = "{surface}: {text}"
    description: Description = "instead"
    entity_template: str = "{label}: {description}"
    most_triples: int = Field(default=6, ge=0)
    asides: bool = False
    images: bool = True
    sentence: bool = True
    temperature: float = Field(default=0.1, gt=0)
    losses: LossWeights = LossWeights()
    names: bool = True
    confidence: Confidence = Confidence(temperature=1.0)


class Inputs(NamedTuple):
    """This process's share of a batch: its mentions against all columns.

    Attributes:
        mentions, entities: Its shares of both.
        names: Name similarities; None when they are not used.
        gold: Column of each of its mentions' gold.
        all_gold: The same of all mentions.
        allowed: Columns that take part.
        first: Place of its first mention, and of its first entity, among all.
        columns: How many there are over all processes.
        batch: Mentions with gold over all processes.
        world: Processes.
    """

    mentions: Given
    entities: Given
    names: Float[Tensor, "b c"] | None
    gold: Tensor
    all_gold: Tensor
    allowed: Bool[Tensor, "b c"]
    first: tuple[int, int]
    columns: int
    batch: int
    world: int


class Net(nn.Module):
    """What is trained: the tower and the name curve."""

    def __init__(self, tower: Tower, s: KGMELSettings) -> None:
        super().__init__()
        self.tower, self.names = tower, NameCurve(NAME) if s.names else None
        self.temperature, self.losses = s.temperature, s.losses

    def forward(self, inputs: Inputs) -> Step:
        """Return loss and scores of this process's mentions against all columns."""
        with torch.autocast(inputs.gold.device.type, enabled=False):  # 16 bits would tie scores that differ
            ours, theirs = (
                F.normalize(self.tower(side).whole(), dim=-1) for side in (inputs.mentions, inputs.entities)
            )
            columns = gather_rows(theirs, inputs.columns)
            scores = ours @ columns.T / self.temperature
            if self.names is not None and inputs.names is not None:
                scores = scores + self.names(inputs.names)
            if not inputs.batch:
                return Step(scores.sum() * 0.0, scores)
            return Step(self.loss(inputs, scores, ours, theirs, columns) * inputs.world, scores)

    def loss(self, inputs: Inputs, scores: Tensor, ours: Tensor, theirs: Tensor, columns: Tensor) -> Tensor:
        """Return this process's share of L."""
        has, total = inputs.gold >= 0, scores.sum() * 0.0
        if self.losses.mention_entity:
            masked = scores.masked_fill(~inputs.allowed, -torch.inf)
            found = F.cross_entropy(masked[has], inputs.gold[has], reduction="sum")
            total = total + self.losses.mention_entity * found / inputs.batch
        if self.losses.mention_mention:
            count = len(inputs.all_gold)
            same = (inputs.gold[:, None] == inputs.all_gold) & has[:, None]
            found = apart(ours, gather_rows(ours, count), inputs.first[0], self.temperature, same)
            total = total + self.losses.mention_mention * found / count
        if self.losses.entity_entity:
            found = apart(theirs, columns, inputs.first[1], self.temperature)
            total = total + self.losses.entity_entity * found / inputs.columns
        return total


@dataclass(frozen=True)
class Prepared:
    """Mentions and entities that batches point into: vectors and names."""

    mentions: Items
    entities: Items
    surfaces: list[str]
    names: list[tuple[str, ...]]


class Kept(NamedTuple):
    """What is kept of one item: u, its summands over |u|, and the facts that it looks at with their a."""

    whole: Float32[np.ndarray, " d"]
    triples: Float32[np.ndarray, " d"] | None
    image: Float32[np.ndarray, " d"] | None
    length: float
    attended: tuple[tuple[Fact, float], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One side at inference: names, u and, of entities, its summands over |u|; None where nobody has them."""

    names: NameSide | None
    whole: Float64[np.ndarray, "n d"]
    triples: Float64[np.ndarray, "n d"] | None = None
    image: Float64[np.ndarray, "n d"] | None = None
    known: Bool[np.ndarray, " n"] | bool = False
    seen: Bool[np.ndarray, " n"] | bool = False


class KGMEL:
    """Scores by one vector of text, picture and facts on each side."""

    name: ClassVar[str] = "kgmel"
    paper: ClassVar[str] = "KGMEL (Kim et al., SIGIR 2025), retrieval"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NAMES, Need.TEXT_GLOBAL, Need.IMAGE_GLOBAL, Need.TRIPLES})
    trains: ClassVar[bool] = True
    plan: ClassVar[dict[str, Any]] = {"epochs": 5, "batch": 512, "head_lr": 1e-2, "weight_decay": 1e-5}

    def __init__(self, context: Context, config: KGMELSettings) -> None:
        check(config.mention_template, MENTION_FIELDS, "mention_template")
        check(config.entity_template, ENTITY_FIELDS, "entity_template")
        self.context, self.config, self.confidence = context, config, config.confidence
        self.reader = Reader(context, config.images)
        self.names = NameEvidence(config.names)
        net = self._made()
        if context.folder is not None:
            read_tensors(net, context.folder)
        self.module: nn.Module = net
        self._deploy()

    def _made(self) -> Net:
        image = self.reader.image.dim if self.reader.image is not None else None
        return Net(Tower(self.reader.text.dim, image, self.config), self.config)

    def _deploy(self) -> None:
        """Take the trained numbers over for linking, in 64 bits, so that how work is cut never shows."""
        frozen = self._made()
        frozen.load_state_dict(self.module.state_dict())
        self._frozen = frozen.double().eval().requires_grad_(False)
        self._kept: dict[bytes, Kept] = {}
        self._key_of: dict[str, tuple[bytes, bytes]] = {}  # of all that is read of an entity, and of its facts alone
        self._latest: tuple[Mention, Kept] | None = None

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> KGMEL:
        """Make the method over the encoders of the context, with the tensors of its run directory if it has one."""
        return cls(context, parse(KGMELSettings, settings))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self.config.model_dump(mode="json")

    # What is read.

    def read_mentions(self, mentions: Sequence[Mention]) -> list[str]:
        """Return the text of mentions."""
        return mention_texts(self.config.mention_template, self.config.description, mentions)

    def read_entities(self, view: EntityView) -> list[str]:
        """Return the text of entities."""
        return entity_texts(self.config.entity_template, self.config.asides, view, self.config.most_triples)

    def _facts(self, view: EntityView) -> list[list[Fact]]:
        most = self.config.triples
        return [chosen(map(fact, view.triples(row)), most) if most else [] for row in range(len(view))]

    def _mention_facts(self, mentions: Sequence[Mention]) -> list[list[Fact]]:
        most, read = self.config.triples, self.config.mention_template if self.config.sentence else ""
        return [mention_facts(mention, most, read_mention(read, mention)) for mention in mentions]

    def warm(self, view: EntityView) -> None:
        """Encode every entity text, picture and text of a fact that the store lacks."""
        facts = view.distinct_facts() if self.config.triples else []
        self.reader.encode([*self.read_entities(view), *sorted({text for own, _ in facts for text in fact(own)})])
        if self.reader.image is not None:
            self.context.store.encode(self.reader.image, first_images(view))

    # Linking: vectors of each side, products, parts.

    def mentions(self, mentions: Sequence[Mention]) -> Side:
        """Prepare a batch of mentions."""
        return Side(
            self.names.side((mention.surface,) for mention in mentions), self._whole(self._of_mentions(mentions))
        )

    def entities(self, view: EntityView) -> Side:
        """Prepare a chunk of entities."""
        kept = self._of_entities(view)
        triples, image = _stacked([own.triples for own in kept]), _stacked([own.image for own in kept])
        known = np.asarray([own.triples is not None for own in kept], bool)
        seen = np.asarray([own.image is not None for own in kept], bool)
        return Side(self.names.side(entity_names(view)), self._whole(kept), triples, image, known, seen)

    def mention_vectors(self, mentions: Sequence[Mention]) -> Float32[np.ndarray, "m d"]:
        """Return u of mentions: its product with that of an entity is their cosine, so any index can serve it."""
        return self._whole(self._of_mentions(mentions)).astype(np.float32)

    def entity_vectors(self, view: EntityView) -> Float32[np.ndarray, "n d"]:
        """Return u of entities."""
        return self._whole(self._of_entities(view)).astype(np.float32)

    def score(self, mentions: Side, entities: Side) -> Parts:
        """Return the weighted parts, NaN where an entity has no facts or no picture."""

        def product(vectors: np.ndarray) -> np.ndarray:
            found: np.ndarray = mentions.whole @ vectors.T / self.config.temperature
            return found

        text = product(entities.whole)
        parts = {}
        for name, vectors, there in (
            ("triples", entities.triples, entities.known),
            ("image", entities.image, entities.seen),
        ):
            if vectors is not None:
                own = product(vectors)
                text -= own
                parts[name] = np.where(there, own, np.nan).astype(np.float32)
        parts = {"text": text.astype(np.float32), **parts}
        if (named := self.names.bent(mentions.names, entities.names, self._frozen.names)) is not None:
            parts["name"] = named
        return parts

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Name the alias that matched, and the facts that both sides look at: their attention, what they add here."""
        found = name_evidence(mention, entity)
        if not self.config.triples:
            return found
        if self._latest is None or self._latest[0] is not mention:
            self._latest = mention, self._of_mentions([mention])[0]
        ours, theirs = self._latest[1], self._of_entity(entity)
        adds = self._added(ours, theirs)
        order = np.argsort(-adds, kind="stable").tolist()
        words = [_words(own) for own, _ in theirs.attended]
        found["matched_triples"] = [words[k] for k in order if adds[k] > 0][:3]
        found["attended_triples"] = [
            f"{words[k]} (attention {theirs.attended[k][1]:.2f}, adds {adds[k]:+.2f})" for k in order
        ]
        found["mention_triples"] = [f"{_words(own)} (attention {a:.2f})" for own, a in ours.attended]
        return {name: value for name, value in found.items() if value != []}

    def _added(self, ours: Kept, theirs: Kept) -> Float64[np.ndarray, " p"]:
        """Return what each fact that an entity looks at adds to a score."""
        tower = self._frozen.tower
        facts = [own for own, _ in theirs.attended]
        given = self._given(self.reader.items([""], [None], [facts]))
        with torch.inference_mode():
            terms = tower.combine(tower.out(tower.value(tower.facts(given)[given.facts]))).numpy()
        weights = np.asarray([a for _, a in theirs.attended], np.float64)
        added: np.ndarray = weights * (terms @ ours.whole.astype(np.float64))
        return added / (max(theirs.length, 1e-12) * self.config.temperature)

    def _whole(self, kept: Sequence[Kept]) -> Float64[np.ndarray, "n d"]:
        found = _stacked([own.whole for own in kept])
        return np.zeros((0, self._frozen.tower.read_text.out_features)) if found is None else found

    def _of_mentions(self, mentions: Sequence[Mention]) -> list[Kept]:
        images = [mention.image for mention in mentions]
        return self._made_of(self.read_mentions(mentions), images, self._mention_facts(mentions))

    def _of_entity(self, entity: Entity) -> Kept:
        key, known = self._key_of.get(entity.id, (b"", b""))
        kept = self._kept.get(key)
        if kept is None or known != _key(chosen(map(fact, entity.triples), self.config.triples)):
            return self._of_entities(self.context.kb.take([entity.id]))[0]
        return kept

    def _of_entities(self, view: EntityView) -> list[Kept]:
        """Return what is kept of entities; what they are made of is looked at anew, and made once."""
        texts, images, facts = self.read_entities(view), first_images(view), self._facts(view)
        known = list(map(_key, facts))
        keys = [_key(own) for own in zip(texts, images, known, strict=True)]
        places = list({key: place for place, key in enumerate(keys) if key not in self._kept}.values())
        new = self._made_of([texts[p] for p in places], [images[p] for p in places], [facts[p] for p in places])
        fresh = dict(zip((keys[place] for place in places), new, strict=True))
        found = [fresh.get(key) or self._kept[key] for key in keys]
        if len(self._kept) + len(fresh) <= KEPT:
            self._kept |= fresh
        for id, *own in zip(view.ids, keys, known, strict=True):
            if own[0] in self._kept:
                self._key_of[id] = own[0], own[1]
            else:
                self._key_of.pop(id, None)
        return found

    def _made_of(
        self, texts: Sequence[str], images: Sequence[str | None], facts: Sequence[Sequence[Fact]]
    ) -> list[Kept]:
        if not texts:
            return []
        items = self.reader.items(texts, images, facts)
        with torch.inference_mode():
            terms = self._frozen.tower(self._given(items))
            length = terms.whole().norm(dim=-1, keepdim=True).clamp(min=1e-12)
            whole, triples = ((each / length).float().numpy() for each in (terms.whole(), terms.triples))
            image = None if terms.image is None else (terms.image / length).float().numpy()
        weights, bounds = terms.weights.numpy(), items.facts.bounds
        found = []
        for row, own in enumerate(facts):
            attended = [
                (each, float(a)) for each, a in zip(own, weights[bounds[row] : bounds[row + 1]], strict=True) if a
            ]
            attended.sort(key=lambda pair: -pair[1])
            seen = image[row] if image is not None and items.seen[row] else None
            known = triples[row] if own else None
            found.append(Kept(whole[row], known, seen, float(length[row]), tuple(attended[:SHOWN])))
        return found

    def _given(self, items: Items) -> Given:
        return items.take(np.arange(len(items.text)), "cpu", torch.float64)

    # Training: places into vectors, then one forward.

    def start_training(self) -> None:
        """Do nothing: encoders stay as they are, and the tower has its gradients."""

    def groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        """Return the tower at ``head_lr`` / 10, and the name curve at ``head_lr``, undecayed."""
        net: Any = self.module
        groups = [{"params": list(net.tower.parameters()), "lr": head_lr / 10}]
        if net.names is not None:
            groups.append({"params": list(net.names.parameters()), "lr": head_lr, "weight_decay": 0.0})
        return groups

    def prepare(self, mentions: Sequence[Mention], view: EntityView) -> Prepared:
        """Read every mention and entity that batches will point into."""
        images = [mention.image for mention in mentions]
        ours = self.reader.items(self.read_mentions(mentions), images, self._mention_facts(mentions))
        theirs = self.reader.items(self.read_entities(view), first_images(view), self._facts(view))
        return Prepared(ours, theirs, [mention.surface for mention in mentions], entity_names(view))

    def collate(self, prepared: Prepared, batch: Batch, rank: int = 0, world: int = 1) -> Inputs:
        """Return this process's shares of mentions and columns."""
        own, mine = share(len(batch.mentions), rank, world), share(len(batch.entities), rank, world)
        device = next(self.module.parameters()).device
        similarity = self.names.similarity(
            (prepared.surfaces[row] for row in batch.mentions[own]), (prepared.names[e] for e in batch.entities)
        )
        return Inputs(
            prepared.mentions.take(batch.mentions[own], device, torch.float32),
            prepared.entities.take(batch.entities[mine], device, torch.float32),
            None if similarity is None else torch.from_numpy(similarity).to(device),
            torch.from_numpy(batch.gold[own]).to(device),
            torch.from_numpy(batch.gold).to(device),
            torch.from_numpy(batch.allowed[own]).to(device),
            (own.start, mine.start),
            len(batch.entities),
            int((batch.gold >= 0).sum()),
            world,
        )

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``model.safetensors``."""
        write_tensors(self.module, folder)
        return {}


def _key(parts: Sequence[object]) -> bytes:
    """Return a hash of what an item, or a part of it, is made of."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _words(own: Fact) -> str:
    return f"{own[0]}: {own[1]}" if own[0] else "the sentence"


def _stacked(vectors: Sequence[np.ndarray | None]) -> Float64[np.ndarray, "n d"] | None:
    """Return vectors as rows, zeros for those that are not there; None without any."""
    first = next((each for each in vectors if each is not None), None)
    if first is None:
        return None
    found = np.zeros((len(vectors), len(first)))
    for row, each in zip(found, vectors, strict=True):
        if each is not None:
            row[:] = each
    return found
