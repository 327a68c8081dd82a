"""``zeroshot``: every text/image pair of the chosen encoders, names and facts, with a handful of weights.

CLIP zero-shot (Radford et al., ICML 2021): score = Σ w_ab · cos over the pairs (tt, vv, tv, vt) whose encoders share a
space, so that it is CLIP zero-shot when the encoder is CLIP; a missing image drops its terms. Ours on top: name
evidence (:mod:`melink.candidates.name_score`) and stated facts (:mod:`melink.methods.triple_score`).

A cosine says little by itself: unrelated texts of one encoder meet at 0.1, of another at 0.6. Each pair is therefore
measured from its *neutral* value, the cosine of unrelated items, so that a missing picture (contribution 0) is neither
better nor worse than an irrelevant one. The weights below were chosen on training and validation mentions;
``melink train zeroshot`` fits them to yours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float32
from pydantic import Field
from scipy import sparse

from melink.candidates.name_score import NameScorer, NameSide
from melink.config import Config, parse
from melink.features.text import entity_texts, mention_text
from melink.kb.view import EntityView
from melink.methods.base import Context, Need, Parts
from melink.methods.confidence import Confidence
from melink.methods.names import entity_names, name_evidence
from melink.methods.triple_score import TripleScorer, TripleSide, context_words, coverage, tail_words
from melink.records import Entity, Mention

PAIRS: Final = {
    "text": ("text", "text"),
    "image": ("image", "image"),
    "text_image": ("text", "image"),
    "image_text": ("image", "text"),
}
"""Part name → (mention modality, entity modality)."""

NEUTRAL: Final[Mapping[str, Mapping[str, float]]] = {
    "minilm": {"text": 0.1},
    "classical": {"image": 0.3},
}
"""Mean cosine of unrelated items, by encoder; 0 where nobody has measured it. Fitted by ``melink train zeroshot``."""


F = TypeVar("F")


class Weights(Config):
    """What each part is multiplied by before it is added to the total; 0 turns a part off (names are always read)."""

    name: float = 1.25
    text: float = 1.0
    image: float = 0.5
    text_image: float = 1.0
    image_text: float = 1.0
    triples: float = 0.25


class ZeroShotSettings(Config):
    """Settings of ``zeroshot``."""

    entity_text: str = "auto"
    images_per_entity: int = Field(default=4, ge=1)
    weights: Weights = Weights()
    neutral: dict[str, float] | None = None
    confidence: Confidence = Confidence(temperature=0.08, nil=1.0)


@dataclass(frozen=True, slots=True)
class Tower:
    """Global vectors of one modality; ``owners`` maps a row to its mention or entity, ``n`` counts those."""

    vectors: Float32[np.ndarray, "r d"]
    present: Bool[np.ndarray, " r"]
    owners: np.ndarray
    n: int


@dataclass(frozen=True, slots=True)
class ZeroShotSide(Generic[F]):
    """One side of a batch: names, facts (None when they have no weight) and one tower per modality."""

    names: NameSide
    facts: F | None
    towers: Mapping[str, Tower]


class ZeroShot:
    """Scores by names, facts, and the cosines of whatever encoders are chosen."""

    name: ClassVar[str] = "zeroshot"
    paper: ClassVar[str] = "CLIP zero-shot (Radford et al., ICML 2021), with names and facts"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NAMES, Need.TEXT_GLOBAL, Need.IMAGE_GLOBAL, Need.TRIPLES})
    trains: ClassVar[bool] = False

    def __init__(self, context: Context, config: ZeroShotSettings) -> None:
        self.context = context
        self.config = config
        self.confidence = config.confidence
        self.encoders = {m: e for m, e in (("text", context.text), ("image", context.image)) if e is not None}
        self.pairs = {
            part: pair
            for part, pair in PAIRS.items()
            if all(m in self.encoders for m in pair)
            and self.encoders[pair[0]].space == self.encoders[pair[1]].space
            and getattr(config.weights, part) != 0
        }
        self._wants_facts = config.weights.triples != 0
        self._told: set[str] = set()
        self._names = NameScorer()
        self._facts = TripleScorer(context.kb.names.tail_doc_freq, len(context.kb))

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> ZeroShot:
        """Make the method over the encoders of the context."""
        return cls(context, parse(ZeroShotSettings, settings))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self.config.model_dump(mode="json")

    def warm(self, view: EntityView) -> None:
        """Encode every entity text and picture that the pairs need and the store lacks."""
        for modality in {pair[1] for pair in self.pairs.values()}:
            self.context.store.encode(self.encoders[modality], self._items(view, modality)[0])

    def entities(self, view: EntityView) -> ZeroShotSide[TripleSide]:
        """Prepare names, facts and towers of a chunk of entities."""
        towers = {}
        for modality in {pair[1] for pair in self.pairs.values()}:
            items, owners = self._items(view, modality)
            towers[modality] = self._tower(modality, items, owners, len(view))
        facts = self._facts.side(view.triples(row) for row in range(len(view))) if self._wants_facts else None
        return ZeroShotSide(self._names.side(entity_names(view)), facts, towers)

    def mentions(self, mentions: Sequence[Mention]) -> ZeroShotSide[sparse.csr_matrix]:
        """Prepare surfaces, contexts and towers of a batch of mentions."""
        towers = {}
        for modality in {pair[0] for pair in self.pairs.values()}:
            items = [mention_text(m) if modality == "text" else m.image for m in mentions]
            towers[modality] = self._tower(modality, items, np.arange(len(items)), len(items))
        facts = self._facts.contexts(mentions) if self._wants_facts else None
        return ZeroShotSide(self._names.side([mention.surface] for mention in mentions), facts, towers)

    def score(self, mentions: ZeroShotSide[sparse.csr_matrix], entities: ZeroShotSide[TripleSide]) -> Parts:
        """Return the weighted parts ``name``, ``triples`` and one for each encoder pair."""
        raw = {"name": self._names.score(mentions.names, entities.names)}
        if mentions.facts is not None and entities.facts is not None:
            raw["triples"] = self._facts.score(mentions.facts, entities.facts)
        for part, (left, right) in self.pairs.items():
            raw[part] = best_cosine(mentions.towers[left], entities.towers[right])
        weights, neutral = self.config.weights.model_dump(), self.neutral
        return {p: np.float32(weights[p]) * (raw[p] - np.float32(neutral.get(p, 0.0))) for p in raw}

    @property
    def neutral(self) -> Mapping[str, float]:
        """Neutral cosine of each part: fitted, or what was measured for the encoders in use."""
        if self.config.neutral is not None:
            return self.config.neutral
        return {k: v for encoder in self.encoders.values() for k, v in NEUTRAL.get(encoder.name, {}).items()}

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Name the alias and the facts that matched."""
        context = context_words(mention)
        facts = {
            triple.words(): coverage(tail_words(triple), context) * self._facts.rarity(triple.tail)
            for triple in (entity.triples if self._wants_facts else ())
        }
        matched = sorted((words for words in facts if facts[words] > 0.05), key=lambda words: -facts[words])
        return {**name_evidence(mention, entity), **({"matched_triples": matched[:3]} if matched else {})}

    def _items(self, view: EntityView, modality: str) -> tuple[list[str | None], np.ndarray]:
        if modality == "text":
            return list(entity_texts(view, self.config.entity_text)), np.arange(len(view))
        most = self.config.images_per_entity
        pairs = [(path, row) for row, paths in enumerate(view.column("images")) for path in list(paths or ())[:most]]
        return [path for path, _ in pairs], np.fromiter((row for _, row in pairs), np.int64, len(pairs))

    def _tower(self, modality: str, items: Sequence[str | None], owners: np.ndarray, n: int) -> Tower:
        store, encoder = self.context.store, self.encoders[modality]
        table = store.encode(encoder, items)
        absent = {item for item, there in zip(items, table.present, strict=True) if item is not None and not there}
        if fresh := sorted(absent - self._told):  # a picture is met in many batches and reported once
            self._told.update(fresh)
            store.encode(encoder, fresh, problems=self.context.problems)
        return Tower(table.vectors(), table.present, owners, n)


def best_cosine(mentions: Tower, entities: Tower) -> Float32[np.ndarray, "m n"]:
    """Return the cosine of each mention with each entity, the best over an entity's items; NaN when one has none."""
    cosine = np.full((mentions.n, entities.n), np.nan, dtype=np.float32)
    if not mentions.present.any() or not entities.present.any():
        return cosine
    # 64 bits: how a product is cut into blocks must not show in its fifth digit
    left, right = (side.vectors[side.present].astype(np.float64) for side in (mentions, entities))
    products = left @ right.T
    owners = entities.owners[entities.present]
    firsts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    best = products if len(firsts) == len(owners) else np.maximum.reduceat(products, firsts, axis=1)
    cosine[np.ix_(mentions.owners[mentions.present], owners[firsts])] = best
    return cosine
