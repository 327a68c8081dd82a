"""``names``: the honest floor. No learning, no context: how alike the mention and an entity's names are.

Score: :mod:`melink.candidates.name_score`. Any method that does not beat this has not used its text or its image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from melink.candidates.name_score import NameScorer, NameSide, similarity
from melink.config import Config, parse
from melink.kb.view import EntityView
from melink.methods.base import Context, Need, Parts
from melink.methods.confidence import Confidence
from melink.records import Entity, Mention


class NamesSettings(Config):
    """Settings of ``names``."""

    confidence: Confidence = Confidence(temperature=0.05, nil=0.5)


class NamesMethod:
    """Ranks by name similarity alone."""

    name: ClassVar[str] = "names"
    paper: ClassVar[str] = "none: the floor that every method must beat"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NAMES})
    trains: ClassVar[bool] = False

    def __init__(self, config: NamesSettings) -> None:
        self.config = config
        self.confidence = config.confidence
        self._names = NameScorer()

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> NamesMethod:
        """Make the method; it reads nothing but names."""
        return cls(parse(NamesSettings, settings))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self.config.model_dump(mode="json")

    def warm(self, view: EntityView) -> None:
        """Compute nothing: names need no features."""

    def entities(self, view: EntityView) -> NameSide:
        """Index labels and aliases."""
        return self._names.side(entity_names(view))

    def mentions(self, mentions: Sequence[Mention]) -> NameSide:
        """Index the surfaces."""
        return self._names.side([mention.surface] for mention in mentions)

    def score(self, mentions: NameSide, entities: NameSide) -> Parts:
        """Return the part ``name`` in 0–1."""
        return {"name": self._names.score(mentions, entities)}

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Name the label or alias that matched."""
        return name_evidence(mention, entity)


def entity_names(view: EntityView) -> list[tuple[str, ...]]:
    """Return label and aliases of every entity of a view."""
    pairs = zip(view.labels, view.column("aliases"), strict=True)
    return [(label, *(aliases or ())) for label, aliases in pairs]


def name_evidence(mention: Mention, entity: Entity) -> dict[str, Any]:
    """Return the entity's name that is most like the mention, and how much."""
    best = max(entity.names, key=lambda name: similarity(mention.surface, name))
    return {"matched_name": best, "name_similarity": round(similarity(mention.surface, best), 4)}
