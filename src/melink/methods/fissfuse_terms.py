"""What the ranking engine asks of FissFuse (:class:`~melink.methods.pairwise.Pairwise`).

The fusion branch is a product of vectors: with name evidence it is the *middle*, what a shortlist is found by. The
fission branch is the *remainder*. Its vectors have a known length after their layer norms, but S₁* comes out of a
perceptron: a bound of the three is many times the range of totals and would rule nothing out. So the reach is infinite
(zero without the fission branch), and an exact ranking of a whole knowledge base scores every pair, in tiles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from melink.candidates.name_score import NameSide
from melink.errors import ConfigError
from melink.kb.view import EntityView
from melink.methods.blocks import by_length
from melink.methods.fissfuse_net import FISSION, FUSION, FissFuseNet, Scores, Terms, places
from melink.methods.name_curve import NameCurve, NameEvidence
from melink.methods.names import entity_names
from melink.methods.pairwise import Bounds
from melink.methods.reading import TokenReader, first_images
from melink.methods.tensors import fingerprint

TILE: Final = 1 << 20
"""Numbers of a tile of pairs, d for each: more fall out of a CPU's cache."""


class Side(NamedTuple):
    """One side at inference; ``names`` are None where they play no part."""

    names: NameSide | None
    terms: Terms


