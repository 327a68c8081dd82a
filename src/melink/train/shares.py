"""Random shares of training mentions, each inside the larger ones; sentences stay whole."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from melink.errors import InputError
from melink.kb.view import EntityView
from melink.records import Labelled
from melink.train.answers import numbered, sentence

By = Literal["sentence", "mention", "entity"]
"""What is drawn: whole sentences, single mentions, or entities with all their mentions."""
_SALT: Final = 4217


class Share(NamedTuple):
    """Training mentions that were drawn, in the order of the file, and how many sentences they come from."""

    samples: list[Labelled]
    sentences: int


def draw(samples: Sequence[Labelled], per_cent: float, seed: int, by: By = "sentence") -> Share:
    """Draw a share of the mentions.

    What is drawn is shuffled once by the seed and taken from the front, so that with equal seeds a smaller share is
    inside a larger one, until the mentions are at least as many as asked for.

    Args:
        samples: Mentions with gold.
        per_cent: How many of them, above 0 and up to 100.
        seed: Of the order.
        by: What is drawn.

    Raises:
        InputError: A share that cannot be, or no mention.
    """
    if not 0 < per_cent <= 100:
        raise InputError(f"a share of {per_cent:g} per cent", "give shares above 0 and up to 100")
    if not samples:
        raise InputError("no mention to draw from", "check that 'qid' holds ids of this knowledge base")
    keys: list[Hashable] = [_key(sample, by) for sample in samples]
    groups = numbered(keys)
    sizes = np.bincount(groups)
    order = np.random.default_rng([seed, _SALT]).permutation(len(sizes))
    wanted = max(1, round(len(samples) * per_cent / 100))
    taken = order[: int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1]
    kept = np.isin(groups, taken)
    drawn = [sample for sample, inside in zip(samples, kept, strict=True) if inside]
    return Share(drawn, len({sentence(sample) for sample in drawn}))


def linkable(samples: Sequence[Labelled], view: EntityView) -> list[Labelled]:
    """Return the mentions whose gold is in the knowledge base: those that can be learnt from."""
    return [sample for sample in samples if sample.gold is not None and view.row(sample.gold) is not None]


def _key(sample: Labelled, by: By) -> Any:
    return {"sentence": sentence(sample), "mention": None, "entity": sample.gold}[by]
