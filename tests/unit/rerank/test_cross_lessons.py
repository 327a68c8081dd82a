"""What the cross-encoder is trained on: who takes part in a list, what a target is, how a validation list is ranked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch

from melink.errors import ConfigError, InputError, Problems
from melink.kb.store import KnowledgeBase
from melink.records import NIL, Entity, Labelled, Link, Mention, Scored
from melink.rerank.cross_encoder import Reader
from melink.rerank.cross_model import CrossNet, CrossSettings
from melink.train.cross_head import fit_head
from melink.train.cross_lessons import NOBODY, Lesson, Lessons
from melink.train.cross_lists import read_teacher
from melink.train.plan import Plan
from melink.train.reranker import Recipe, School

PEOPLE = (
    Entity("Q1", "Ann Lee", description="singer"),
    Entity("Q2", "Ann Lee", description="singer"),  # reads the same
    Entity("Q3", "Ann Lee", description="judge"),
    Entity("Q4", "Zoe", description="judge"),
)
MakeKB = Callable[..., KnowledgeBase]


@pytest.fixture
def reader(make_kb: MakeKB, small_bert: Path) -> Reader:
    torch.manual_seed(0)
    return Reader(CrossNet(CrossSettings(encoder=str(small_bert), tune=1, max_tokens=32)), make_kb(*PEOPLE), [])


def sample(gold: str | None, id: str = "m", text: str = "Ann sings") -> Labelled:
    return Labelled(Mention(id, text, "Ann", 0, 3), gold)


def link(text: str = "Ann sings", *ids: str, probability: float = 0.5) -> Link:
    names = {entity.id: entity.label for entity in PEOPLE}
    found = [Scored(id, names[id], 1 - n / 10, probability=probability if n == 0 else 0.1) for n, id in enumerate(ids)]
    return Link(Mention("m", text, "Ann", 0, 3), tuple(found))


def school(reader: Reader, **more: object) -> School:
    teacher = more.pop("taught", None)
    kb = reader.figures._kb
    return School(kb, reader, Recipe.model_validate({"scope": {"k": 4}, **more}), teacher)  # type: ignore[arg-type]


def test_who_cannot_teach_is_counted(reader: Reader) -> None:
    samples = [sample("Q1"), sample("Q4"), sample(NIL), sample(None), sample("Q99"), sample("Q3")]
    links = [link("Ann", "Q1", "Q3")] * 2 + [link("Ann", "Q1")] * 3 + [link("Ann", "Q3")]
    lessons, left_out = school(reader).lessons(samples, links)
    assert [lesson.gold for lesson in lessons] == [0]
    assert left_out == {
        "gold is not among the first 4": 1, "gold is NIL": 1, "no gold": 1, "gold is not in the knowledge base": 1,
        "only one candidate": 1,
    }  # fmt: skip
    with pytest.raises(InputError, match="1 × no gold"):
        school(reader).lessons([sample(None)], [link("Ann", "Q1", "Q3")])


def test_a_teacher_beside_gold_and_without(reader: Reader) -> None:
    teacher = {"m": {"Q3": 1.0, "Q4": 3.0, "Q99": 9.0}, "n": {"Q99": 1.0}}
    candidates = link("Ann", "Q1", "Q3", "Q4")
    made = school(reader, taught=teacher)
    lessons, _ = made.lessons([sample("Q1"), sample(None), sample("Q1", "n")], [candidates] * 3)
    assert lessons[0].target.tolist() == [0.5, 0.125, 0.375]  # half gold, half the teacher's
    assert lessons[1].target.tolist() == [0, 0.25, 0.75] and lessons[1].gold == -1
    assert lessons[2].target.tolist() == [1, 0, 0], "a teacher who names nobody that is listed has no say"
    assert [lesson.taught for lesson in lessons] == [True, True, False]
    samples, links = [sample("Q1"), sample(None), sample("Q1", "n"), sample("Q1", "o")], [candidates] * 4
    counts = {"taught by the teacher": 2, "teacher's choice not among the first 4": 1}
    assert made.taught(samples, links, lessons) == counts and school(reader).taught(samples, links, lessons) == {}


@pytest.mark.parametrize(
    ("teacher", "share", "said"),
    [
        ({"x": {"Q1": 1.0}}, 0.5, "speaks of 0 of 2 .* first 4 for 0"),
        ({"m": {"Q4": 1.0}}, 0.5, "speaks of 2 of 2 .* first 4 for 0"),
        ({"m": {"Q3": 1.0}}, 0.0, "speaks of 2 of 2 .* first 4 for 2"),  # gold is known, and all that counts
        ({}, 0.5, "speaks of 0 of 2"),
    ],
)
@pytest.mark.parametrize("gold", ["Q1", None])
def test_a_teacher_who_teaches_nobody(
    reader: Reader, teacher: dict[str, dict[str, float]], share: float, said: str, gold: str | None
) -> None:
    samples, links = [sample(gold), sample("Q1")], [link("Ann", "Q1", "Q3")] * 2
    if share == 0 and gold is None:
        lessons, _ = school(reader, taught=teacher, teacher=share).lessons(samples, links)
        assert [lesson.taught for lesson in lessons] == [True, False]
        return
    with pytest.raises(InputError, match=f"(?s)the teacher taught nobody.*{said}.*'id'"):
        school(reader, taught=teacher, teacher=share).lessons(samples, links)


def test_easy_ones(reader: Reader) -> None:
    links = [link("Ann", "Q1", "Q3", probability=p) for p in (0.96, 0.94, 0.96)]
    lessons, _ = school(reader).lessons([sample("Q1"), sample("Q1"), sample("Q3")], links)
    assert [lesson.easy for lesson in lessons] == [True, False, False]


@pytest.fixture
def lessons(reader: Reader) -> list[Lesson]:
    rng = np.random.default_rng(1)
    ids = [[f"Q{n + 1}" for n in rng.permutation(4)] for _ in range(40)]
    found, _ = school(reader).lessons([sample("Q1")] * 40, [link("Ann sings", *own) for own in ids])
    return found


def course(reader: Reader, lessons: list[Lesson], **more: object) -> Lessons:
    plan = Plan(batch=8, valid_mentions=0, **more)  # type: ignore[arg-type]
    return Lessons(reader, lessons, lessons[:10], plan, 2, 0.0, 1.0, "key")


def test_a_list_holds_gold_and_rivals_but_not_its_double(reader: Reader, lessons: list[Lesson]) -> None:
    made = course(reader, lessons)
    seen = set()
    for draw in made.batches(0) + made.batches(1):
        for place, row in zip(draw.lessons, draw.candidates, strict=True):
            lesson, some = lessons[place], row[row != NOBODY]
            ids = [lesson.case.candidates[c].id for c in some]
            assert ids[0] == "Q1" and "Q2" not in ids and len(set(ids)) == len(ids) == 3
            seen.update(ids)
    assert seen == {"Q1", "Q3", "Q4"}
    first, again, other = course(reader, lessons).batches(3), course(reader, lessons).batches(3), made.batches(4)
    assert all((a.candidates == b.candidates).all() for a, b in zip(first, again, strict=True))
    assert any((a.lessons != b.lessons).any() for a, b in zip(first, other, strict=True))
    assert sum(len(draw.lessons) for draw in first) == 40 and made.steps(0) == 5


def test_two_processes_share_a_batch(reader: Reader, lessons: list[Lesson]) -> None:
    made = course(reader, lessons)
    draw = made.batches(0)[0]
    with torch.no_grad():
        whole = made.module(made.collate(lessons, draw))
        halves = [made.module(made.collate(lessons, draw, rank, 2)) for rank in (0, 1)]
    assert float(whole.loss) == pytest.approx(sum(float(half.loss) for half in halves) / 2, abs=1e-5)
    torch.testing.assert_close(torch.cat([half.scores for half in halves]), whole.scores, atol=1e-4, rtol=0)


def test_a_process_that_has_no_lesson_of_the_last_batch(reader: Reader, lessons: list[Lesson]) -> None:
    made = course(reader, lessons[:9])
    made.module.unfreeze()
    draw = made.batches(0)[-1]
    assert len(draw.lessons) == 1, "nine lessons, eight a batch"
    made.module.train()
    whole, first, second = (made.module(made.collate(lessons, draw, *who)) for who in ((), (0, 2), (1, 2)))
    assert first.loss.item() / 2 == pytest.approx(whole.loss.item(), abs=1e-5) and second.loss.item() == 0
    assert first.scores.shape == whole.scores.shape and second.scores.shape == (0, whole.scores.shape[1])
    second.loss.backward()  # every process has slopes for all that is trained, or the others wait forever
    trained = [weight for weight in made.module.parameters() if weight.requires_grad]
    assert len(trained) > 10 and all(weight.grad is not None and not weight.grad.any() for weight in trained)


@pytest.mark.parametrize(("blocks", "tune", "trained"), [(None, None, 2), (1, None, 1), (None, 1, 1), (1, 0, 0)])
def test_blocks_that_are_trained(small_bert: Path, blocks: int | None, tune: int | None, trained: int) -> None:
    net = CrossNet(CrossSettings(encoder=str(small_bert), blocks=blocks, tune=tune))
    net.unfreeze()
    tuned = [all(weight.requires_grad for weight in layer.parameters()) for layer in net.model.encoder.layer]
    assert tuned == [False] * ((blocks or 2) - trained) + [True] * trained
    assert not any(weight.requires_grad for weight in net.model.embeddings.parameters())
    with pytest.raises(ConfigError, match=r"has 1 blocks, not 2"):
        CrossNet(CrossSettings(encoder=str(small_bert), blocks=1, tune=2)).unfreeze()


def test_the_head_stays_as_it_is_used_while_the_encoder_is_trained(reader: Reader, lessons: list[Lesson]) -> None:
    made = course(reader, lessons)
    fit_head(reader.net.heads.own, lessons, 0)
    made.module.unfreeze()
    made.module.train()
    draw = made.batches(0)[0]
    inputs = made.collate(lessons, draw)
    first, second = made.module(inputs), made.module(inputs)
    assert torch.equal(first.scores, second.scores) and torch.equal(first.loss, second.loss)
    assert made.module.model.training and not any(part.training for part in made.module.heads.own.modules())
    own = np.concatenate([lessons[place].own[row[row != NOBODY]] for place, row in zip(*draw, strict=True)])
    read = made.module.read(inputs.pairs).detach().numpy()
    np.testing.assert_allclose(first.scores[inputs.there].detach().numpy(), reader.head(own) + read, atol=1e-4)


def test_validation_ranks_beside_the_retriever(reader: Reader, lessons: list[Lesson]) -> None:
    made = course(reader, lessons)

    def told(prepared: object, draw: object) -> np.ndarray:
        some = prepared  # type: ignore[assignment]
        return np.array([5.0 * some[place].target for place in draw.lessons])  # type: ignore[index,attr-defined]

    assert made.validate(told) == {"mrr": 1.0, "hits@1": 1.0, "candidate_recall": 1.0}
    silent = made.validate(lambda prepared, draw: np.zeros((len(draw.lessons), 4)))
    by_hand = np.mean([lesson.gold == 0 for lesson in lessons[:10]])
    assert silent["hits@1"] in (pytest.approx(by_hand), pytest.approx(np.mean([x.gold == 3 for x in lessons[:10]])))


def test_the_head_learns_what_the_figures_say(reader: Reader, lessons: list[Lesson]) -> None:
    fit_head(reader.net.heads.own, lessons, 0)
    first = [int(reader.head(lesson.own).argmax()) for lesson in lessons]
    said = [lesson.case.candidates[place].id for lesson, place in zip(lessons, first, strict=True)]
    assert set(said) <= {"Q1", "Q2", "Q3"}, "never Zoe, whose name is another"
    weights = [parameter.clone() for parameter in reader.net.heads.own.parameters()]
    torch.manual_seed(0)
    again = Reader(CrossNet(reader.net.settings), reader.figures._kb, [])
    fit_head(again.net.heads.own, lessons, 0)
    assert all(torch.equal(a, b) for a, b in zip(weights, again.net.heads.own.parameters(), strict=True))


def test_what_a_teacher_says(tmp_path: Path) -> None:
    def chosen(outcome: str, *named: str) -> dict[str, object]:
        return {"rerank": {"outcome": outcome, "named": named}}

    rows = [
        {"id": "a", "explanation": chosen("answered", "Q1", "Q2")},
        {"id": "b", "probabilities": {"Q1": 0.7, "Q2": 0}},
        {"id": "c", "explanation": chosen("timeout")},
        {"id": "d", "explanation": {"rerank": {"outcome": "sure"}}},
        {"id": "e", "probabilities": {"Q1": "much"}},
        {"id": ["f"], "probabilities": {"Q1": 1}},
        {"id": "g"},
    ]
    file, problems = tmp_path / "t.jsonl", Problems()
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    assert read_teacher(file, problems) == {"a": {"Q1": 1.0, "Q2": 0.5}, "b": {"Q1": 0.7, "Q2": 0.0}}
    assert [problem.line for problem in problems.first] == [5, 6, 7]