class Split(ABC):
    """Middle and remainder of the pairs of a FissFuse network; kept terms of entities."""

    heavy: ClassVar[frozenset[str]] = frozenset({"tokens", "patches", "text", "image", "asks_text", "asks_image"})
    remainder: ClassVar[frozenset[str]] = heavy | {"mask", "seen"}
    refining: ClassVar[frozenset[str]] = frozenset({"seen"})
    config: Any
    reader: TokenReader
    names: NameEvidence
    device: str

    @property
    @abstractmethod
    def net(self) -> FissFuseNet:
        """The network, as trained."""

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
        return fingerprint(self.net, self.reader.fingerprints(), settings)

    def terms(self, view: EntityView) -> Terms:
        """Return the terms of a chunk of entities, in 16 bits."""
        tables = self.reader.tables(self.read_entities(view), first_images(view))
        with torch.inference_mode():
            terms = self.net.entity(self.reader.read(tables, device=self.device))
            room = self.config.tokens - terms.mask.shape[1]
            patches = self.reader.image.sizes(["a picture"])[0] if self.reader.image and self.net.pictures else 0
            wide = terms._replace(
                tokens=F.pad(terms.tokens, (0, 0, 0, room)),
                mask=F.pad(terms.mask, (0, room)),
                patches=F.pad(terms.patches, (0, 0, 0, patches - terms.patches.shape[1])),
            )
            return converted(wide, torch.float16)

    def revived(self, terms: Terms, view: EntityView | None) -> Side:
        """Return the entity side that terms, as they are kept, stand for."""
        names = self.names.side(entity_names(view)) if view is not None else None
        return Side(names, converted(terms, torch.float32, self.device))

    def roughly(self, mentions: Side, entities: Side) -> Float[Tensor, "m n"]:
        """Return what the fusion branch and names say.

        Raises:
            ConfigError: The method has neither.
        """
        if self.net.fusion is None and not self.config.names:
            raise ConfigError(
                "without the fusion branch and without names there is nothing to find a shortlist by",
                "leave --shortlist out, or rank the candidates of generators: --candidates 100",
            )
        return self._middle(mentions, entities)

    def refined(self, mentions: Side, m: int, entities: Side) -> tuple[Tensor, Tensor]:
        """Return zero and the reach: the middle has nothing beyond :meth:`roughly`."""
        reach = self._reach(entities)
        return torch.zeros_like(reach), reach

    def bounded(self, mentions: Side, entities: Side) -> Bounds:
        """Return the middle of all pairs, and the reach."""
        return Bounds(self._middle(mentions, entities), self._reach(entities)[None])

    def tightened(self, mentions: Side, m: int, entities: Side) -> tuple[Tensor, Tensor]:
        """Return the reach either way: there is no closer bound."""
        reach = self._reach(entities)
        return -reach, reach

    def exactly(self, mentions: Side, m: int, entities: Side) -> Float[Tensor, " k"]:
        """Return what the fission branch says of one mention and some entities."""
        with torch.inference_mode():
            return summed(self.crossed(mentions.terms, m, entities.terms), len(entities.terms.seen))

    def densely(self, mentions: Side, entities: Side) -> Float[Tensor, "m n"]:
        """Return what the fission branch says of all pairs."""
        with torch.inference_mode():
            every = self.tiled(mentions.terms, entities.terms)
            shape = len(mentions.terms.seen), len(entities.terms.seen)
            return sum(every.values(), torch.zeros(shape, device=self.device))

    def crossed(self, mentions: Terms, m: int, entities: Terms) -> Scores:
        """Return what the scores of the fission branch contribute for one mention and some entities, [k] each."""
        own = max(1, int(mentions.mask[m].sum()))
        one = Terms(*(x[m : m + 1] for x in mentions))
        one = one._replace(tokens=one.tokens[:, :own], mask=one.mask[:, :own])
        longest = max(1, int(entities.mask.sum(1).max())) if len(entities.mask) else 1
        some = entities._replace(tokens=entities.tokens[:, :longest], mask=entities.mask[:, :longest])
        return {part: score[0] for part, score in self._fission(one, some).items()}

    def tiled(self, mentions: Terms, entities: Terms) -> Scores:
        """Return what the scores of the fission branch contribute for all pairs, [m n] each, a tile at a time."""
        m, n, d = len(mentions.seen), len(entities.seen), self.net.d
        found: Scores = {part: torch.zeros(m, n, device=self.device) for part in FISSION if part in self.net.parts}
        for columns, longest in by_length(entities.mask.sum(1), TILE // (4 * d)) if found and m and n else ():
            some = Terms(*(x[columns] for x in entities))
            some = some._replace(tokens=some.tokens[:, :longest], mask=some.mask[:, :longest])
            size = max(1, TILE // (d * len(columns)))
            for rows, most in by_length(mentions.mask.sum(1), size * max(1, mentions.mask.shape[1])):
                own = Terms(*(x[rows] for x in mentions))
                own = own._replace(tokens=own.tokens[:, :most], mask=own.mask[:, :most])
                for part, score in self._fission(own, some).items():
                    found[part][rows[:, None], columns[None]] = score
        return found

    def middling(self, mentions: Terms, entities: Terms) -> Scores:
        """Return what the scores of the fusion branch contribute for all pairs, [m n] each."""
        if self.net.fusion is None:
            return {}
        found = self.net.alike(*(Terms(*(x[None] for x in side)) for side in (mentions, entities)))
        both = mentions.seen[:, None] & entities.seen[None]
        return self.net.contributions({part: found[part][0] for part in FUSION if part in self.net.parts}, both)

    def _fission(self, mentions: Terms, entities: Terms) -> Scores:
        if self.net.fission is None:
            return {}
        both = mentions.seen[:, None] & entities.seen[None]
        m, e = (Terms(*(x[None] for x in side)) for side in (mentions, entities))
        found = self.net.found(m, e, both[None])
        return self.net.contributions({part: found[part][0] for part in FISSION if part in self.net.parts}, both)

    def _middle(self, mentions: Side, entities: Side) -> Float[Tensor, "m n"]:
        """Return the fusion branch's share of the totals as one product for each kind of mention, and names."""
        with torch.inference_mode():
            ours, theirs, net = mentions.terms, entities.terms, self.net
            total = torch.zeros(len(ours.seen), len(theirs.seen), device=self.device)
            for seen in (False, True) if net.fusion is not None else ():
                rows, both = places(ours.seen == seen), theirs.seen & seen
                used = [theirs.fused[:, i * net.d : (i + 1) * net.d] * (part in net.parts)
                        for i, part in enumerate(FUSION)]  # fmt: skip
                share = 1 / net.counted(both)
                vectors = torch.cat(used, 1) * share[:, None]
                total[rows] = ours.fused[rows] @ vectors.T
                if net.absent == "neutral" and "fusion_image" in net.neutral:
                    total[rows] -= (net.neutral["fusion_image"] * share * both)[None]
            named = self.names.bent(mentions.names, entities.names, self.curve)
            return total if named is None else total + torch.from_numpy(named).to(total)

    def _reach(self, entities: Side) -> Float[Tensor, " n"]:
        seen = entities.terms.seen
        return torch.full((len(seen),), 0.0 if self.net.fission is None else float("inf"), device=seen.device)


def converted(terms: Terms, kind: torch.dtype, device: str | None = None) -> Terms:
    """Return the terms in 16 bits, or back from them; what would overflow becomes the largest number."""
    most = torch.finfo(torch.float16).max

    def one(x: Tensor) -> Tensor:
        x = x.to(device)
        return x if x.dtype == torch.bool else (x.clamp(-most, most) if kind == torch.float16 else x).to(kind)

    return Terms(*(one(x) for x in terms))


def summed(parts: Scores, count: int) -> Float[Tensor, " k"]:
    """Return the sum of contributions; zeros without any."""
    found = list(parts.values())
    return torch.stack(found).sum(0) if found else torch.zeros(count)
