"""Each generator over a knowledge base made to confuse it."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rapidfuzz import fuzz, process, utils

from melink import registry
from melink.candidates import dense as dense_module
from melink.candidates import rescore
from melink.candidates.base import Candidates
from melink.candidates.dense import Dense, Plain, missing
from melink.candidates.fuzzy import Fuzzy
from melink.candidates.fuzzy_dwe import FuzzyDWE
from melink.candidates.inject import inject_gold
from melink.candidates.lexical import Lexical
from melink.candidates.load import DEFAULT, load_generators
from melink.candidates.name_score import similarity
from melink.candidates.names import Names
from melink.candidates.persons import Persons, agreement, name_words
from melink.errors import ConfigError, NotFound
from melink.features.encoder import Encoder
from melink.features.load import load_text
from melink.features.store import FeatureStore
from melink.features.text import entity_texts, mention_text
from melink.kb.folding import tokens
from melink.kb.store import KnowledgeBase
from melink.records import Entity, Mention

MakeKB = Callable[..., KnowledgeBase]

PEOPLE = (
    Entity("P1", "John Quincy Public", ("J. Q. Public",), "Senator."),
    Entity("P2", "Jane Public", description="Painter of rivers."),
    Entity("P3", "José Álvarez Łukasz", ("Pepe Alvarez",), "Boxer of Łódź."),
    Entity("P4", "Stephen King", description="Novelist of horror."),
    Entity("P5", "Stephen Fry", description="Actor and quiz host."),
    Entity("P6", "Katharine Hepburn", description="Actor in films."),
    Entity("P7", "Public", description="A newspaper."),
    Entity("P8", "O'Brien", ("Obrien",), "Surname (AND) OR NOT +plus -minus field:value."),
)


@pytest.fixture
def people(make_kb: MakeKB) -> KnowledgeBase:
    return make_kb(*PEOPLE)


def ask(generator: object, *surfaces: str, k: int = 10, text: str | None = None) -> list[list[str]]:
    mentions = [Mention(str(at), text if text is not None else surface, surface) for at, surface in enumerate(surfaces)]
    return [[id for id, _ in hits] for hits in generator.search(mentions, k)]  # type: ignore[attr-defined]


def test_names_find_label_and_alias_however_they_are_written(people: KnowledgeBase) -> None:
    written = (
        "Jane Public",
        "JANE PUBLIC",
        "jane  public!",
        "J. Q. Public",
        "jose alvarez lukasz",
        "José Álvarez Łukasz",
    )
    assert ask(Names(people), *written) == [["P2"], ["P2"], ["P2"], ["P1"], ["P3"], ["P3"]]
    assert ask(Names(people), "OBrien", "o’brien", "Jane", "", "🎉") == [["P8"], ["P8"], [], [], []]


def test_bearers_of_one_name_tie(make_kb: MakeKB) -> None:
    kb = make_kb(*(Entity(f"E{at}", "Georgia") for at in range(9)), Entity("X", "South Georgia"))
    hits = Names(kb).search([Mention("1", "t", "Georgia")], 20)[0]
    assert hits == [(f"E{at}", 1.0) for at in range(9)]
    assert len(Names(kb).search([Mention("1", "t", "Georgia")], 4)[0]) == 4


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("Public", {"P1", "P2", "P7"}),
        ("Mr. Public", {"P1", "P2", "P7"}),
        ("J. Public", {"P1", "P2"}),
        ("Sen. J. Q. Public Jr.", {"P1"}),
        ("John Public", {"P1"}),
        ("Alvarez", {"P3"}),
        ("José Álvarez", {"P3"}),
        ("Stephen King", {"P4"}),  # King is his surname here, not his title
        ("King", {"P4"}),
        ("King Stephen", {"P4", "P5"}),
        ("Katharine Hepbern", {"P6"}),  # one letter wrong
        ("Katharine Hepxxrn", set()),
        ("Katherine Hepburn", {"P6"}),
        ("Tim Public", set()),  # another first name
        ("Jim Public", {"P1"}),  # J. may be Jim
        ("P.", set()),
        ("", set()),
    ],
)
def test_persons(people: KnowledgeBase, written: str, found: set[str]) -> None:
    assert set(ask(Persons(people), written)[0]) == found


def test_persons_are_ordered_by_agreement(people: KnowledgeBase) -> None:
    hits = Persons(people).search([Mention("1", "t", "J. Public"), Mention("2", "t", "Public")], 10)
    assert hits[0] == [("P1", 1.0), ("P2", pytest.approx(0.9))]  # P1 is called J. Q. Public, too
    assert hits[1] == [("P1", 1.0), ("P2", 1.0), ("P7", 1.0)]


def test_agreement_of_words() -> None:
    name = tokens("John Quincy Public")
    assert agreement(["public"], name) == 1.0
    assert agreement(["j", "q", "public"], name) == pytest.approx((0.8 + 0.8 + 1) / 3)
    assert agreement(["quincey", "public"], name) == pytest.approx((0.7 + 1) / 2)
    assert agreement(["jon", "public"], name) == 0.0  # short words must be right
    assert agreement(["public", "j"], name) == 0.0  # an initial is no surname
    assert agreement(["john"], ["j", "smith"]) == pytest.approx(0.8)
    assert agreement([], name) == agreement(["public"], []) == 0.0


def test_titles_stand_in_front_and_suffixes_behind() -> None:
    assert name_words("Sir Prof. Dr. Ian Major PhD") == ["ian", "major"]
    assert name_words("Martin Luther King Jr.") == ["martin", "luther", "king"]
    assert name_words("President") == ["president"]
    assert name_words("Ms II") == ["ms", "ii"]


def test_fuzzy_orders_by_name_similarity(people: KnowledgeBase) -> None:
    hits = Fuzzy(people).search([Mention("1", "t", "Hepburne"), Mention("2", "t", "publik"), Mention("3", "t", "")], 10)
    assert hits[0][0][0] == "P6"
    assert {id for id, _ in hits[1]} >= {"P1", "P2", "P7"}
    assert hits[2] == []
    names = {entity.id: entity.names for entity in PEOPLE}
    for surface, own in zip(("Hepburne", "publik"), hits, strict=False):
        expected = {id: max(similarity(surface, name) for name in names[id]) for id, _ in own}
        assert own == sorted(own, key=lambda hit: (-hit[1], hit[0]))
        assert dict(own) == pytest.approx(expected, abs=2e-5)


def test_fuzzy_does_not_depend_on_batches(people: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    surfaces = ["public", "steven", "alvares", "kathrine", "king", "public"]
    whole = ask(Fuzzy(people), *surfaces)
    monkeypatch.setattr(rescore, "BLOCK", 2)
    assert ask(Fuzzy(people), *surfaces) == whole
    monkeypatch.setattr(rescore, "FEW", 0)
    assert ask(Fuzzy(people), *surfaces) == whole
    assert [ask(Fuzzy(people), surface)[0] for surface in surfaces] == whole


def test_fuzzy_dwe_is_what_extract_gives(make_kb: MakeKB) -> None:
    rng = random.Random(3)
    labels = ["".join(rng.choices("abcde AB-", k=rng.randrange(1, 12))).strip() or "x" for _ in range(180)]
    kb = make_kb(*(Entity(f"E{at:03}", label) for at, label in enumerate(labels)))
    generator = FuzzyDWE(kb)
    for surface in ("abc de", "AB", "ee-ea", "dcba abcd", "zzz", ""):
        query, choices = utils.default_process(surface), [utils.default_process(label) for label in labels]
        direct = process.extract(query, choices, scorer=fuzz.WRatio, limit=None)
        expected = sorted((-round(score), place) for _, score, place in direct)[:100]
        hits = generator.search([Mention("1", "t", surface)])[0]
        assert hits == [(f"E{place:03}", float(-score)) for score, place in expected]
        assert generator.search([Mention("1", "t", surface)], 7)[0] == hits[:7]


HOSTILE = (
    '"', "'", "(", ")", "((()", "AND", "OR NOT", "a AND", "+plus -minus", "field:value", "id:P1", "label:*", "*",
    "?", "~", "^", "a~2^9", "[a TO z]", "{", "\\", "/regex/", "/(", "-", "--", "!", "🎉🎉", "\u0000", "a\u0000b", "٠١٢",
    "漢字",
    "x" * 40_000, "'; DROP TABLE entities; --", "<b>", "%s %n", "{0}", "\ud83d", "\r\n\t",
)  # fmt: skip


@pytest.mark.parametrize("name", ["names", "fuzzy", "persons", "lexical"])
def test_nothing_that_a_user_types_is_query_syntax(people: KnowledgeBase, name: str) -> None:
    generator = registry.load("generator", name)(people)
    hits = generator.search([Mention(str(at), text, text) for at, text in enumerate(HOSTILE)], 5)
    assert len(hits) == len(HOSTILE)
    assert all(len(own) <= 5 and {id for id, _ in own} <= {entity.id for entity in PEOPLE} for own in hits)
    rng = random.Random(0)
    mess = ["".join(rng.choices(string.printable + "éł漢🎉", k=rng.randrange(30))) for _ in range(300)]
    assert len(generator.search([Mention(str(at), text, text) for at, text in enumerate(mess)], 5)) == 300


def test_lexical_reads_the_sentence(people: KnowledgeBase) -> None:
    found = Lexical(people)
    assert ask(found, "He", text="He wrote a horror novelist story")[0][0] == "P4"
    assert ask(found, "x", text="The boxer came from Lodz")[0][0] == "P3"
    assert ask(found, "Hepburn", text="")[0] == ["P6"]  # no sentence: the name
    assert ask(found, "x", text="unknown words only") == [[]]
    assert ask(found, "x", text="id:P1 field:value") == [["P8"]]  # words, not fields


@pytest.fixture(scope="session")
def minilm() -> Encoder:
    return load_text("minilm")


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory, minilm: Encoder) -> tuple[KnowledgeBase, FeatureStore]:
    """Sixty entities, a third of them with the same text as another."""
    kb = KnowledgeBase.create(tmp_path_factory.mktemp("many") / "kb")
    words = ("river", "singer", "city", "film", "king")
    kb.upsert(
        Entity(f"E{at:02}", f"Name {at % 40}" if at < 59 else " ", description=words[at % 5] if at < 59 else "")
        for at in range(60)
    )
    return kb, FeatureStore(kb.features_dir)


def mentions() -> list[Mention]:
    texts = ("a river in spring", "she sang", "Name 3 of the city", "", "king of film", "Name 20")
    return [Mention(str(at), text, text.split(" ")[0]) for at, text in enumerate(texts)]


def by_brute_force(kb: KnowledgeBase, store: FeatureStore, minilm: Encoder, k: int) -> list[list[tuple[str, float]]]:
    view = kb.view()
    entities = store.encode(minilm, entity_texts(view))
    queries = store.encode(minilm, [mention_text(mention) for mention in mentions()])
    scores = np.round(queries.vectors() @ entities.vectors().T, 5)
    found = []
    for row, there in zip(scores, queries.present, strict=True):
        hits = [(id, float(s)) for id, s, known in zip(view.ids, row, entities.present, strict=True) if known]
        found.append(sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k] if there else [])
    return found


@pytest.mark.parametrize("k", [1, 3, 10, 1000])
@pytest.mark.parametrize("chunk", [1, 7, 60, 10_000])
def test_dense_is_exact(
    many: tuple[KnowledgeBase, FeatureStore], minilm: Encoder, monkeypatch: pytest.MonkeyPatch, k: int, chunk: int
) -> None:
    monkeypatch.setattr(dense_module, "CHUNK", chunk)
    found = Dense(*many, minilm).search(mentions(), k)
    expected = by_brute_force(*many, minilm, k)
    assert [[id for id, _ in own] for own in found] == [[id for id, _ in own] for own in expected]
    assert [s for own in found for _, s in own] == pytest.approx([s for own in expected for _, s in own], abs=2e-5)
    assert found[3] == [] and "E59" not in {id for own in found for id, _ in own}  # without text


def test_dense_sees_what_is_added_and_deleted(make_kb: MakeKB, minilm: Encoder) -> None:
    kb = make_kb(Entity("E1", "river"), Entity("E2", "singer"))
    store = FeatureStore(kb.features_dir)
    assert missing(kb, store, minilm, Plain()) == 2
    dense = Dense(kb, store, minilm)
    assert missing(kb, store, minilm, Plain()) == 2, "nobody has searched yet"
    assert len(dense.search([Mention("1", "singer", "singer")], 5)[0]) == 2
    assert missing(kb, store, minilm, Plain()) == 0
    kb.upsert([Entity("E3", "singer of the river")])
    assert missing(kb, store, minilm, Plain()) == 1
    assert {id for id, _ in dense.search([Mention("1", "singer", "singer")], 5)[0]} == {"E1", "E2", "E3"}
    kb.delete(["E2"])
    assert {id for id, _ in dense.search([Mention("1", "singer", "singer")], 5)[0]} == {"E1", "E3"}


def test_gold_is_injected_in_the_last_place() -> None:
    lists = Candidates((("a", "b", "c"), ("a",), (), ("b", "a"), ("x", "y")), ({}, {}, {}, {}, {}))
    found, changed = inject_gold(lists, ["q", "q", "q", "a", None])
    assert found.ids == (("a", "b", "q"), ("q",), ("q",), ("b", "a"), ("x", "y"))
    assert changed == 3


def test_generators_by_name(people: KnowledgeBase, minilm: Encoder, tmp_path: Path) -> None:
    store = FeatureStore(people.features_dir)
    assert [g.name for g in load_generators(DEFAULT, people, store, minilm)] == list(DEFAULT)
    with pytest.raises(NotFound, match="unknown generator 'fuzy'") as wrong:
        load_generators(["fuzy"], people, store)
    assert "fuzzy" in wrong.value.remedy
    with pytest.raises(ConfigError, match="'dense' needs a text encoder"):
        load_generators(["dense"], people, store)
    with pytest.raises(ConfigError, match="--given"):
        load_generators(["given"], people, store)
    with pytest.raises(ConfigError, match="no candidate generator"):
        load_generators([], people, store)
    with pytest.raises(NotFound, match=r"nothing\.jsonl"):
        load_generators(["given"], people, store, given=tmp_path / "nothing.jsonl")


def test_every_registered_generator_has_the_shape(people: KnowledgeBase, minilm: Encoder, tmp_path: Path) -> None:
    lists = tmp_path / "lists.jsonl"
    lists.write_text('{"id": "0", "candidates": ["P1"]}\n')
    store = FeatureStore(people.features_dir)
    made = load_generators(registry.names("generator"), people, store, minilm, given=lists)
    for generator in made:
        assert generator.search([], 5) == []
        hits = generator.search([Mention("0", "Jane Public paints", "Jane Public")] * 2, 3)
        assert len(hits) == 2 and hits[0] == hits[1]
        assert len(hits[0]) <= 3 and hits[0] == sorted(hits[0], key=lambda hit: -hit[1])
        assert len({id for id, _ in hits[0]}) == len(hits[0])


def test_an_empty_knowledge_base_proposes_nobody(make_kb: MakeKB, minilm: Encoder) -> None:
    kb = make_kb()
    names = [name for name in registry.names("generator") if name != "given"]
    for generator in load_generators(names, kb, FeatureStore(kb.features_dir), minilm):
        assert generator.search([Mention("1", "Jane paints", "Jane")], 5) == [[]], generator.name
