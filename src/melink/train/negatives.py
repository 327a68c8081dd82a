"""Which entities a mention is told apart from, and which mentions share a batch.

May be a negative: any entity of the knowledge base but gold — another mention's gold in the batch, a hard candidate
mined for this mention, one mined for another. May not: gold itself, wherever else it turns up in the batch (one entity
is one column, so two mentions of it are never each other's negatives); an entity that cannot be told from gold because
it reads the same, letter for letter; anything when gold is NIL (such mentions are left out and counted).

Hard candidates come from any candidate generators. Between epochs they can be ordered anew by the model as it then is
(`refresh`), while validation runs, or mined anew from the whole knowledge base (`whole`). Batches hold confusable names
together: a pool of shuffled mentions is sorted by surname (the last word), so that one mention's gold is another's hard
negative for free. Mentions whose name alone decides teach little and are met at the rate `easy`. A loss over lists
(`listwise`) takes a mention's own hard candidates alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int64
from pydantic import Field

from melink.config import Config
from melink.kb.folding import fold
from melink.methods.trainable import Batch

NONE: Final = -1
"""Fills a list of candidates up."""


class NegativesConfig(Config):
    """How batches are made.

    Attributes:
        generators: Where hard candidates come from.
        given: File of the lists of the generator ``given``: what was published, say.
        pool: Hard candidates kept for each mention.
        hard: How many of them a mention brings into its batch, drawn anew each time.
        sharpness: How much more often the likeliest are drawn: odds e^(−sharpness · place / pool); 0 draws evenly.
        refresh: Order the pools anew by the model after each epoch.
        whole: Fill the pools anew before each epoch but the first: with what the model, as it then is, ranks highest in
            the whole knowledge base (:mod:`melink.train.mining`).
        group: Mentions sorted together, in batches; 1 leaves the order to chance.
        easy: Share of the mentions decided by name alone that an epoch meets.
        listwise: Tell a mention apart from its own hard candidates alone; leave out, and count, those whose gold is not
            among the candidates that were looked up.
    """

    generators: tuple[str, ...] = ("names", "fuzzy", "persons")
    given: str | None = None
    pool: int = Field(default=24, ge=0)
    hard: int = Field(default=2, ge=0)
    sharpness: float = Field(default=3.0, ge=0)
    refresh: bool = False
    whole: bool = False
    group: int = Field(default=8, ge=1)
    easy: float = Field(default=0.15, ge=0, le=1)
    listwise: bool = False


@dataclass(frozen=True)
class Pools:
    """Training mentions as places, with gold and hard candidates.

    Attributes:
        gold: Place of each mention's gold among the entities.
        hard: Places of its hard candidates, likeliest first, never gold or its doubles; :data:`NONE` at the end.
        doubles: For each entity, a number that entities which read the same share.
        surname: For each mention, what confusable mentions have in common.
        easy: Whether the name alone decides.
    """

    gold: Int64[np.ndarray, " m"]
    hard: Int64[np.ndarray, "m k"]
    doubles: Int64[np.ndarray, " n"]
    surname: list[str]
    easy: Bool[np.ndarray, " m"]


def make_pools(
    surfaces: Sequence[str],
    gold: Int64[np.ndarray, " m"],
    candidates: Sequence[Sequence[int]],
    texts: Sequence[str],
    easy: Bool[np.ndarray, " m"],
    pool: int,
) -> Pools:
    """Clean candidate lists of what may not be a negative.

    Args:
        surfaces: Of each mention.
        gold: Place of each mention's gold.
        candidates: Places of each mention's candidates, likeliest first.
        texts: What is read of each entity, names included.
        easy: See :class:`Pools`.
        pool: How many to keep.
    """
    numbers: dict[str, int] = {}
    doubles = np.asarray([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)
    surname = [(fold(s).split() or [""])[-1] for s in surfaces]
    return Pools(gold, _cleaned(gold, candidates, doubles, pool), doubles, surname, easy)


def refilled(pools: Pools, candidates: Sequence[Sequence[int]]) -> Pools:
    """Replace each mention's hard candidates by as many of others, likeliest first, as may be negatives."""
    hard = _cleaned(pools.gold, candidates, pools.doubles, pools.hard.shape[1])
    return Pools(pools.gold, hard, pools.doubles, pools.surname, pools.easy)


def most_doubles(pools: Pools) -> int:
    """Return how many entities, itself among them, read like the gold that most others read like."""
    return int(np.bincount(pools.doubles)[pools.doubles[pools.gold]].max())


