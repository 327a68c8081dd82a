"""One door to ranking a whole knowledge base, whatever the method can do.

Any method is ranked by the exact pass of :mod:`melink.ranking.full`. One that splits its total
(:class:`~melink.methods.pairwise.Pairwise`) keeps its entity side on disk and is ranked by certified bounds, with the
same result; or, when asked, approximately by a shortlist.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from melink.errors import ConfigError
from melink.kb.store import KnowledgeBase
from melink.methods.base import Method
from melink.methods.pairwise import Pairwise
from melink.ranking.certified import Ranking, certified
from melink.ranking.full import rank_all
from melink.ranking.kept import Kept, pictures_of
from melink.ranking.shortlist import SAMPLE, shortlisted
from melink.records import Mention


def rank(
    method: Method,
    kb: KnowledgeBase,
    mentions: Sequence[Mention],
    k: int,
    gold: Int64[np.ndarray, " m"] | None = None,
    ties: Any = "mean",
    shortlist: int | None = None,
    sample: int = SAMPLE,
    terms: Path | None = None,
) -> Ranking:
    """Return the k best entities of the whole knowledge base for each mention, and the rank of its gold.

    Args:
        method: Scores.
        kb: What is ranked.
        mentions: Any number.
        k: How many of the best are wanted.
        gold: Row of each mention's gold in ``kb.view()``, −1 or None where ranks are not wanted.
        ties: Tie rule of ranks (:mod:`melink.ranking.ranks`).
        shortlist: Rank only so many of each mention's entities, found by vectors; None is exact.
        sample: Mentions that a shortlist's recall is measured on; 0 for none.
        terms: Where the entity side is kept; with the features of the knowledge base when None.

    Raises:
        ConfigError: A shortlist is asked of a method that has no vectors to find one by.
    """
    if shortlist is not None and not isinstance(method, Pairwise):
        raise ConfigError(
            f"{method.name} scores everything directly: it has nothing to shortlist by",
            "leave --shortlist out, or rank the candidates of generators: --candidates 100 --generator dense",
        )
    view = kb.view()
    gold = np.full(len(mentions), -1) if gold is None else gold
    method.warm(view)
    if isinstance(method, Pairwise) and len(view):
        kept = Kept(method, view, terms or kb.features_dir / "terms", pictures_of(view))
        if shortlist is not None:
            return shortlisted(method, kept, mentions, gold, k, shortlist, ties, sample)
        return certified(method, kept, mentions, gold, k, ties)
    counts = rank_all(method, view, mentions, gold, k)
    ranks, pairs = counts.counter.ranks(ties), len(view) * len(mentions)
    return Ranking(counts.best.rows(), counts.best.scores(), ranks, [len(view)] * len(mentions), pairs)
