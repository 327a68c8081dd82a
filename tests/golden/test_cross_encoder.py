"""The cross-encoder by hand: its loss over lists, its figures, its last word; what must not change a score."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context
from melink.records import Entity, Mention, Scored, Triple
from melink.rerank.base import Case
from melink.rerank.cross_agreement import Told, called, dated, gendered, years
from melink.rerank.cross_blend import Blend, choose, fit, one_hot, table
from melink.rerank.cross_encoder import CrossEncoder, Reader, Saved
from melink.rerank.cross_features import OWN, CrossFeatures, filled
from melink.rerank.cross_model import Arithmetic, CrossNet, CrossSettings, Lists, listwise
from melink.train.reranker import write

MakeKB = Callable[..., KnowledgeBase]
PEOPLE = (
    Entity("Q1", "Ann Lee", ("Annie",), "British singer", "Birth: 1950, Leeds. Death: 1990, York."),
    Entity("Q2", "Ann Lee", (), "", "Birth: 1850, Cork.", triples=(Triple("p", "singer", True, "occupation"),)),
    Entity("Q3", "Ann Lee Smith", (), "judge", "", "A judge of the court in York who wrote three books about law."),
    Entity("Q4", "", extract="Nameless."),
)
MENTION = Mention("", "Ann Lee, the singer, in 1980", "Ann Lee", 0, 7)


@pytest.fixture
def kb(make_kb: MakeKB) -> KnowledgeBase:
    return make_kb(*PEOPLE)


@pytest.fixture(scope="module")
def net(small_bert: Path) -> CrossNet:
    made = CrossNet(CrossSettings(encoder=str(small_bert), tune=2, max_tokens=64))
    torch.manual_seed(1)
    torch.nn.init.normal_(made.heads.reading.weight)
    for weight in made.heads.own.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    torch.nn.init.normal_(made.heads.own.mean)
    torch.nn.init.uniform_(made.heads.own.scale, 0.5, 2)
    return made.eval()


def case(people: Sequence[Entity] = PEOPLE, mention: Mention = MENTION) -> Case:
    scores = {entity.id: 1 - place / 10 for place, entity in enumerate(PEOPLE)}
    found = tuple(
        Scored(person.id, person.label, scores[person.id], {"text": scores[person.id] / 2}, probability=0.2)
        for person in people
    )
    return Case(mention, found, tuple(people))


def own_by_hand(net: CrossNet, figures: list[float]) -> float:
    """Weigh figures, and add the mean of the small networks of them."""
    head = net.heads.own
    total = sum(x * w for x, w in zip(figures, head.linear.weight[0].tolist(), strict=True))
    for member in head.members:
        rows, shifts, last = member[0].weight.tolist(), member[0].bias.tolist(), member[-1].weight[0].tolist()
        scaled = [(x - m) / s for x, m, s in zip(figures, head.mean.tolist(), head.scale.tolist(), strict=True)]
        for row, shift, out in zip(rows, shifts, last, strict=True):
            h = shift + sum(x * w for x, w in zip(scaled, row, strict=True))
            total += out * h * (1 + math.erf(h / math.sqrt(2))) / 2 / len(head.members)
    return total


def test_the_loss_of_lists_with_padding(net: CrossNet) -> None:
    generator = torch.Generator().manual_seed(3)
    figures = torch.randn(4, 3, 2 * len(OWN), generator=generator)
    there = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=torch.bool)
    target = torch.tensor([[0, 1, 0], [0.25, 0.75, 0], [1, 0, 0], [0, 0, 0]])  # gold, a teacher, alone, nobody knows
    pairs = net.tokenize(["ann"] * 9, [f"person {place} of york" * (1 + place % 3) for place in range(9)])
    place = [[0, 1, 2], [3, 4, -1], [5, -1, -1], [6, 7, 8]]
    with torch.no_grad():
        step = net(Lists(pairs, place, figures, there, target, lists=3))
        own = torch.tensor([[own_by_hand(net, row) for row in own] for own in figures.tolist()])
        expected = 0.0
        for row, places in enumerate(place):
            scores = [float(net.read([pairs[p]])[0] + own[row, k]) for k, p in enumerate(places) if p >= 0]
            whole = sum(math.exp(score) for score in scores)
            for k, score in enumerate(scores):
                assert float(step.scores[row, k]) == pytest.approx(score, abs=1e-5)
                expected -= float(target[row, k]) * math.log(math.exp(score) / whole)
    assert float(step.loss) == pytest.approx(expected / 3, abs=1e-5)
    assert torch.isinf(step.scores[~there]).all()


def test_a_gradient_never_meets_padding() -> None:
    scores = torch.tensor([[1.0, 2.0, -torch.inf], [0.5, -torch.inf, -torch.inf]], requires_grad=True)
    target = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    loss = listwise(scores, target)
    loss.sum().backward()
    first = 1 / (1 + math.e)
    assert loss.tolist() == pytest.approx([-math.log(first), 0.0], abs=1e-6)
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.tensor([[first - 1, 1 - first, 0], [0, 0, 0]]))


def test_permuted_candidates_have_permuted_scores(net: CrossNet, kb: KnowledgeBase) -> None:
    reader, order = Reader(net, kb, ["text"]), [2, 0, 3, 1]
    straight, mixed = reader([case(), case([PEOPLE[place] for place in order])])
    for one, other in ((straight.reading, mixed.reading), (straight.own, mixed.own)):
        np.testing.assert_allclose(other, one[order], atol=2e-4)
    assert len(set(straight.reading.tolist())) == 4


def test_neither_the_batch_nor_the_neighbours_change_a_score(net: CrossNet, kb: KnowledgeBase) -> None:
    long = Mention("", "Ann " * 200 + "sings", "Ann", 0, 3)
    cases = [case(), case(mention=long), case(PEOPLE[:2]), case(mention=Mention("", "", ""))]
    together = list(Reader(net, kb, [])(cases))
    for own, found in zip(cases, together, strict=True):
        (alone,) = Reader(net, kb, [])([own])
        np.testing.assert_allclose(alone.reading, found.reading, atol=2e-4)
        np.testing.assert_allclose(alone.own, found.own, atol=2e-4)
    few, *_ = Reader(net, kb, [])([case(PEOPLE[:2])])  # a candidate more changes no other
    np.testing.assert_allclose(few.reading, together[0].reading[:2], atol=2e-4)
    np.testing.assert_allclose(few.own, together[0].own[:2], atol=2e-4)


def test_padded_tokens_change_nothing(net: CrossNet) -> None:
    pairs = net.tokenize(["ann", "ann"], ["lee", "lee of york, singer, judge, and more"])
    assert len(pairs[0].ids) < len(pairs[1].ids)
    with torch.no_grad():
        both, alone = net.read(pairs), net.read(pairs[:1])
        whole = net.model(torch.tensor([pairs[0].ids]), token_type_ids=torch.tensor([pairs[0].types]))
        by_hand = whole.last_hidden_state[0].mean(0) @ net.heads.reading.weight[0]
    assert float(both[0]) == pytest.approx(float(alone[0]), abs=1e-5) == pytest.approx(float(by_hand), abs=1e-5)
    assert set(pairs[0].types) == {0, 1}, "two texts, not one"


def test_a_saved_one_scores_the_same_after_loading(net: CrossNet, kb: KnowledgeBase, tmp_path: Path) -> None:
    saved = Saved(
        settings=net.settings, scope={"k": 7, "probability": 0.9}, parts=("text",),
        blend=Blend(weights={"score": 2.0, "own": 0.5, "reading": -1.5, "part text": 3.0}),
    )  # fmt: skip
    write(net, saved, tmp_path / "made")
    again = CrossEncoder.build(Context(kb, FeatureStore(kb.features_dir)), {"variant": str(tmp_path / "made")})
    assert (again.scope.k, again.scope.probability) == (7, 0.9)
    (found,) = Reader(net, kb, ["text"])([case()])
    (look,) = again.look([case()])
    readings = [look.evidence[place]["reading"] for place in range(4)]
    assert readings == pytest.approx(found.reading.tolist(), abs=2e-4)
    scores, parts = np.array([1.0, 0.9, 0.8, 0.7]), np.array([0.5, 0.45, 0.4, 0.35])
    logits = 2 * scores + 0.5 * found.own - 1.5 * found.reading + 3 * parts
    assert list(look.named) == np.argsort(-logits).tolist() and look.failure is None
    odds = np.exp(logits) / np.exp(logits).sum() * 0.8
    assert look.probabilities == pytest.approx(odds, abs=2e-4)  # of what the retrieval gave to the four
    unknown = replace(case(), candidates=tuple(replace(c, probability=None) for c in case().candidates))
    assert again.look([unknown])[0].probabilities == ()
    write(net, saved.model_copy(update={"blend": Blend(weights={"score": 2.0})}), tmp_path / "idle")
    idle = CrossEncoder.build(Context(kb, FeatureStore(kb.features_dir)), {"variant": str(tmp_path / "idle")})
    (look,) = idle.look([case()])
    assert look.named == (0, 1, 2, 3) and look.probabilities == ()  # nothing learnt changes nothing


def test_figures(kb: KnowledgeBase) -> None:
    figures = CrossFeatures(kb, ["text", "image"])
    found = dict(zip(figures.names, figures(case()).T, strict=True))
    assert found["score"].tolist() == pytest.approx([1.0, 0.9, 0.8, 0.7])
    assert found["part text"].tolist() == pytest.approx([0.5, 0.45, 0.4, 0.35]) and np.isnan(found["part image"]).all()
    assert found["same"].tolist() == [1, 1, 0, 0] and found["name"][0] == pytest.approx(1.0)
    assert found["known"].tolist() == pytest.approx([0, math.log(2), 0, 0])
    assert found["words"].tolist() == pytest.approx([math.log(2), 0, 0, 0])  # singer; 1980 is in nobody's text
    rarity = 1 - math.log(2) / math.log(5)  # one of four has that occupation
    assert found["facts"][1] == pytest.approx(0.9 * rarity) and np.isnan(found["facts"][[0, 2, 3]]).all()
    assert found["age 30"][0] == 1 and found["later 0"][0] == 1  # 30 years old, ten years before the end
    assert found["age 110"][1] == 1 and found["later 0"][1] == 1  # 130 years old, no end known
    assert np.isnan(found["age 0"][2]) and np.isnan(found["age 0"][3]) and np.isnan(found["gender"]).all()
    seen = filled(np.array([[np.nan, 2.0]]))
    assert seen.tolist() == [[0, 2, 0, 1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in 1904, and 2012.", [1904, 2012]),
        ("Birth: 0206, Perugia", [206]),
        ("(1776-1859)", [1776, 1859]),
        ("a 3rd-century bronze of the 19th Century", [250, 1850]),
        ("1.500 or 1,500 or 12:1500 or 15000 or 2150", []),
        ("", []),
    ],
)
def test_years(text: str, expected: list[int]) -> None:
    assert years(text) == expected


def test_ages_are_shared_between_knots() -> None:
    person = Entity("Q1", "Ann", attributes="Birth: 1900. Death: 1960.")
    told = Told.of(Mention("", "Ann in 1940, 1890 and 1970", "Ann", 0, 3))
    found = dict(zip(OWN[-17:], dated(told, person, person.attributes), strict=True))
    # 40 lies halfway between 30 and 50; −10 is 0.4 of the way from 0 to −25; 70 is 0.8 of that from 50 to 75
    expected = {"age 30": 0.5, "age 50": 0.5 + 0.2, "age -25": 0.4, "age 0": 0.6, "age 75": 0.8}
    assert {name: 3 * value for name, value in found.items() if name in expected} == pytest.approx(expected)
    assert 3 * found["later 0"] == pytest.approx(2) and 3 * found["later 10"] == pytest.approx(1)  # 1970: ten after
    later = [value for name, value in found.items() if name.startswith("after")]
    assert np.isnan(later).all() and np.nansum(list(found.values())) == pytest.approx(2)
    bust = Told.of(Mention("", "Bust of Ann, 1970", "Ann", 8, 11))
    found = dict(zip(OWN[-17:], dated(bust, person, person.attributes), strict=True))
    assert found["after 10"] == 1 and math.isnan(found["later 10"])


def facts(*said: tuple[str, str, str]) -> tuple[Triple, ...]:
    return tuple(Triple(relation, tail, True, label) for relation, label, tail in said)


def test_dates_of_relations_that_have_ids() -> None:
    born, died = ("P569", "date of birth", "1900-03-11"), ("P570", "date of death", "1960")
    told = Told.of(Mention("", "Ann in 1940 and 1970", "Ann", 0, 3))
    # 40 lies halfway between 30 and 50, 70 is 0.8 of the way from 50 to 75; 1970 is ten years after the end
    by_hand = {"age 30": 0.25, "age 50": 0.25 + 0.1, "age 75": 0.4, "later 0": 0.5, "later 10": 0.5}
    named = [(label, "", when) for _, label, when in (born, died)]  # as files of facts in words have them
    for triples in (facts(born, died), facts(*named)):
        found = dict(zip(OWN[-17:], dated(told, Entity("Q1", "Ann", triples=triples), ""), strict=True))
        assert {name: value for name, value in found.items() if value > 0} == pytest.approx(by_hand)
    alive = dict(zip(OWN[-17:], dated(told, Entity("Q1", "Ann", triples=facts(born)), ""), strict=True))
    assert alive["later 0"] == 1 and alive["age 75"] == pytest.approx(0.4)
    count = ("P1082", "population", "1905")  # a number that is no date
    assert np.isnan(dated(told, Entity("Q1", "Ann", triples=facts(count)), "")).all()
    links = (Triple("P569", "Q1900", False, "date of birth", "1900"),)
    assert np.isnan(dated(told, Entity("Q1", "Ann", triples=links), "")).all()


def test_dates_before_the_common_era() -> None:
    triples = facts(("P569", "date of birth", "0100-07-12 BCE"), ("P570", "date of death", "0044-03-15 BCE"))
    told = Told.of(Mention("", "Caesar, 0050", "Caesar", 0, 6))
    found = dict(zip(OWN[-17:], dated(told, Entity("Q1", "Caesar", triples=triples), ""), strict=True))
    # 150 years after the first is beyond the last knot; 94 after the end lies between 50 and 150
    assert found["age 110"] == 1 and found["later 50"] == pytest.approx(0.56)
    assert found["later 150"] == pytest.approx(0.44)


@pytest.mark.parametrize(
    ("text", "surface", "names", "expected"),
    [
        ("Barbara Mori promotes Kites", "Mori", ["Bárbara Mori"], (1, 1, 0)),
        ("Barbara Mori promotes Kites", "Mori", ["Claudia Mori"], (0, 0, 1)),
        ("Adel Imam 2009", "Adel", ["Adel Emam"], (0.9, 0.9, 0.1)),  # spelt almost so
        ("medal of Cz. Lang", "Lang", ["Czesław Lang"], (0.7, 0, 0.3)),  # begins so
        ("with Ashton Carter", "Carter", ["Ash Carter", "Carter"], (0.7, 0, 0.3)),
        ("Lang and Anna Smith", "Lang", ["Anna Lang"], (0, 1, math.nan)),  # not beside it
        ("Reagan, Nancy", "Reagan", ["Reagan"], (math.nan, math.nan, math.nan)),
        ("Lady Ann sings", "Ann", ["Zoe"], (math.nan, math.nan, 1)),
        ("", "", ["Ann Lee"], (math.nan, math.nan, math.nan)),
    ],
)
def test_names_around(text: str, surface: str, names: list[str], expected: tuple[float, ...]) -> None:
    start = text.index(surface)
    found = called(names, Told.of(Mention("", text, surface, start, start + len(surface))))
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "attributes", "expected"),
    [
        ("Fox with her dog", "Sex: female.", 1),
        ("Fox with her dog", "Sex: male.", 0),
        ("Fox and his dog", "Sex: male.", 1),
        ("He and she", "Sex: male.", math.nan),
        ("Fox", "Sex: male.", math.nan),
        ("Fox with her dog", "", math.nan),
    ],
)
def test_she_is_a_woman(text: str, attributes: str, expected: float) -> None:
    words = frozenset(attributes.lower().replace(":", "").replace(".", "").split())
    assert gendered(Entity("Q1", "Fox"), words, Told.of(Mention("", text, "Fox"))) == pytest.approx(
        expected, nan_ok=True
    )


def test_the_last_word_is_a_likelihood() -> None:
    # two candidates, one column, gold has 1 and the other 0 in three lists, the other way round in one:
    # without a pull the likelihood is highest at w = log 3
    lists = table([{"score": np.array([1.0, 0.0])}] * 4)
    weights = fit(lists, one_hot(np.array([0, 0, 1, 0]), 2), np.zeros(1), pull=0.0)
    assert weights[0] == pytest.approx(math.log(3), abs=1e-4)
    assert fit(lists, np.zeros((4, 2)), np.array([5.0]))[0] == 5.0, "nothing known, nothing learnt"


def test_a_useless_reading_leaves_the_retriever_alone() -> None:
    random = np.random.default_rng(0)
    gold = np.zeros(60, dtype=np.int64)
    gold[::10] = 1
    noise = [{"score": np.array([1.0, 0.5]), "own": np.zeros(2), "reading": random.normal(size=2)} for _ in gold]
    blend, figures = choose(table(noise), gold, np.arange(60), 1.0)
    assert list(blend.weights) == ["score"] and blend.weights["score"] > 0 and figures["retrieval"] == 0.9
    told = [{**own, "reading": np.eye(2)[answer]} for own, answer in zip(noise, gold, strict=True)]
    blend, figures = choose(table(told), gold, np.arange(60), 1.0)
    assert figures["reading"] == 1.0 and blend.weights["reading"] > 1


def test_a_missing_part_is_not_a_zero() -> None:
    lists = table([{"score": np.array([1.0, 2.0]), "part image": np.array([np.nan, 0.0])}, {
        "score": np.array([3.0]), "part image": np.array([0.5])}])  # fmt: skip
    assert lists.names == ("score", "part image", "has image")
    assert lists.values.tolist() == [[[1, 0, 0], [2, 0, 1]], [[3, 0.5, 1], [0, 0, 0]]]
    assert lists.there.tolist() == [[True, True], [True, False]]
    assert Blend(weights={"has image": 2.0}).logits(lists).tolist() == [[0, 2], [2, -np.inf]]


def test_16_bits_read_nearly_the_same(kb: KnowledgeBase) -> None:
    cases = [case(mention=Mention("", text, "Ann Lee")) for text in ("Ann Lee sings", "the judge Ann Lee", "1980")]
    made = CrossNet(CrossSettings(encoder="minilm", blocks=3)).requires_grad_(False)
    torch.manual_seed(1)
    assert made.heads.reading is not None and len(made.model.encoder.layer) == 3
    torch.nn.init.normal_(made.heads.reading.weight)
    several: list[Arithmetic] = ["fp32", "bf16"]
    exact, rough = (np.concatenate([own.reading for own in Reader(made, kb, [], bits)(cases)]) for bits in several)
    assert not np.array_equal(exact, rough)
    assert np.corrcoef(exact, rough)[0, 1] > 0.995, (exact, rough)
