"""``biencoder``: mention and entity read apart by one fine-tuned text encoder, with names and pictures beside it.

After BLINK (Wu et al., EMNLP 2020, §4.1): two texts, two vectors, a product; in-batch and hard negatives. Ours: one
encoder for both sides, a light head for each, name evidence as a learned curve, the picture where there is one::

    x = enc(text)              u = (x + W₂ gelu(W₁ x)) / ‖·‖           a head for mentions, another for entities
    text  = e^τ · ⟨u_m, u_e⟩
    name  = Σ_k softplus(c_k) · clip(s − k/K, 0, 1/K) · K              s: name similarity, candidates/name_score.py
    image = w_i · (⟨p_m, p_e⟩ − n_i)                                   p: image vector through its own head
    triples, prior                                                      stated facts; log(1 + number of facts)
    score = Σ_p w_p · (p − n_p)      also text_image and image_text when both encoders share a space

The name curve rises everywhere, so a better name never counts against an entity; where it is steep is learned. Heads
start at W₂ = 0: untrained, this is ``zeroshot`` without facts. The loss is the cross-entropy of gold among the
columns that :mod:`melink.train.negatives` allows. Every vector depends on its own side alone, so entity vectors are
kept and searched over the whole knowledge base.

Training sets everything but the w_p, n_p of the last line, which stay 1 and 0 (0 and 0 for ``triples``
(:mod:`melink.methods.triple_score`) and ``prior``: a well-described entity is likelier to be meant). They are fitted on
validation afterwards (:mod:`melink.train.fit`), where that validates better.

With ``tune: 0`` the encoder stays as it is and its cached features are read: minutes become seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from melink.candidates.name_score import NameScorer, NameSide
from melink.config import Config, parse
from melink.errors import ConfigError
from melink.features.encoder import Encoder
from melink.features.finetune import TunableText
from melink.features.template import ENTITY_FIELDS, MENTION_FIELDS, check, read_entities, read_mention
from melink.kb.view import EntityView
from melink.methods.base import Context, Need, Parts
from melink.methods.confidence import Confidence
from melink.methods.gather import gather_rows, share
from melink.methods.name_curve import NameCurve
from melink.methods.names import entity_names, name_evidence
from melink.methods.tensors import read_tensors, write_tensors
from melink.methods.trainable import Batch, Step
from melink.methods.triple_score import TripleScorer
from melink.records import Entity, Mention

SHARPNESS: Final = 12.5
"""e^τ at the start, the reciprocal of zeroshot's temperature."""
PAIRS: Final = {
    "image": ("image", "image"),
    "text_image": ("text", "image"),
    "image_text": ("image", "text"),
}
"""Part name → (mention modality, entity modality), beside ``text``."""
START: Final = {"image": (0.5, 0.3), "text_image": (1.0, 0.2), "image_text": (1.0, 0.2)}
"""Weight (in units of sharpness) and neutral cosine that each pair starts from."""


class Weights(Config):
    """What each part is multiplied by before it is added to the total; a part with 0 is not computed."""

    text: float = 1.0
    name: float = 1.0
    triples: float = 0.0
    prior: float = 0.0
    image: float = 1.0
    text_image: float = 1.0
    image_text: float = 1.0


