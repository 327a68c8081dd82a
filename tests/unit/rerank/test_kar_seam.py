"""Looking again: who is asked, what a reranker sees, that its answer is a permutation, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melink.errors import ConfigError, NotFound
from melink.evaluate.before_after import grid, section
from melink.evaluate.outcome import Outcome
from melink.evaluate.reranked import rank_after
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context
from melink.records import Entity, Link, Mention, Scored
from melink.rerank.again import Count, cut, look_again
from melink.rerank.base import Case, Look, Scope, load_reranker, named
from melink.rerank.kar import KAR
from melink.rerank.votes import arrangements, majority

MENTION = Mention("Q3-1", "Georgia sings", "Georgia", 0, 7)
SCORES = (0.9, 0.7, 0.4, 0.1)
MakeKB = Callable[..., KnowledgeBase]


@dataclass
class Says:
    """A reranker that says what it was told to, and keeps what it saw."""

    looks: list[Look]
    scope: Scope = field(default_factory=Scope)
    saw: list[Case] = field(default_factory=list)
    name = label = "says"
    paper = "none"

    def look(self, cases: Sequence[Case]) -> list[Look]:
        self.saw += cases
        return self.looks

    def usage(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def kb(make_kb: MakeKB) -> KnowledgeBase:
    return make_kb(*(Entity(f"Q{place}", f"Name {place}", description=f"d{place}") for place in (4, 3, 2, 1)))


def link(count: int = 4, nil: bool = False) -> Link:
    sure = (0.6, 0.2, 0.15, 0.05)
    found = tuple(
        Scored(f"Q{place + 1}", f"Name {place + 1}", SCORES[place], {}, {"matched_name": "x"}, {}, sure[place])
        for place in range(count)
    )
    return Link(MENTION, found, nil, 0.3 if nil else 0.6, {"nil_probability": 0.3})


def test_the_chosen_one_moves_and_says_so(kb: KnowledgeBase) -> None:
    asked = Says([Look((2,), answer="k47", agreement=0.5, evidence={2: {"kept_triples": ["a"]}})])
    (found,) = look_again(asked, [link()], kb)
    assert [each.id for each in found.candidates] == ["Q3", "Q1", "Q2", "Q4"]
    assert [each.score for each in found.candidates] == [0.4, 0.9, 0.7, 0.1]  # scores stay those of the retrieval
    assert found.candidates[0].evidence == {
        "reranked_by": "says", "retrieved_at": 3, "kept_triples": ["a"], "matched_name": "x",
    }  # fmt: skip
    assert all(each.evidence == {"matched_name": "x"} for each in found.candidates[1:])
    assert found.probability == 0.15 and found.id == "Q3"
    assert found.evidence["rerank"] == {
        "by": "says", "outcome": "answered", "changed": True, "named": ["Q3"], "agreement": 0.5, "answer": "k47",
    }  # fmt: skip
    (case,) = asked.saw
    assert case.mention.id == "" and case.mention.text == MENTION.text  # ids of some benchmarks give gold away
    assert [entity.description for entity in case.entities] == ["d1", "d2", "d3", "d4"]
    assert [each.id for each in case.candidates] == ["Q1", "Q2", "Q3", "Q4"]
    assert [each.id for each in cut(found, 2).candidates] == ["Q3", "Q1"] and len(cut(found, 0).candidates) == 1


def test_probabilities_of_its_own_are_those_of_the_answer(kb: KnowledgeBase) -> None:
    says = Says([Look((2, 0), probabilities=(0.3, 0.05, 0.6, 0.05)), Look((0,), probabilities=(0.9, 0.05, 0.03, 0.02))])
    moved, stayed = look_again(says, [link(), link()], kb)
    assert [(each.id, each.probability) for each in moved.candidates] == [
        ("Q3", 0.6), ("Q1", 0.3), ("Q2", 0.05), ("Q4", 0.05),
    ]  # fmt: skip
    assert [each.evidence["retrieved_probability"] for each in moved.candidates] == [0.15, 0.6, 0.2, 0.05]
    assert (moved.probability, stayed.probability) == (0.6, 0.9) and stayed.id == "Q1"
    (nil,) = look_again(Says([Look((2,), probabilities=(0.3, 0.05, 0.6, 0.05))]), [link(nil=True)], kb)
    assert (nil.id, nil.probability, nil.candidates[0].probability) == ("NIL", 0.3, 0.6)
    (few,) = look_again(Says([Look((1,), probabilities=(0.2, 0.6))], Scope(k=2)), [link()], kb)
    assert [each.probability for each in few.candidates] == [0.6, 0.2, 0.15, 0.05]
    assert ["retrieved_probability" in each.evidence for each in few.candidates] == [True, True, False, False]
    (failed,) = look_again(Says([Look(failure="timeout", probabilities=(0.1, 0.2, 0.3, 0.4))]), [link()], kb)
    assert failed.candidates == link().candidates and failed.probability == 0.6
    with pytest.raises(ValueError, match="3 probabilities of 4"):
        look_again(Says([Look((2,), probabilities=(0.3, 0.1, 0.6))]), [link()], kb)


def test_nil_stays_nil(kb: KnowledgeBase) -> None:
    (found,) = look_again(Says([Look((1,))]), [link(nil=True)], kb)
    assert (found.id, found.probability, found.candidates[0].id) == ("NIL", 0.3, "Q2")


def test_a_failure_changes_nothing_but_the_record(kb: KnowledgeBase) -> None:
    before = link()
    (found,) = look_again(Says([Look(failure="timeout")]), [before], kb)
    assert found.candidates == before.candidates and found.probability == before.probability
    assert found.evidence["rerank"] == {"by": "says", "outcome": "timeout", "changed": False, "named": []}


def test_one_candidate_or_none_is_never_asked_about(kb: KnowledgeBase) -> None:
    asked = Says([])
    found = look_again(asked, [link(0), link(1)], kb)
    assert asked.saw == [] and [each.evidence["rerank"]["outcome"] for each in found] == ["alone", "alone"]
    assert [len(each.candidates) for each in found] == [0, 1]
    assert look_again(Says([], Scope(k=1)), [link()], kb)[0].evidence["rerank"]["outcome"] == "alone"


def test_more_wanted_than_there_are_and_fewer(kb: KnowledgeBase) -> None:
    asked = Says([Look((1,)), Look((1,))], Scope(k=50))
    look_again(asked, [link(), link(2)], kb)
    assert [len(case.candidates) for case in asked.saw] == [4, 2]
    (found,) = look_again(Says([Look((1,))], Scope(k=2)), [link()], kb)
    assert [each.id for each in found.candidates] == ["Q2", "Q1", "Q3", "Q4"]  # those not shown stay behind


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        (Scope(), None),
        (Scope(margin=0.25), None),
        (Scope(margin=0.15), "sure"),
        (Scope(probability=0.7), None),
        (Scope(probability=0.6), "sure"),
        (Scope(probability=0.7, margin=0.15), "sure"),  # either says so
    ],
)
def test_only_where_the_retrieval_is_unsure(scope: Scope, reason: str | None) -> None:
    assert scope.passed_over(link()) == reason


def test_what_is_no_permutation_is_the_rerankers_error(kb: KnowledgeBase) -> None:
    for wrong in ((4,), (-1,), (1, 1)):
        with pytest.raises(ValueError, match="of 4 candidates"):
            look_again(Says([Look(wrong)]), [link()], kb)
    with pytest.raises(ValueError, match="2 mentions"):
        look_again(Says([Look()]), [link(), link()], kb)


@given(st.integers(1, 9), st.integers(1, 30))
def test_arrangements_are_different_permutations(count: int, wanted: int) -> None:
    found = arrangements(count, wanted)
    assert found[0] == list(range(count)) and len(found) <= wanted
    assert all(sorted(each) == list(range(count)) for each in found)
    assert len({tuple(each) for each in found}) == len(found) >= min(wanted, count)
    if wanted == count:  # every candidate stands once at every place
        assert all(sorted(column) == list(range(count)) for column in zip(*found, strict=True))


@given(st.data())
def test_the_rank_is_the_place_where_nothing_is_tied(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 8))
    chosen = st.lists(st.integers(0, count - 1), min_size=1, unique=True)
    answers = data.draw(st.lists(chosen, min_size=1, max_size=3))
    first, share = majority(answers, count)
    assert 0 < share <= 1
    order = Look(first).order(count)
    gold = data.draw(st.integers(0, count - 1))
    scored = tuple(Scored(f"Q{place}", "", -float(place)) for place in range(count))
    before = Outcome(MENTION, f"Q{gold}", True, gold + 1.0, count, Link(MENTION, scored))
    after = Link(MENTION, (), evidence={"rerank": {"named": [f"Q{place}" for place in first]}})
    assert rank_after(before, after) == order.index(gold) + 1


def test_counts(kb: KnowledgeBase) -> None:
    looks = [Look((1,), agreement=1.0), Look((0,), agreement=0.5), Look(failure="no_choice"), Look(failure="timeout")]
    found = look_again(Says(looks), [link(), link(), link(), link(), link(1)], kb)
    count = Count()
    count.add([*found, link()])  # the last one met no reranker
    assert count.to_dict() == {
        "mentions": 5, "asked": 4, "answered": 2, "changed": 1, "unchanged": 4, "passed_over": {"alone": 1},
        "failures": {"no_choice": 1, "timeout": 1},
        "agreement": {"mentions": 2, "mean": 0.75, "unanimous": 0.5},
    }  # fmt: skip
    assert "1 alone, 1 no_choice, 1 timeout" in str(count)


def test_plans(kb: KnowledgeBase) -> None:
    assert named("kar") == {"name": "kar"} and named("kar:rank_topk") == {"name": "kar", "variant": "rank_topk"}
    context = Context(kb, FeatureStore(kb.features_dir))
    made = load_reranker({**named("kar:rank_topk"), "k": 3, "llm": {"url": "http://127.0.0.1:9/v1"}}, context)
    assert isinstance(made, KAR) and made.label == "kar:rank_topk" and made.scope.k == 3
    again = KAR.build(context, made.settings())
    assert again.settings() == made.settings() and (kb.path / "answers.sqlite").is_file()
    with pytest.raises(ConfigError, match="kk"):
        load_reranker({"name": "kar", "kk": 3}, context)
    with pytest.raises(ConfigError, match="no name"):
        load_reranker({"k": 3}, context)
    with pytest.raises(NotFound, match="reranker 'kra'"):
        load_reranker({"name": "kra"}, context)


def test_what_a_protocol_states_holds_neither_address_nor_key(kb: KnowledgeBase, monkeypatch: Any) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    llm = {"url": "http://internal.example/v1", "model": "m", "key_env": "SOME_KEY", "temperature": None}
    made = KAR.build(Context(kb, FeatureStore(kb.features_dir)), {"llm": llm, "margin": 0.5})
    said = made.states()
    assert said["name"] == "kar" and said["model"] == "m" and said["margin"] == 0.5 and "temperature" not in said
    assert not any(word in str(said) for word in ("secret", "SOME_KEY", "internal", "sqlite"))


def test_without_a_server_the_order_stays(kb: KnowledgeBase) -> None:
    made = KAR.build(Context(kb, FeatureStore(kb.features_dir)), {"llm": {"offline": True}})
    before = link()
    (found,) = look_again(made, [before], kb)
    assert found.candidates == before.candidates and found.evidence["rerank"]["outcome"] == "offline"


@pytest.mark.parametrize(("several", "agreement"), [(1, None), (2, 0.0)])
def test_orders_without_any_answer_agree_with_nobody(kb: KnowledgeBase, several: int, agreement: float | None) -> None:
    """Whether they were asked in vain, or not asked any more."""
    settings = {"permutations": several, "llm": {"offline": True}}
    made = KAR.build(Context(kb, FeatureStore(kb.features_dir)), settings)
    (asked,) = look_again(made, [link()], kb)
    made._asker.gave_up = True
    (stopped,) = look_again(made, [link()], kb)
    for found, outcome in ((asked, "offline"), (stopped, "stopped")):
        assert found.evidence["rerank"]["outcome"] == outcome
        assert found.evidence["rerank"].get("agreement") == agreement


def test_the_picture_of_the_matrix() -> None:
    drawn = grid(["1", "> 1", "miss"], [[3, 1, 0], [2, 4, 0], [0, 0, 5]])
    assert drawn.count("<rect") == 9 and drawn.count('class="good"') == drawn.count('class="poor"') == 3
    assert drawn.count('class="series0"') == 3 and ">5</text>" in drawn
    assert section({"overall": {}}) == ""
