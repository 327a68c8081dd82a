"""KGMEL as a method: what it reads, how facts are kept together, evidence, and the defects that it does not have."""

from __future__ import annotations

import csv
import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from melink.config import load, parse
from melink.datasets.detect import open_dataset
from melink.datasets.leaks import leak_report
from melink.datasets.mentions import read_mentions
from melink.errors import ConfigError, Problems
from melink.features.load import load_image, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.linker import assemble
from melink.methods.base import Context, total
from melink.methods.kgmel import KGMEL, KGMELSettings
from melink.methods.kgmel_inputs import chosen, entity_texts, gathered, mention_facts, mention_texts
from melink.records import Entity, Labelled, Mention, Triple
from melink.rerank.kgmel import KGMELSettings as RerankSettings
from melink.runs import Run, read_run
from melink.train.course import Course
from melink.train.plan import Plan
from melink.train.run import train_run

FIXTURES = Path(__file__).parents[2] / "fixtures" / "datasets"


def literal(relation: str, tail: str) -> Triple:
    return Triple(relation, tail, literal=True)


@pytest.fixture
def kb(make_kb: Callable[..., KnowledgeBase], picture: Callable[[str, int], str]) -> KnowledgeBase:
    return make_kb(
        Entity(
            "E1",
            "Ann Lee",
            description="Singer (born 1970).",
            triples=(literal("occupation", "singer"), literal("occupation", "actor"), Triple("P27", "E3")),
            images=(picture("a.png", 1),),
        ),
        Entity("E2", "Ann Lee", description="A ferry (1912)."),
        Entity("E3", "Wales"),
    )


@pytest.fixture
def context(kb: KnowledgeBase) -> Context:
    return Context(kb, FeatureStore(kb.features_dir), load_text("minilm"), load_image("classical"))


def scores(method: KGMEL, mentions: list[Mention]) -> np.ndarray:
    return total(method.score(method.mentions(mentions), method.entities(method.context.kb.view())))


class TestReading:
    def test_a_description_is_read_instead_of_the_sentence_or_beside_it(self) -> None:
        said = Mention("1", "Ann sings", "Ann", 0, 3, attributes={"description": "a singer"})
        plain = replace(said, attributes={})
        template = "{surface}: {text}"
        assert mention_texts(template, "instead", [said, plain]) == ["Ann: a singer", "Ann: Ann sings"]
        assert mention_texts(template, "beside", [said, plain]) == ["Ann: a singer. Ann: Ann sings", "Ann: Ann sings"]
        assert mention_texts(template, "ignored", [said]) == ["Ann: Ann sings"]

    def test_asides_are_left_out_of_entity_texts(self, kb: KnowledgeBase) -> None:
        template = "{label}: {description}"
        assert entity_texts(template, False, kb.view(), 6) == ["Ann Lee: Singer.", "Ann Lee: A ferry.", "Wales"]
        assert entity_texts(template, True, kb.view(), 6)[1] == "Ann Lee: A ferry (1912)."
        kb.upsert([Entity("E2", "A (b (c) (d) e) f) (g", description="(h) i (j")])
        assert entity_texts(template, False, kb.view(), 6)[1] == "A f) (g: i (j"

    def test_the_sentence_is_one_more_fact_unless_facts_are_off(self) -> None:
        mention = Mention("1", "Ann sings", "Ann", triples=(literal("occupation", "singer"),) * 2)
        assert mention_facts(mention, 5, "Ann: Ann sings") == [("occupation", "singer"), ("", "Ann: Ann sings")]
        assert mention_facts(mention, 5, " ") == [("occupation", "singer")]
        assert mention_facts(mention, 0, "Ann: Ann sings") == []

    def test_tails_are_read_by_their_names(self, context: Context) -> None:
        method = KGMEL.build(context, {})
        assert method._facts(context.kb.view())[0] == [
            ("P27", "Wales"),
            ("occupation", "actor"),
            ("occupation", "singer"),
        ]

    def test_each_text_is_encoded_once(self) -> None:
        asked: list[list[str]] = []

        def encode(texts: list[str]) -> np.ndarray:
            asked.append(texts)
            return np.asarray([[float(len(text))] for text in texts], np.float32).reshape(-1, 1)

        own = [[("a", "x"), ("b", "yy")], [], [("b", "x"), ("a", "x")]]
        found = gathered(own, encode)
        assert asked == [["a", "b"], ["x", "yy"]]
        assert found.bounds.tolist() == [0, 2, 2, 4] and len(found.pairs) == 3
        named = [
            [(asked[0][r], asked[1][t]) for r, t in found.pairs[found.places[a:b]]] for a, b in ((0, 2), (2, 2), (2, 4))
        ]
        assert named == own

    def test_warming_leaves_nothing_to_encode(self, context: Context) -> None:
        method, view = KGMEL.build(context, {}), context.kb.view()
        method.warm(view)
        texts = [text for own in method._facts(view) for pair in own for text in pair]
        assert context.store.lacking(context.text, [*method.read_entities(view), *texts]) == 0
        assert context.store.lacking(context.image, view.column("images")[0]) == 0