class BiEncoderSettings(Config):
    """Settings of ``biencoder``.

    Attributes:
        mention_template: What is read of a mention; see :mod:`melink.features.template`.
        entity_template: What is read of an entity.
        most_triples: Facts in ``{triples}``.
        max_tokens: Longer texts are cut, when the encoder is tuned.
        tune: How many of the encoder's last blocks are trained, ``all``, or 0 for cached features.
        pooling: How a tuned encoder's tokens become one vector.
        hidden, dropout: Of the heads; ``hidden`` 0 for none.
        encoder_dropout: In the tuned encoder; costs a third of the speed on a CPU.
        weights: Of the parts; see the module.
        neutral: What is subtracted from a part first; 0 where nothing is said.
        confidence: Temperature and NIL.
    """

    mention_template: str = "{surface}. {left}[ {surface} ]{right}"
    entity_template: str = "{label}. {description} {attributes} {triples} {extract}"
    most_triples: int = Field(default=6, ge=0)
    max_tokens: int = Field(default=64, ge=8)
    tune: Annotated[int, Field(ge=0)] | Literal["all"] = 3
    pooling: Literal["mean", "cls"] = "mean"
    hidden: int = Field(default=384, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    encoder_dropout: float = Field(default=0.0, ge=0, lt=1)
    weights: Weights = Weights()
    neutral: dict[str, float] = Field(default_factory=dict)
    confidence: Confidence = Confidence(temperature=1.0)


class Head(nn.Module):
    """x + W₂ gelu(W₁ x), L2-normalised; W₂ starts at 0, so that an untrained head changes nothing."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.body: nn.Module | None = None
        if hidden:
            last = nn.Linear(hidden, width, bias=False)
            nn.init.zeros_(last.weight)
            self.body = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), last)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return the vectors, of length 1; a zero vector, which stands for nothing read, stays zero."""
        there = (x != 0).any(dim=-1, keepdim=True)
        return F.normalize(x if self.body is None else x + self.body(x), dim=-1) * there


class Inputs(NamedTuple):
    """This process's share of a batch: its mentions against all columns.

    ``mentions`` and ``entities`` are token ids when the encoder is tuned, else cached vectors; entities are this
    process's share of ``total`` columns. Images come with a mask; None where no encoder is set.
    """

    mentions: Any
    entities: Any
    names: Float[Tensor, "b c"]
    gold: Tensor
    allowed: Bool[Tensor, "b c"]
    total: int
    batch: int
    world: int
    mention_images: tuple[Tensor, Tensor] | None
    entity_images: tuple[Tensor, Tensor] | None


class Towers(nn.Module):
    """The heads, the curve and the weights; and the encoder itself while it is being tuned."""

    def __init__(self, width: int, image_width: int | None, pairs: Sequence[str], settings: BiEncoderSettings) -> None:
        super().__init__()
        self.mention = Head(width, settings.hidden, settings.dropout)
        self.entity = Head(width, settings.hidden, settings.dropout)
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS).log())
        self.names = NameCurve(1.25 * SHARPNESS)
        self.image = Head(image_width, settings.hidden, settings.dropout) if image_width else None
        self.weights = nn.ParameterDict({p: nn.Parameter(torch.tensor(START[p][0] * SHARPNESS)) for p in pairs})
        self.neutral = nn.ParameterDict({p: nn.Parameter(torch.tensor(START[p][1])) for p in pairs})

    def forward(self, inputs: Inputs, text: TunableText | None) -> Step:
        """Score this process's mentions against all columns."""
        ours, theirs = inputs.mentions, inputs.entities
        if text is not None:
            theirs, ours = text(theirs), text(ours)
        with torch.autocast(inputs.names.device.type, enabled=False):  # 16 bits would tie scores that differ
            return self._scored(inputs, ours, theirs)

    def _scored(self, inputs: Inputs, ours: Float[Tensor, "m d"], theirs: Float[Tensor, "n d"]) -> Step:
        entities, mentions = gather_rows(self.entity(theirs), inputs.total), self.mention(ours)
        scores = self.sharpness.exp() * mentions @ entities.T + self.names(inputs.names)
        if self.image is not None and inputs.mention_images is not None and inputs.entity_images is not None:
            scores = scores + self._images(mentions, entities, inputs.mention_images, inputs.entity_images)
        masked = scores.masked_fill(~inputs.allowed, float("-inf"))
        has = inputs.gold >= 0
        loss = F.cross_entropy(masked[has], inputs.gold[has], reduction="sum") * (inputs.world / max(inputs.batch, 1))
        return Step(loss, scores)

    def _images(
        self, mentions: Tensor, entities: Tensor, ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]
    ) -> Tensor:
        assert self.image is not None
        left = {"text": (mentions, torch.ones_like(ours[1])), "image": (self.image(ours[0]), ours[1])}
        right = {"text": (entities, torch.ones_like(theirs[1])), "image": (self.image(theirs[0]), theirs[1])}
        total = torch.zeros(len(mentions), len(entities), device=mentions.device)
        for part, weight in self.weights.items():
            (a, seen_a), (b, seen_b) = left[PAIRS[part][0]], right[PAIRS[part][1]]
            there = seen_a[:, None] & seen_b[None]
            total = total + weight.clamp(min=0) * (a @ b.T - self.neutral[part]) * there
        return total


