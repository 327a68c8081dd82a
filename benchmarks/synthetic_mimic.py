"""``mimic`` over synthetic features instead of encoders; everything else is the product's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from melink.methods.matcher import EntityTerms, Matcher, Read, halved
from melink.methods.mimic import Mimic, MimicSettings, Net
from melink.methods.mimic_bounds import EntitySide, MentionSide
from melink.methods.name_curve import NameEvidence
from melink.methods.tensors import fingerprint
from melink.ranking.kept import CHUNK, Kept
from melink.records import Mention
from synthetic import CHUNK as DRAWN
from synthetic import Sides, World


class Rows:
    """Stands for a view of entities that exist as rows only.

    Args:
        start: First row.
        stop: One past the last.
    """

    key = "synthetic"

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def slice(self, start: int, stop: int) -> Rows:
        """Return some consecutive rows."""
        return Rows(self.start + start, self.start + stop)


class SyntheticMimic(Mimic):
    """MIMIC that reads a :class:`~synthetic.World`; a mention's text is its place among ``own``.

    Args:
        matcher: With its weights.
        world: Where entities come from.
        own: Features of all mentions.
    """

    def __init__(self, matcher: Matcher, world: World, own: Sides) -> None:
        self.config, self.device, self.names = MimicSettings(), str(world.device), NameEvidence(False)
        self.module = Net(matcher, names=False).eval()
        self.world, self.own = world, own
        self._made_of = fingerprint(matcher, [], f"{world.seed} {world.without_picture} {world.device}")

    def fingerprint(self) -> str:
        """Hash what the terms were made of."""
        return self._made_of

    def terms(self, view: Any) -> EntityTerms:
        """Return the terms of rows, in 16 bits."""
        return joined([halved(self._net.matcher.entity(Read(*drawn))) for drawn in drawn_rows(self.world, view)])

    def revived(self, terms: EntityTerms, view: Any) -> EntitySide:
        """Return the entity side; rows have no names."""
        return super().revived(terms, None)

    def mentions(self, mentions: Sequence[Mention]) -> MentionSide:
        """Return the terms of mentions."""
        places = torch.tensor([int(mention.text) for mention in mentions])
        with torch.inference_mode():
            return MentionSide(None, self._net.matcher.mention(Read(*self.own.part(places))))


class Repeated(Kept):
    """The first rows of kept terms, or all of them over and over.

    Args:
        kept: The terms.
        count: How many rows there are then.
    """

    def __init__(self, kept: Kept, count: int) -> None:
        vars(self).update(vars(kept))
        self.count, self._rows = count, len(kept)

    def __len__(self) -> int:
        return self.count

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield the bounds of chunks, none of which goes beyond one repetition."""
        for first in range(0, self.count, self._rows):
            last = min(first + self._rows, self.count)
            for start in range(first, last, CHUNK):
                yield start, min(start + CHUNK, last)

    def _read(self, rows: Any, wanted: frozenset[str]) -> Any:
        if isinstance(rows, slice):
            first = rows.start - rows.start % self._rows
            return super()._read(slice(rows.start - first, rows.stop - first), wanted)
        return super()._read(rows % self._rows, wanted)


def drawn_rows(world: World, view: Rows) -> Iterator[Sides]:
    """Yield the features of rows as they are drawn."""
    for chunk in range(view.start // DRAWN, -(-view.stop // DRAWN)):
        first = chunk * DRAWN
        yield world.entities(chunk).part(slice(max(view.start - first, 0), view.stop - first))


def joined(parts: Sequence[Any]) -> Any:
    """Return nested named tuples of tensors as one, rows after rows."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    return type(parts[0])(*(joined(list(leaves)) for leaves in zip(*parts, strict=True)))
