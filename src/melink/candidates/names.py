"""Exact names: entities whose label or an alias is the mention, case, accents and punctuation apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from melink.candidates.base import Hits
from melink.kb.store import KnowledgeBase
from melink.records import Mention


class Names:
    """Looks the surface up in the names index."""

    name: ClassVar[str] = "names"

    def __init__(self, kb: KnowledgeBase) -> None:
        self._index = kb.names

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return the bearers of the name; all tie with score 1."""
        return [[(id, 1.0) for id, _ in self._index.exact(mention.surface, k)] for mention in mentions]
