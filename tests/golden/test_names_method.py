"""``names``, the floor: the best similarity of an entity's names, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from melink.candidates.name_score import similarity
from melink.errors import ConfigError
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context
from melink.methods.names import NamesMethod
from melink.records import Entity, Mention

ENTITIES = (
    Entity("E1", "Georgia", ("Sakartvelo",), "Country."),
    Entity("E2", "Georgia O'Keeffe", description="Painter of Georgia and flowers."),
    Entity("E3", "South Georgia", images=("x.png",)),
)


def test_scores_by_hand(make_kb: Callable[..., KnowledgeBase]) -> None:
    kb = make_kb(*ENTITIES)
    method = NamesMethod.build(Context(kb, FeatureStore(kb.features_dir)), {})
    mentions = [Mention("1", "In Georgia", "Georgia"), Mention("2", "x", "sakartvelo"), Mention("3", "x", "O'Keefe")]
    parts = method.score(method.mentions(mentions), method.entities(kb.view()))
    expected = [[max(similarity(m.surface, name) for name in e.names) for e in ENTITIES] for m in mentions]
    assert set(parts) == {"name"}
    np.testing.assert_allclose(parts["name"], expected, atol=1e-6)
    assert parts["name"][0, 0] == parts["name"][1, 0] == 1.0
    assert method.explain(mentions[1], ENTITIES[0]) == {"matched_name": "Sakartvelo", "name_similarity": 1.0}


def test_settings(make_kb: Callable[..., KnowledgeBase]) -> None:
    kb = make_kb(*ENTITIES)
    context = Context(kb, FeatureStore(kb.features_dir))
    method = NamesMethod.build(context, {"confidence": {"nil": 0.25}})
    assert method.confidence.nil == 0.25
    assert NamesMethod.build(context, method.settings()).settings() == method.settings()
    with pytest.raises(ConfigError, match="weights"):
        NamesMethod.build(context, {"weights": {}})
    with pytest.raises(ConfigError, match="temperature"):
        NamesMethod.build(context, {"confidence": {"temperature": 0}})
