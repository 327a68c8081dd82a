"""Fuzzy candidates exactly as DWE+ describes them, for reproduction (protocol C of docs/evaluation.md).

``extract`` of fuzzywuzzy with limit λ = 100 over the *names of the data set's gold entities*, keyed by the mention
string: the WRatio scorer after its default processing (letters and digits kept, lower case), integer scores, ties in
the order of the names. fuzzywuzzy lives on as thefuzz, which calls RapidFuzz; so do we. Slow (every name for every
mention) and closed-world: for linking use :mod:`melink.candidates.fuzzy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from rapidfuzz import fuzz, process, utils

from melink.candidates.base import Hits
from melink.kb.store import KnowledgeBase
from melink.kb.view import EntityView
from melink.records import Mention

LIMIT = 100


class FuzzyDWE:
    """Searches the labels of a closed knowledge base; for the published protocol, one of gold entities only."""

    name: ClassVar[str] = "fuzzy-dwe"

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb
        self._read(kb.view())

    def _read(self, view: EntityView) -> None:
        self._view = view
        self._choices = [utils.default_process(label) for label in view.labels]
        self._cache: dict[str, Hits] = {}

    def search(self, mentions: Sequence[Mention], k: int = LIMIT) -> list[Hits]:
        """Return the ``min(k, 100)`` best names by integer WRatio (0–100), ties in knowledge-base order."""
        if self._kb.view() is not self._view:
            self._read(self._kb.view())
        return [self._extract(mention.surface)[:k] for mention in mentions]

    def _extract(self, surface: str) -> Hits:
        if surface not in self._cache:
            query = utils.default_process(surface)
            scores = process.cdist([query], self._choices, scorer=fuzz.WRatio, dtype=np.float64)[0].round()
            best = np.argsort(-scores, kind="stable")[:LIMIT].tolist()
            self._cache[surface] = [(self._view.ids[place], float(scores[place])) for place in best]
        return self._cache[surface]