class TestMissing:
    def test_a_picture_that_cannot_be_read_is_none_and_is_told_once(self, context: Context, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_bytes(b"no picture")
        method = KGMEL.build(context, {})
        bad = Mention("1", "Ann sings", "Ann", 0, 3, str(tmp_path / "bad.png"))
        np.testing.assert_array_equal(scores(method, [bad, bad]), scores(method, [replace(bad, image=None)] * 2))
        scores(method, [bad])
        assert context.problems.total == 1

    def test_parts_exist_where_their_source_does(self, context: Context) -> None:
        method = KGMEL.build(context, {})
        parts = method.score(method.mentions([Mention("1", "Ann", "Ann")]), method.entities(context.kb.view()))
        assert np.isnan(parts["triples"][0]).tolist() == [False, True, True]
        assert np.isnan(parts["image"][0]).tolist() == [False, True, True]
        assert not np.isnan(parts["text"]).any()

    @pytest.mark.parametrize(
        ("changed", "parts"),
        [
            ({"images": False}, {"text", "triples", "name"}),
            ({"triples": 0}, {"text", "image", "name"}),
            ({"names": False}, {"text", "triples", "image"}),
            ({"gate": False}, {"text", "triples", "image", "name"}),
        ],
    )
    def test_what_is_switched_off_has_no_part(self, context: Context, changed: dict[str, Any], parts: set[str]) -> None:
        torch.manual_seed(1)
        method = KGMEL.build(context, changed)
        found = method.score(method.mentions([Mention("1", "Ann", "Ann")]), method.entities(context.kb.view()))
        assert set(found) == parts

    def test_without_a_text_encoder_it_says_what_to_do(self, context: Context) -> None:
        with pytest.raises(ConfigError, match="needs a text encoder") as error:
            KGMEL.build(replace(context, text=None), {})
        assert "--text-encoder" in error.value.remedy


class TestEvidence:
    def test_it_names_facts_their_attention_and_what_they_add(self, context: Context) -> None:
        method, view = KGMEL.build(context, {}), context.kb.view()
        mention = Mention("1", "Ann sings", "Ann", triples=(literal("occupation", "singer"),))
        found = method.explain(mention, view.entity(0))
        parts = method.score(method.mentions([mention]), method.entities(view))
        assert found["matched_name"] == "Ann Lee" and len(found["attended_triples"]) == 3
        adds = [float(line.rpartition("adds ")[2].rstrip(")")) for line in found["attended_triples"]]
        assert adds == sorted(adds, reverse=True)
        assert sum(adds) == pytest.approx(float(parts["triples"][0, 0]), abs=0.02)
        assert {line.partition(" (")[0] for line in found["attended_triples"]} >= set(found.get("matched_triples", []))
        assert found["mention_triples"][0].endswith(")") and any(
            "occupation" in line for line in found["mention_triples"]
        )

    def test_an_entity_without_facts_has_names_alone(self, context: Context) -> None:
        method = KGMEL.build(context, {"sentence": False})
        found = method.explain(Mention("1", "Ann", "Ann"), context.kb.view().entity(1))
        assert set(found) == {"matched_name", "name_similarity"}

    def test_it_is_the_same_before_and_after_scoring(self, context: Context) -> None:
        entity, mention = context.kb.view().entity(0), Mention("1", "Ann", "Ann")
        method = KGMEL.build(context, {})
        before = method.explain(mention, entity)
        scores(method, [mention])
        assert method.explain(mention, entity) == before


class TestKept:
    def test_an_entity_that_changed_is_made_anew(self, context: Context) -> None:
        method, mention = KGMEL.build(context, {}), Mention("1", "Ann acts", "Ann")
        before = scores(method, [mention])
        np.testing.assert_array_equal(scores(method, [mention]), before)
        assert len(method._kept) == 3
        context.kb.upsert([Entity("E2", "Ann Lee", triples=(literal("occupation", "actor"),))])
        after = scores(method, [mention])
        assert after[0, 1] != before[0, 1] and after[0, [0, 2]].tolist() == before[0, [0, 2]].tolist()
        fresh = KGMEL.build(context, {})
        fresh.module.load_state_dict(method.module.state_dict())
        fresh._deploy()
        np.testing.assert_array_equal(scores(fresh, [mention]), after)

    def test_reasons_name_the_facts_of_now(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        """Though nothing is scored in between, and though no more vectors are kept."""
        method, mention = KGMEL.build(context, {}), Mention("1", "Ann acts", "Ann")
        scores(method, [mention])
        monkeypatch.setattr("melink.methods.kgmel.KEPT", 3)
        for name in ("actor", "poet"):
            context.kb.upsert([Entity("E2", "Ann Lee", triples=(literal("occupation", name),))])
            entity = context.kb.view().entity(1)
            assert f"occupation: {name} (attention 1.00" in method.explain(mention, entity)["attended_triples"][0]
            scores(method, [mention])
            assert f"occupation: {name} (attention 1.00" in method.explain(mention, entity)["attended_triples"][0]


def test_the_run_file_of_the_paper_can_be_used() -> None:
    file = Path(__file__).parents[3] / "reproductions" / "kgmel" / "kgmel.yaml"
    run = load(Run, file)
    settings, plan = parse(KGMELSettings, run.settings), Plan.of(run)
    assert (run.method, settings.top, settings.beta, settings.sentence, settings.names) == (
        "kgmel",
        3,
        0.5,
        False,
        False,
    )
    assert (plan.batch, plan.head_lr / 10, plan.weight_decay, plan.negatives.hard) == (1024, 1e-3, 1e-5, 0)
    stage = yaml.safe_load(file.read_text(encoding="utf-8").splitlines()[-1].removeprefix("# "))["rerank"]
    reranker = parse(RerankSettings, {name: value for name, value in stage.items() if name != "name"})
    assert (stage["name"], reranker.k, reranker.n, reranker.variant) == ("kgmel", 16, 15, "spoken")


def released(split: str) -> list[Labelled]:
    """Read a split of a release in the layout of the published code."""
    return list(open_dataset("wikidiverse", FIXTURES / "kgmel").mentions(split, problems=Problems()))


# The defects of the published code that concern retrieval: none is here.


@pytest.mark.slow
def test_defect_1_what_is_chosen_depends_on_training_and_validation_alone(
    demo_copy: KnowledgeBase, lessons: Path, tmp_path: Path
) -> None:
    for door in (train_run, Course.__init__):
        assert not [name for name in inspect.signature(door).parameters if "test" in name]
    train, valid = (list(read_mentions(lessons / f"{split}.jsonl")) for split in ("train", "valid"))
    plan = {"epochs": 3, "batch": 16, "patience": 3}
    run = Run(method="kgmel", train=plan, settings={"width": 32})
    made = train_run(run, demo_copy, train, valid, tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run" / "epochs.csv").read_text().splitlines()))
    best = max(rows, key=lambda row: float(row["mrr"]))
    assert made.metrics is not None and made.metrics["best epoch"] == int(best["epoch"]) + 1
    linker = assemble(read_run(tmp_path / "run"), demo_copy)
    assert linker.method.confidence.fitted
    link = next(iter(linker.link([valid[0].mention], top=2)))
    assert set(link.candidates[0].parts) >= {"text", "name"}


def test_defect_2_shared_sentences_are_counted() -> None:
    splits = {name: released(name) for name in ("valid", "test")}
    report = leak_report(splits["valid"], splits["test"])
    assert report.mentions == 1 and len(report.shared["sentence id"]) == 1


def test_defect_3_repeated_mentions_stay_two_and_ids_hold_no_gold() -> None:
    found = released("train")
    twice = [own for own in found if own.mention.surface == "Port Veld"]
    assert len(twice) == 2 and twice[0].gold == twice[1].gold
    assert len({own.mention.id for own in found}) == len(found)
    assert not any(own.gold in own.mention.id for own in found if own.gold)
    assert "gold" not in {field.name for field in fields(Mention)}


def test_defect_4_padding_takes_no_part(context: Context) -> None:
    method = KGMEL.build(context, {"top": None})
    short, long = (
        Mention("1", "Ann", "Ann"),
        Mention("2", "Ann", "Ann", triples=tuple(literal("r", str(n)) for n in range(99))),
    )
    np.testing.assert_array_equal(scores(method, [short, long])[0], scores(method, [short])[0])


def test_defect_5_relations_stay_with_their_tails() -> None:
    triples = tuple(literal(f"relation {n % 7}", f"tail {n}") for n in range(3000))
    found = mention_facts(Mention("1", "", "", triples=triples), 1000, "")
    assert len(found) == 1000 == len(set(found))
    assert all(int(relation.split()[1]) == int(tail.split()[1]) % 7 for relation, tail in found)
    assert found == chosen(((t.relation, t.tail) for t in reversed(triples)), 1000)


def test_defect_8_placeholder_pictures_are_none() -> None:
    found = released("test")
    assert [own.mention.image for own in found] == [None]


def test_defaults_are_the_papers_but_for_p() -> None:
    s = KGMELSettings()
    assert s.top is None
    assert (s.beta, s.attention_temperature, s.temperature, s.dropout, s.gate) == (0.5, 0.1, 0.1, 0.2, True)
    assert s.losses.model_dump() == {"mention_entity": 1.0, "mention_mention": 0.1, "entity_entity": 0.1}
    assert KGMEL.plan["head_lr"] / 10 == 1e-3 and KGMEL.plan["weight_decay"] == 1e-5
