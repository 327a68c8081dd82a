"""A knowledge base of words."""

from __future__ import annotations

import pytest
from letters import words

from melink.kb.store import KnowledgeBase
from melink.records import Entity

COUNT = 50


@pytest.fixture(scope="session")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """Fifty words. It is shared: do not change it."""
    kb = KnowledgeBase.create(tmp_path_factory.mktemp("words") / "kb")
    kb.upsert(Entity(f"W{n:03}", word) for n, word in enumerate(words(COUNT)))
    return kb
