"""Near names: entities that share character trigrams with the mention, ordered by name similarity.

The index proposes by trigram; :func:`melink.candidates.name_score.similarity` orders. For the fuzzy matching that
DWE+ describes, see :mod:`melink.candidates.fuzzy_dwe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from melink.candidates.base import Hits
from melink.candidates.name_score import NameScorer
from melink.candidates.rescore import by_name_similarity
from melink.kb.store import KnowledgeBase
from melink.records import Mention


class Fuzzy:
    """Trigram search with the project's name similarity on top."""

    name: ClassVar[str] = "fuzzy"

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb
        self._scorer = NameScorer()

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return similar names, most similar first."""
        found = [[id for id, _ in self._kb.names.by_grams(mention.surface, k)] for mention in mentions]
        return by_name_similarity(self._kb, self._scorer, mentions, found)
