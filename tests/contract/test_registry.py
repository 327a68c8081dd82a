"""What a registered part owes: a test worked by hand, a source, a place in the documentation, the common shape."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from melink import registry
from melink.errors import ConfigError, NotFound
from melink.features.load import load_image, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.linker import assemble
from melink.methods.base import Context, Method, Need, total
from melink.methods.confidence import Confidence
from melink.methods.pairwise import Pairwise
from melink.methods.trainable import Batch
from melink.records import Entity, Mention, Triple
from melink.runs import Run, read_run

ROOT = Path(__file__).parents[2]
METHODS = registry.names("method")
KINDS = ("method", "reranker", "generator", "encoder", "dataset")
MakeKB = Callable[..., KnowledgeBase]
Draw = Callable[[str, int], str]


def rows_of_tables() -> str:
    """Return every table row of the documentation."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    return "\n".join(
        line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if line[:1] == "|"
    )


@pytest.mark.parametrize("name", [*METHODS, *registry.names("reranker")])
def test_a_method_or_reranker_has_a_test_worked_by_hand(name: str) -> None:
    plain = name.replace("-", "_")
    files = list((ROOT / "tests" / "golden").glob(f"test_{plain}*.py"))
    assert files, f"write tests/golden/test_{plain}_by_hand.py"
    assert any("def test_" in file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_states_its_source(name: str) -> None:
    kind = registry.load("method", name)
    module = importlib.import_module(kind.__module__)
    assert kind.__doc__ and len(module.__doc__ or "") > 100
    assert kind.paper, "the paper, or that there is none"
    assert re.search(r"docs/|melink\.candidates|https?://|\b(19|20)\d\d\b", module.__doc__ or "")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in registry.names(kind)],
)
def test_a_registered_name_has_a_row_in_the_documentation(kind: str, name: str) -> None:
    assert re.search(rf"`{re.escape(name)}[`:]", rows_of_tables()), f"add a table row for {kind} `{name}` to docs/"


@pytest.fixture
def context(make_kb: MakeKB, picture: Draw) -> Context:
    kb = make_kb(
        Entity(
            "E1", "Ann", ("Annie",), "Singer.", triples=(Triple("p", "singer", True),), images=(picture("a.png", 1),)
        ),
        Entity("E2", "Ann Lee"),
        Entity("E3", "", description="Nameless."),
    )
    store = FeatureStore(kb.features_dir)
    return Context(kb, store, load_text("minilm"), load_image("classical"))


def build(name: str, context: Context) -> Method:
    method: Method = registry.load("method", name).build(context, {})
    return method


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_shape(name: str, context: Context, picture: Draw) -> None:
    method = build(name, context)
    assert method.name == name and isinstance(method.trains, bool)
    assert method.needs <= set(Need) and isinstance(method.confidence, Confidence)
    mentions = [
        Mention("1", "Ann sings", "Ann", 0, 3, picture("m.png", 2)),
        Mention("2", "🎉", "🎉"),
        Mention("3", "Ann", "Ann", image="gone.png"),
        Mention("4", "singer Zoe", "Zoe", triples=(Triple("p", "singer", True),)),
    ]
    view = context.kb.view()
    method.warm(view)
    parts = method.score(method.mentions(mentions), method.entities(view))
    for part, values in parts.items():
        assert values.shape == (4, 3) and values.dtype == np.float32, part
        assert not np.isinf(values).any()
    scores = total(parts)
    assert np.isfinite(scores).all()
    if not isinstance(method, Pairwise):  # random units say nothing yet
        assert scores[0].argmax() == 0
    off = 3e-4 if isinstance(method, Pairwise) else 0.0  # sums of 32-bit products, of about 100 in all
    for row, mention in enumerate(mentions):
        alone = total(method.score(method.mentions([mention]), method.entities(view)))
        np.testing.assert_allclose(alone[0], scores[row], rtol=0, atol=off)
        some = total(method.score(method.mentions([mention]), method.entities(view.take(np.array([2, 0])))))
        np.testing.assert_allclose(some[0], scores[row, [2, 0]], rtol=0, atol=off)
    renamed = total(method.score(method.mentions([replace(m, id="x") for m in mentions]), method.entities(view)))
    np.testing.assert_array_equal(renamed, scores)  # ids of some benchmarks give gold away
    assert isinstance(method.explain(mentions[0], view.entity(0)), dict)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_made_again_from_its_settings(name: str, context: Context) -> None:
    method = build(name, context)
    kind = registry.load("method", name)
    assert kind.build(context, method.settings()).settings() == method.settings()
    with pytest.raises(ConfigError, match="no_such_setting") as wrong:
        kind.build(context, {"no_such_setting": 1})
    assert "known keys are" in wrong.value.remedy


@pytest.mark.parametrize("name", [name for name in METHODS if registry.load("method", name).trains])
def test_a_method_with_tensors_can_be_trained_and_read_back(name: str, context: Context, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has to be trained first"):
        read_run(name)
    assert read_run(name, untrained=True).method == name
    method: Any = build(name, context)
    method.start_training()
    groups = method.groups(1e-4, 1e-3)
    trained = {id(parameter) for parameter in method.module.parameters() if parameter.requires_grad}
    assert sorted(trained) == sorted(id(parameter) for group in groups for parameter in group["params"])
    mentions = [
        Mention("1", "Ann sings", "Ann", 0, 3),
        Mention("2", "Ann Lee", "Ann Lee", 0, 7),
        Mention("3", "?", "?"),
    ]
    view = context.kb.view()
    prepared = method.prepare(mentions, view)
    batch = Batch(np.arange(3), np.arange(3), np.array([0, 1, -1]), np.ones((3, 3), dtype=bool))
    step = method.module(method.collate(prepared, batch))
    assert step.scores.shape == (3, 3) and step.loss.isfinite() and step.loss.ndim == 0
    step.loss.backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in method.module.parameters())
    run = Run(method=name, settings=method.settings(), **method.save(tmp_path)).model_copy(update={"folder": tmp_path})
    again = assemble(run, context.kb).method
    found = total(again.score(again.mentions(mentions), again.entities(view)))
    method.module.eval()
    np.testing.assert_allclose(found, method.module(method.collate(prepared, batch)).scores.detach(), atol=2e-2)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_nobody(name: str, context: Context) -> None:
    method = build(name, context)
    view = context.kb.view()
    empty = view.slice(0, 0)
    assert total(method.score(method.mentions([]), method.entities(view))).shape == (0, 3)
    assert total(method.score(method.mentions([Mention("1", "a", "a")]), method.entities(empty))).shape == (1, 0)