def _cleaned(
    gold: Int64[np.ndarray, " m"], candidates: Sequence[Sequence[int]], doubles: Int64[np.ndarray, " n"], pool: int
) -> Int64[np.ndarray, "m k"]:
    """Return the first candidates of each mention that may be negatives, without repeats."""
    hard = np.full((len(gold), pool), NONE, dtype=np.int64)
    for m, own in enumerate(candidates):
        found = [place for place in dict.fromkeys(own) if place != NONE and doubles[place] != doubles[gold[m]]][:pool]
        hard[m, : len(found)] = found
    return hard


def reordered(pools: Pools, scores: Float[np.ndarray, "m k"]) -> Pools:
    """Order each mention's hard candidates by scores of the same shape, the highest first."""
    order = np.argsort(np.where(pools.hard == NONE, np.inf, -scores), axis=1, kind="stable")
    return Pools(pools.gold, np.take_along_axis(pools.hard, order, 1), pools.doubles, pools.surname, pools.easy)


def epoch_batches(pools: Pools, config: NegativesConfig, size: int, seed: int, epoch: int) -> list[Batch]:
    """Return the batches of an epoch; equal arguments give equal batches.

    Args:
        pools: What to draw from.
        config: How.
        size: Mentions in a batch, over all processes; the last batch may be smaller.
        seed: Of the run.
        epoch: From 0.
    """
    rng = np.random.default_rng([seed, epoch])
    order = _met(pools, config, rng)
    batches = [np.asarray(piece, dtype=np.int64) for piece in _pieces(order, pools.surname, size, config.group)]
    batches = [batches[place] for place in rng.permutation(len(batches))]
    return [batch_of(pools, own, _draw(pools.hard[own], config, rng), config.listwise) for own in batches]


def epoch_size(pools: Pools, config: NegativesConfig, size: int, seed: int, epoch: int) -> int:
    """Return how many batches :func:`epoch_batches` gives, without making them."""
    met = len(_met(pools, config, np.random.default_rng([seed, epoch])))
    return sum(-(-min(size * config.group, met - start) // size) for start in range(0, met, size * config.group))


def batch_of(
    pools: Pools, mentions: Int64[np.ndarray, " b"], drawn: Int64[np.ndarray, "b h"], listwise: bool = False
) -> Batch:
    """Return the batch of some mentions and the hard candidates drawn for them: columns, gold, what is allowed.

    Args:
        pools: What they were drawn from.
        mentions: Which.
        drawn: Hard candidates of each.
        listwise: Allow a mention its own alone.
    """
    entities, places = np.unique(np.concatenate([pools.gold[mentions], drawn[drawn != NONE]]), return_inverse=True)
    gold = places[: len(mentions)].astype(np.int64)
    same = pools.doubles[entities][None] == pools.doubles[pools.gold[mentions]][:, None]
    allowed = ~same
    if listwise:
        allowed &= (drawn[:, :, None] == entities).any(1)
    allowed[np.arange(len(mentions)), gold] = True
    return Batch(mentions, entities, gold, allowed)


def _met(pools: Pools, config: NegativesConfig, rng: np.random.Generator) -> Int64[np.ndarray, " m"]:
    """Return the mentions that an epoch meets, shuffled; all of them when it would meet none."""
    order = rng.permutation(len(pools.gold))
    kept: np.ndarray = order[~pools.easy[order] | (rng.random(len(order)) < config.easy)]
    return kept if len(kept) else order


def _pieces(order: Int64[np.ndarray, " m"], surname: Sequence[str], size: int, group: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size * group):
        pool = order[start : start + size * group].tolist()
        if group > 1:
            pool.sort(key=lambda m: surname[m])
        yield from (pool[at : at + size] for at in range(0, len(pool), size))


def _draw(
    hard: Int64[np.ndarray, "b k"], config: NegativesConfig, rng: np.random.Generator
) -> Int64[np.ndarray, "b h"]:
    """Draw ``config.hard`` of each row without repeats, by the Gumbel trick; the missing stay :data:`NONE`."""
    noise = rng.gumbel(size=hard.shape)
    if not hard.shape[1]:
        return hard
    odds = -config.sharpness * np.arange(hard.shape[1]) / hard.shape[1] + noise
    order = np.argsort(np.where(hard == NONE, np.inf, -odds), axis=1)[:, : config.hard]
    return np.take_along_axis(hard, order, 1)