class Net(nn.Module):
    """What the trainer trains: the encoder, when it is tuned, and the towers."""

    def __init__(self, text: TunableText | None, towers: Towers) -> None:
        super().__init__()
        self.text, self.towers = text, towers

    def forward(self, inputs: Inputs) -> Step:
        """Return loss and scores."""
        step: Step = self.towers(inputs, self.text)
        return step


@dataclass(frozen=True)
class Prepared:
    """Mentions and entities that batches point into: token ids or vectors, names, images with masks."""

    mentions: Any
    entities: Any
    surfaces: list[str]
    names: list[tuple[str, ...]]
    mention_images: tuple[Float32[np.ndarray, "m d"], Bool[np.ndarray, " m"]] | None
    entity_images: tuple[Float32[np.ndarray, "n d"], Bool[np.ndarray, " n"]] | None


@dataclass(frozen=True, slots=True)
class Side:
    """One side at inference.

    Attributes:
        names: Surfaces, or labels and aliases.
        facts: Contexts of mentions, or facts of entities; None when they have no weight.
        known: Prior of entities, zeros for mentions.
        text: Text vectors after the head.
        image: Image vectors after the head; None without an image encoder.
        seen: Which images exist.
    """

    names: NameSide
    facts: Any
    known: Float32[np.ndarray, " n"]
    text: Float64[np.ndarray, "n d"]
    image: Float64[np.ndarray, "n i"] | None
    seen: Bool[np.ndarray, " n"]


