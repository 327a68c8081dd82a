"""Full text: entities whose label, aliases, description or attributes share rare words with the sentence (BM25)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from melink.candidates.base import Hits
from melink.kb.store import KnowledgeBase
from melink.records import Mention


class Lexical:
    """BM25 over the text of entities."""

    name: ClassVar[str] = "lexical"

    def __init__(self, kb: KnowledgeBase) -> None:
        self._index = kb.names

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return entities by BM25 of the whole sentence."""
        return [self._index.lexical(mention.text or mention.surface, k) for mention in mentions]
