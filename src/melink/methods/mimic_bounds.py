"""What the ranking engine asks of MIMIC and its kin (:class:`~melink.methods.pairwise.Pairwise`).

The total without attention's say is cheap for all pairs; attention's say is bounded, because a layer norm has a fixed
length: |⟨g, z̃⟩ / sd(z)| ≤ ‖g‖ √d (docs/ranking.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from melink.candidates.name_score import NameSide
from melink.kb.view import EntityView
from melink.methods.hull import between, hull_of
from melink.methods.matcher import EntityTerms, Matcher, MentionTerms, Scores, halved, only, squares, there
from melink.methods.name_curve import NameCurve, NameEvidence
from melink.methods.names import entity_names
from melink.methods.pairwise import Bounds
from melink.methods.reading import TokenReader, first_images
from melink.methods.tensors import fingerprint


class MentionSide(NamedTuple):
    """Mentions at inference."""

    names: NameSide | None
    terms: MentionTerms


class EntitySide(NamedTuple):
    """Entities at inference; ``gained`` and ``fixed`` are those of :meth:`~melink.methods.matcher.TGLU.weighed`."""

    names: NameSide | None
    terms: EntityTerms
    gained: Float[Tensor, "n d"]
    fixed: Float[Tensor, " n"]


class Bounded(ABC):
    """Middle, reach and remainder of the pairs of a matcher; kept terms of entities."""

    heavy: ClassVar[frozenset[str]] = frozenset({"queries"})
    remainder: ClassVar[frozenset[str]] = frozenset({"queries", "whole", "mask", "seen"})
    refining: ClassVar[frozenset[str]] = frozenset({"asked", "asking", "whole", "mask", "seen"})
    config: Any
    reader: TokenReader
    names: NameEvidence
    device: str

    @property
    @abstractmethod
    def matcher(self) -> Matcher:
        """The matcher, as trained."""

    @property
    @abstractmethod
    def curve(self) -> NameCurve | None:
        """What names are worth; None when they play no part."""

    @abstractmethod
    def read_entities(self, view: EntityView) -> list[str]:
        """Return what the encoder reads of entities."""

    def fingerprint(self) -> str:
        """Hash what the terms of entities depend on."""
        settings = self.config.model_dump(mode="json", exclude={"confidence", "names", "absent", "mention_template"})
        return fingerprint(self.matcher, self.reader.fingerprints(), settings)

    def terms(self, view: EntityView) -> EntityTerms:
        """Return the terms of a chunk of entities, in 16 bits."""
        tables = self.reader.tables(self.read_entities(view), first_images(view))
        with torch.inference_mode():
            terms = self.matcher.entity(self.reader.read(tables, device=self.device))
            room = self.config.tokens - terms.mask.shape[1]
            queries, mask = F.pad(terms.queries, (0, 0, 0, room)), F.pad(terms.mask, (0, room))
            return halved(terms._replace(queries=queries, mask=mask))

    def revived(self, terms: EntityTerms, view: EntityView | None) -> EntitySide:
        """Return what :meth:`score` takes, from terms as they are kept."""
        with torch.inference_mode():
            full = halved(terms, torch.float32, self.device)
            names = self.names.side(entity_names(view)) if view is not None else None
            return EntitySide(names, full, *self.matcher.tglu.weighed(full.whole))

    def roughly(self, mentions: MentionSide, entities: EntitySide) -> Float[Tensor, "m n"]:
        """Return the total without what attention and the DUALs say: one product, and name evidence."""
        with torch.inference_mode():
            ours, theirs = mentions.terms, entities.terms
            plain, third = self._portion(torch.zeros_like(theirs.seen)) / 2, self._portion(theirs.seen) / 2
            fixed, neutral = entities.fixed * theirs.mask.any(1), self._neutral(1) / 3 * theirs.seen
            bare = [theirs.text * plain[:, None], (fixed * plain)[:, None]]
            seen = [
                theirs.text * third[:, None],
                (fixed * third - neutral)[:, None],
                theirs.fused * (theirs.seen / 3)[:, None],
            ]
            one = ours.mask.any(1, keepdim=True).to(ours.text.dtype)
            total = ours.text.new_empty(len(ours.text), len(theirs.text))
            for rows, vectors in ((~ours.seen, bare), (ours.seen, seen)):
                if bool(rows.any()):
                    own = torch.cat([ours.text, one, ours.fused], 1)[rows, : sum(v.shape[1] for v in vectors)]
                    total[rows] = own @ torch.cat(vectors, 1).T
            return self._with_names(mentions, entities, total)

    def refined(self, mentions: MentionSide, m: int, entities: EntitySide) -> tuple[Tensor, Tensor]:
        """Return what the DUALs say, and how large attention's say can be, of one mention with some entities."""
        with torch.inference_mode():
            terms, matcher = entities.terms, self.matcher
            both = mentions.terms.seen[m] & terms.seen
            reach = (squares(entities.gained) * matcher.d).sqrt() / 2 * self._portion(both)
            if not bool(both.any()):
                return torch.zeros_like(reach), reach
            one = torch.tensor([m], device=both.device)
            image = matcher.vdlu(only(mentions.terms, one), terms)[0]
            return torch.where(both, (image - self._neutral(0)) / 3, 0.0), reach

    def bounded(self, mentions: MentionSide, entities: EntitySide) -> Bounds:
        """Return the total without attention's say, and how large that can be: a layer norm has a fixed length."""
        with torch.inference_mode():
            matcher, text = self.matcher, self._text(mentions, entities)
            scores = Scores(text, *matcher.visual(mentions.terms, entities.terms))
            reach = (squares(entities.gained) * matcher.d).sqrt() / 2
            both = scores.both if bool(mentions.terms.seen.any()) else scores.both[:1]
            return Bounds(self._total(mentions, entities, scores), reach[None] * self._portion(both))

    def tightened(self, mentions: MentionSide, m: int, entities: EntitySide) -> tuple[Tensor, Tensor]:
        """Return the range of attention's say, by the hull of the mention's values (:mod:`melink.methods.hull`)."""
        with torch.inference_mode():
            values = mentions.terms.values[m, mentions.terms.mask[m]]
            if not len(values):
                nothing = entities.gained.new_zeros(len(entities.gained))
                return nothing, nothing
            low, high = between(entities.gained @ values.T, hull_of(values, self.matcher.tglu.norm.eps))
            share = self._portion(mentions.terms.seen[m] & entities.terms.seen) / 2 * entities.terms.mask.any(1)
            return low * share, high * share

    def exactly(self, mentions: MentionSide, m: int, entities: EntitySide) -> Float[Tensor, " k"]:
        """Return attention's say for one mention and some entities."""
        with torch.inference_mode():
            found = self.matcher.tglu.pairs(mentions.terms, m, entities.terms, entities.gained)
            return found / 2 * self._portion(mentions.terms.seen[m] & entities.terms.seen)

    def densely(self, mentions: MentionSide, entities: EntitySide) -> Float[Tensor, "m n"]:
        """Return attention's say for all pairs."""
        with torch.inference_mode():
            local = self.matcher.tglu.local(mentions.terms, entities.terms, entities.gained)
            return local / 2 * self._portion(mentions.terms.seen[:, None] & entities.terms.seen[None])

    def _total(self, mentions: MentionSide, entities: EntitySide, scores: Scores) -> Float[Tensor, "m n"]:
        return self._with_names(mentions, entities, self.matcher.combine(scores))

    def _with_names(self, mentions: MentionSide, entities: EntitySide, total: Tensor) -> Float[Tensor, "m n"]:
        named = self.names.bent(mentions.names, entities.names, self.curve)
        return total if named is None else total + torch.from_numpy(named).to(total)

    def _text(self, mentions: MentionSide, entities: EntitySide) -> Float[Tensor, "m n"]:
        return (mentions.terms.text @ entities.terms.text.T + self._fixed(mentions, entities)) / 2

    def _fixed(self, mentions: MentionSide, entities: EntitySide) -> Float[Tensor, "m n"]:
        return entities.fixed * there(mentions.terms, entities.terms)

    def _portion(self, both: Tensor) -> Tensor:
        """Return what share of S_T counts."""
        if not self.matcher.pictures:
            return torch.ones_like(both, dtype=torch.float32)
        third = torch.tensor(1 / 3, device=both.device)
        return third.expand(both.shape) if self.config.absent == "neutral" else torch.where(both, third, 1.0)

    def _neutral(self, part: int) -> Tensor | float:
        wanted = self.config.absent == "neutral" and self.matcher.pictures
        return self.matcher.neutral[part] if wanted else 0.0
