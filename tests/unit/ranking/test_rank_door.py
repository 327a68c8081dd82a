"""One door to ranking: the same answer whatever the method can do, and a plain word where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from letters import Letters, asked

from melink.errors import ConfigError
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context, total
from melink.methods.names import NamesMethod
from melink.methods.pairwise import Pairwise
from melink.ranking import full
from melink.ranking.rank import rank
from melink.ranking.ranks import rank_of
from melink.records import Entity


def names_of(kb: KnowledgeBase) -> NamesMethod:
    return NamesMethod.build(Context(kb, None), {})  # type: ignore[arg-type]


@pytest.mark.parametrize("ties", ["mean", "optimistic", "pessimistic"])
def test_a_method_without_bounds_is_ranked_by_scoring_everything(wordy: KnowledgeBase, ties: str) -> None:
    method, mentions, view = names_of(wordy), asked(9), wordy.view()
    gold = np.array([0, 49, -1, 6, 7, 13, 20, 1, 2])
    assert not isinstance(method, Pairwise)
    found = rank(method, wordy, mentions, 5, gold, ties)
    scores = total(method.score(method.mentions(mentions), method.entities(view)))
    for m, own in enumerate(scores):
        assert found.rows[m].tolist() == sorted(range(50), key=lambda row: (-own[row], row))[:5]
        assert gold[m] < 0 or found.ranks[m] == rank_of(own, int(gold[m]), ties)
    assert np.isnan(found.ranks[2]) and found.recall is None
    assert found.scored == [50] * 9 and found.pairs == 450
    assert not (wordy.features_dir / "terms").exists(), "there is nothing to keep"


def test_a_shortlist_of_a_method_without_vectors_is_refused(wordy: KnowledgeBase) -> None:
    with pytest.raises(ConfigError, match="names scores everything directly") as caught:
        rank(names_of(wordy), wordy, asked(2), 5, shortlist=10)
    assert "--shortlist" in str(caught.value) and "--candidates" in str(caught.value)


@pytest.mark.parametrize("ties", ["mean", "optimistic", "pessimistic"])
def test_a_method_with_bounds_is_ranked_the_same(
    wordy: KnowledgeBase, tmp_path: Path, ties: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "CHUNK", 11)
    method, mentions, view = Letters(), asked(9), wordy.view()
    gold = np.array([0, 49, -1, 6, 7, 13, 20, 1, 2])
    assert isinstance(method, Pairwise)
    found = rank(method, wordy, mentions, 5, gold, ties, terms=tmp_path)
    plain = full.rank_all(method, view, mentions, gold, 5)
    by_hand = method.totals(mentions, view.labels)
    assert found.rows.tolist() == plain.best.rows().tolist()
    np.testing.assert_allclose(found.scores, plain.best.scores(), atol=1e-4)
    for m, own in enumerate(by_hand):
        assert found.rows[m].tolist() == sorted(range(50), key=lambda row: (-own[row], row))[:5]
        assert gold[m] < 0 or found.ranks[m] == rank_of(own, int(gold[m]), ties)


def test_terms_lie_with_the_features_unless_told_otherwise(
    make_kb: Callable[..., KnowledgeBase], tmp_path: Path
) -> None:
    kb, method = make_kb(Entity("A", "ab"), Entity("B", "ba")), Letters()
    rank(method, kb, asked(1), 1)
    assert len(list((kb.features_dir / "terms").iterdir())) == 1
    rank(method, kb, asked(1), 1, terms=tmp_path / "elsewhere")
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_without_gold_there_are_no_ranks(wordy: KnowledgeBase, tmp_path: Path) -> None:
    assert np.isnan(rank(Letters(), wordy, asked(3), 2, terms=tmp_path).ranks).all()


@pytest.mark.parametrize("make", [names_of, lambda kb: Letters()], ids=["names", "letters"])
def test_nobody_to_find(make: Callable[..., object], make_kb: Callable[..., KnowledgeBase]) -> None:
    kb = make_kb()
    found = rank(make(kb), kb, asked(2), 5)  # type: ignore[arg-type]
    assert found.rows.shape == (2, 0) and np.isnan(found.ranks).all() and found.pairs == 0


def test_more_is_wanted_than_there_is(make_kb: Callable[..., KnowledgeBase]) -> None:
    kb = make_kb(Entity("A", "ab"))
    found = rank(Letters(), kb, asked(2), 64, np.array([0, 0]))
    assert found.rows.tolist() == [[0], [0]] and found.ranks.tolist() == [1.0, 1.0]
