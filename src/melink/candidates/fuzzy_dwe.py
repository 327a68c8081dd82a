"""Fuzzy candidates exactly as DWE+ describes them, for reproduction (protocol C of METHODS.md §0).

``extract`` of fuzzywuzzy with limit λ = 100 over the *names of the data set's gold entities*, keyed by the mention
string: the WRatio scorer after its default processing (letters and digits kept, lower case), integer scores, ties in
the order of the names. fuzzywuzzy lives on as thefuzz, which calls RapidFuzz; so do we. Slow (every name for every
mention) and closed-world: for linking use :mod:`melink.candidates.fuzzy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rapidfuzz import fuzz, process, utils

from melink.candidates.base import Hits
from melink.kb.store import KnowledgeBase
from melink.records import Mention

LIMIT = 100


class FuzzyDWE:
    """Searches the labels of a closed knowledge base; for the published protocol, one of gold entities only."""

    name: ClassVar[str] = "fuzzy-dwe"

    def __init__(self, kb: KnowledgeBase) -> None:
        view = kb.view()
        self._ids = view.ids
        self._choices = [utils.default_process(label) for label in view.labels]
        self._cache: dict[str, Hits] = {}

    def search(self, mentions: Sequence[Mention], k: int = LIMIT) -> list[Hits]:
        """Return the ``min(k, 100)`` best names by integer WRatio (0–100), ties in knowledge-base order."""
        return [self._extract(mention.surface)[:k] for mention in mentions]

    def _extract(self, surface: str) -> Hits:
        if surface not in self._cache:
            query = utils.default_process(surface)
            scores = process.cdist([query], self._choices, scorer=fuzz.WRatio)[0]
            best = sorted(range(len(scores)), key=lambda place: -round(float(scores[place])))[:LIMIT]
            self._cache[surface] = [(self._ids[place], float(round(float(scores[place])))) for place in best]
        return self._cache[surface]