class BiEncoder:
    """Scores by one fine-tuned text encoder, names, and pictures where both sides have one."""

    name: ClassVar[str] = "biencoder"
    paper: ClassVar[str] = "after BLINK's bi-encoder (Wu et al., EMNLP 2020), with names and pictures"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NAMES, Need.TEXT_GLOBAL, Need.IMAGE_GLOBAL, Need.TRIPLES})
    trains: ClassVar[bool] = True

    def __init__(self, context: Context, config: BiEncoderSettings) -> None:
        if context.text is None:
            raise ConfigError("biencoder needs a text encoder", "choose one with --text-encoder")
        check(config.mention_template, MENTION_FIELDS, "mention_template")
        check(config.entity_template, ENTITY_FIELDS, "entity_template")
        self.context, self.config, self.confidence = context, config, config.confidence
        self.encoder: Encoder = context.text
        shared = context.image is not None and context.image.space == context.text.space
        pairs = [] if context.image is None else ["image", *(["text_image", "image_text"] if shared else [])]
        self._image_width = context.image.dim if context.image is not None else None
        towers = Towers(context.text.dim, self._image_width, pairs, config)
        if context.folder is not None:
            read_tensors(towers, context.folder)
        self.module: nn.Module = Net(None, towers)
        self._names = NameScorer()
        self._facts = TripleScorer(context.kb.names.tail_doc_freq, len(context.kb))
        self._told: set[str] = set()
        self._deploy()

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> BiEncoder:
        """Make the method over the encoders of the context, with the tensors of its run directory if it has one."""
        return cls(context, parse(BiEncoderSettings, settings))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self.config.model_dump(mode="json")

    # Linking: vectors of each side, products, parts.
    def warm(self, view: EntityView) -> None:
        """Encode every entity text and picture that the store lacks."""
        self.context.store.encode(self.encoder, self.read_entities(view))
        if self.context.image is not None:
            self.context.store.encode(self.context.image, _first_images(view))

    def read_mentions(self, mentions: Sequence[Mention]) -> list[str]:
        """Return what the encoder reads of mentions."""
        return [read_mention(self.config.mention_template, mention) for mention in mentions]

    def read_entities(self, view: EntityView) -> list[str]:
        """Return what the encoder reads of entities."""
        return read_entities(self.config.entity_template, view, self.config.most_triples)

    def entities(self, view: EntityView) -> Side:
        """Prepare names and vectors of a chunk of entities."""
        facts = self._facts.side(view.triples(row) for row in range(len(view))) if self._weigh("triples") else None
        known = np.log1p(view.fact_counts).astype(np.float32)
        names, read = self._names.side(entity_names(view)), self.read_entities(view)
        return Side(names, facts, known, *self._vectors(read, _first_images(view), self._heads.entity))

    def mentions(self, mentions: Sequence[Mention]) -> Side:
        """Prepare surfaces and vectors of a batch of mentions."""
        facts = self._facts.contexts(mentions) if self._weigh("triples") else None
        nothing = np.zeros(len(mentions), dtype=np.float32)
        names, read = self._names.side((mention.surface,) for mention in mentions), self.read_mentions(mentions)
        return Side(names, facts, nothing, *self._vectors(read, [m.image for m in mentions], self._heads.mention))

    def score(self, mentions: Side, entities: Side) -> Parts:
        """Return the weighted parts, NaN where a side has no picture."""
        similarity = self._names.score(mentions.names, entities.names)
        raw = {
            "text": np.float32(self._sharpness * (mentions.text @ entities.text.T)),
            "name": self._heads.names.bend(similarity),
        }
        if mentions.facts is not None and entities.facts is not None:
            raw["triples"] = self._facts.score(mentions.facts, entities.facts)
        if self._weigh("prior"):
            raw["prior"] = np.broadcast_to(entities.known, similarity.shape)
        for part, (weight, neutral) in self._weights.items():
            raw[part] = _image_part(mentions, entities, PAIRS[part], weight, neutral)
        shift = self.config.neutral
        return {p: np.float32(self._weigh(p)) * (raw[p] - np.float32(shift.get(p, 0.0))) for p in raw}

    def _weigh(self, part: str) -> float:
        return float(getattr(self.config.weights, part))

    def mention_head(self, vectors: Float32[np.ndarray, "m d"]) -> Float32[np.ndarray, "m d"]:
        """Return what is compared by ``dense`` and by the part ``text``, from the encoder's vectors."""
        return _applied(self._heads.mention, vectors).astype(np.float32)

    def entity_head(self, vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Return what is compared, from the encoder's vectors."""
        return _applied(self._heads.entity, vectors).astype(np.float32)

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Name the alias that matched."""
        return name_evidence(mention, entity)

    def _deploy(self) -> None:
        """Take the trained numbers over for linking: heads in 64 bits, so that how work is cut never shows."""
        towers: Any = self.module.towers
        frozen = Towers(self.encoder.dim, self._image_width, list(towers.weights), self.config)
        frozen.load_state_dict(towers.state_dict())
        self._heads = frozen.double().eval().requires_grad_(False)
        self._sharpness = float(self._heads.sharpness.exp())
        neutral = self._heads.neutral
        self._weights = {p: (max(float(w), 0.0), float(neutral[p])) for p, w in self._heads.weights.items()}

    def _vectors(
        self, texts: Sequence[str], images: Sequence[str | None], head: nn.Module
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return text vectors, image vectors and which images exist."""
        text = _applied(head, self.context.store.encode(self.encoder, texts).vectors())
        found = self._image_vectors(images)
        if found is None or self._heads.image is None:
            return text, None, np.zeros(len(texts), dtype=bool)
        return text, _applied(self._heads.image, found[0]), found[1]

    def _image_vectors(self, images: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray] | None:
        encoder = self.context.image
        if encoder is None:
            return None
        table = self.context.store.encode(encoder, images)
        absent = {i for i, there in zip(images, table.present, strict=True) if i is not None and not there}
        if fresh := sorted(absent - self._told):  # a picture is met in many batches and reported once
            self._told.update(fresh)
            self.context.store.encode(encoder, fresh, problems=self.context.problems)
        return table.vectors(), table.present

    # Training: places into token ids or cached vectors, then one forward.

    def start_training(self) -> None:
        """Load the encoder with gradients, when it is to be tuned.

        Raises:
            ConfigError: The encoder cannot be tuned.
        """
        if self.config.tune == 0:
            return
        path = getattr(self.encoder, "path", None)
        if path is None:
            raise ConfigError(
                f"{self.encoder.name} cannot be tuned", "set settings.tune=0 to train on its cached features"
            )
        text = TunableText(path, self.config.tune, self.config.pooling, self.config.max_tokens)
        for layer in text.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = self.config.encoder_dropout
        towers: Any = self.module.towers
        self.module = Net(text, towers)

    def groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        """Return the encoder at ``lr``; heads at ``head_lr`` / 10; curve and weights at ``head_lr``, undecayed."""
        net: Any = self.module
        text = [p for p in net.text.parameters() if p.requires_grad] if net.text is not None else []
        heads = [p for name, p in net.towers.named_parameters() if ".body." in name]
        rest = [p for name, p in net.towers.named_parameters() if ".body." not in name]
        groups: list[dict[str, Any]] = [
            {"params": text, "lr": lr},
            {"params": heads, "lr": head_lr / 10},
            {"params": rest, "lr": head_lr, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def prepare(self, mentions: Sequence[Mention], view: EntityView) -> Prepared:
        """Tokenise, or encode with the frozen encoder, every mention and entity that batches will point into."""
        net: Any = self.module
        read, about = self.read_mentions(mentions), self.read_entities(view)
        if net.text is None:
            ours, theirs = (self.context.store.encode(self.encoder, texts).vectors() for texts in (read, about))
        else:
            ours, theirs = net.text.tokenize(read), net.text.tokenize(about)
        images = [self._image_vectors(items) for items in ([m.image for m in mentions], _first_images(view))]
        seen = [found is not None and bool(found[1].any()) for found in images]
        if not (any(seen) if "text_image" in net.towers.weights else all(seen)):
            images = [None, None]  # there is nothing to compare
        return Prepared(ours, theirs, [m.surface for m in mentions], entity_names(view), images[0], images[1])

    def collate(self, prepared: Prepared, batch: Batch, rank: int = 0, world: int = 1) -> Inputs:
        """Return this process's mentions and entities, and the name similarity of its mentions to all columns."""
        own = share(len(batch.mentions), rank, world)
        rows, columns = batch.mentions[own], batch.entities[share(len(batch.entities), rank, world)]
        similarity = self._names.score(
            self._names.side((prepared.surfaces[row],) for row in rows),
            self._names.side(prepared.names[column] for column in batch.entities),
        )
        device = next(self.module.parameters()).device
        return Inputs(
            _taken(prepared.mentions, rows, device),
            _taken(prepared.entities, columns, device),
            torch.from_numpy(similarity).to(device),
            torch.from_numpy(batch.gold[own]).to(device),
            torch.from_numpy(batch.allowed[own]).to(device),
            len(batch.entities),
            int((batch.gold >= 0).sum()),
            world,
            _masked(prepared.mention_images, rows, device),
            _masked(prepared.entity_images, batch.entities, device),
        )

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``model.safetensors`` and, when it was tuned, the encoder into ``encoder/``."""
        net: Any = self.module
        write_tensors(net.towers, folder)
        if net.text is None:
            return {}
        net.text.save(folder / "encoder")
        return {"text_encoder": f"run:encoder?pooling={self.config.pooling}&max_tokens={net.text.max_tokens}"}


def _first_images(view: EntityView) -> list[str | None]:
    return [next(iter(paths or ()), None) for paths in view.column("images")]


def _applied(head: nn.Module, vectors: np.ndarray) -> Float64[np.ndarray, "n d"]:
    with torch.inference_mode():
        found: np.ndarray = head(torch.from_numpy(np.asarray(vectors, dtype=np.float64))).numpy()
    return found


def _image_part(
    mentions: Side, entities: Side, pair: tuple[str, str], weight: float, neutral: float
) -> Float32[np.ndarray, "m n"]:
    """Return one image pair's contribution, NaN where either side lacks its picture."""
    found = np.full((len(mentions.text), len(entities.text)), np.nan, dtype=np.float32)
    sides = list(zip((mentions, entities), pair, strict=True))
    left, right = (side.image if kind == "image" else side.text for side, kind in sides)
    rows, columns = (np.flatnonzero(s.seen) if kind == "image" else np.arange(len(s.text)) for s, kind in sides)
    if left is not None and right is not None and len(rows) and len(columns):
        found[np.ix_(rows, columns)] = weight * (left[rows] @ right[columns].T - neutral)
    return found


def _taken(prepared: Any, places: np.ndarray, device: torch.device) -> Any:
    if isinstance(prepared, list):
        return [prepared[place] for place in places]
    return torch.from_numpy(prepared[places]).to(device)


def _masked(images: tuple[np.ndarray, np.ndarray] | None, places: np.ndarray, device: torch.device) -> Any:
    if images is None:
        return None
    return torch.from_numpy(images[0][places]).to(device), torch.from_numpy(images[1][places]).to(device)
