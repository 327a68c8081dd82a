"""Every published layout, on fixtures in the exact form of its release: each quirk of the formats has a test."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from melink.datasets.base import Dataset
from melink.datasets.detect import open_dataset
from melink.datasets.drin_wikidiverse import image_name
from melink.errors import InputError, NotFound, Problems
from melink.records import NIL, Labelled, Triple

FIXTURES = Path(__file__).parents[2] / "fixtures" / "datasets"


def read(dataset: Dataset, split: str) -> tuple[list[Labelled], Problems]:
    problems = Problems()
    return list(dataset.mentions(split, problems=problems)), problems


def spans(found: list[Labelled]) -> list[tuple[int | None, int | None]]:
    return [(item.mention.start, item.mention.end) for item in found]


def pictures(found: list[Labelled]) -> list[str | None]:
    return [item.mention.image and Path(item.mention.image).name for item in found]


class TestMimic:
    def test_mentions(self):
        dataset = open_dataset("wikimel", FIXTURES / "mimic")
        assert dataset.layout == "mimic"
        assert list(dataset.splits) == ["train", "valid", "test"]
        found, problems = read(dataset, "train")
        assert [item.mention.id for item in found] == ["wikimel-train-0", "wikimel-train-1"]
        assert found[0].mention.surface == "Ada Quill"  # percent-encoded in the release
        assert spans(found) == [(0, 9), (0, 5)]
        assert pictures(found) == ["1001.jpg", None]  # a/1001.png became 1001.jpg; "" is no picture, and no problem
        assert [item.gold for item in found] == ["Q9001", "Q9001"]
        assert problems.total == 0

    def test_nil_and_shared_sentence(self):
        found, _ = read(open_dataset("wikimel", FIXTURES / "mimic"), "valid")
        assert [item.gold for item in found] == [NIL, "Q9001"]
        assert pictures(found) == ["1002.jpg", "1002.jpg"]

    def test_bad_rows_are_reported_with_their_number(self):
        found, problems = read(open_dataset("wikimel", FIXTURES / "mimic"), "test")
        assert [item.mention.id for item in found] == ["wikimel-test-1"]
        assert found[0].mention.image is None
        assert problems.counts == {"no text": 1, "image missing": 1, "not an object": 1}
        assert "WIKIMEL_test.json[2]" in str(problems.first[-1])

    def test_entities_follow_qid2id(self):
        problems = Problems()
        dataset = open_dataset("wikimel", FIXTURES / "mimic")
        assert dataset.knowledge is not None
        entities = {entity.id: entity for entity in dataset.knowledge.entities(problems)}
        assert {id: entity.label for id, entity in entities.items()} == {"Q9001": "Ada Quill", "Q9002": "Borin Tass"}
        assert entities["Q9001"].attributes == "Sex: female. Occupation: engineer."
        assert [Path(image).name for image in entities["Q9002"].images] == ["Q9002_0.jpg"]
        assert problems.counts == {"bad entity": 1}  # row 7 has no QID


class TestKgmel:
    def test_rows_hold_several_mentions(self):
        dataset = open_dataset("wikidiverse", FIXTURES / "kgmel")
        found, problems = read(dataset, "train")
        assert [item.mention.id for item in found] == [f"wikidiverse-0-{number}" for number in range(3)]
        assert [item.mention.surface for item in found] == ["Veld", "Port Veld", "Port Veld"]
        assert spans(found) == [(0, 4), (15, 24), (35, 44)]  # the second "Port Veld" takes the second occurrence
        assert pictures(found) == ["mention_0.jpg"] * 3
        assert problems.counts == {"unequal lists": 1}

    def test_blank_pictures_are_absent(self):
        found, problems = read(open_dataset("wikidiverse", FIXTURES / "kgmel"), "valid")
        assert found[0].mention.image is None
        assert found[0].extra["blank_image"] is True
        assert problems.total == 0

    def test_a_sentence_may_be_in_two_splits(self):
        dataset = open_dataset("wikidiverse", FIXTURES / "kgmel")
        assert read(dataset, "valid")[0] == read(dataset, "test")[0]

    @pytest.mark.parametrize("folder", ["kgmel", "kgmel/data", "kgmel/data/dataset"])
    def test_found_from_any_level(self, folder: str):
        dataset = open_dataset("wikidiverse", FIXTURES / folder)
        assert len(read(dataset, "train")[0]) == 3
        assert dataset.knowledge is not None

    def test_knowledge_graph(self):
        dataset = open_dataset("wikidiverse", FIXTURES / "kgmel")
        assert dataset.knowledge is not None
        assert dataset.knowledge.triples is not None
        assert dataset.knowledge.relations is not None
        problems = Problems()
        entities = {entity.id: entity for entity in dataset.knowledge.entities(problems)}
        assert list(entities) == ["Q8001", "Q8002", "Q8003"]  # only qids_candidate of this benchmark
        assert entities["Q8002"].description == 'capital called "the Port"'
        assert entities["Q8003"].description == ""
        assert [Path(image).name for image in entities["Q8001"].images] == ["Q8001_0.jpg"]
        triples = list(dataset.knowledge.triples(problems))
        assert triples == [("Q8002", "P17", "Q8001"), ("Q8001", "P36", "Q8002")]
        assert list(dataset.knowledge.relations(problems))[1] == ("P36", "capital", "seat of government")
        assert problems.counts == {"too few fields": 2}

    def test_generated_triples(self):
        dataset = open_dataset("wikidiverse", FIXTURES / "kgmel_generated")
        found, problems = read(dataset, "train")
        assert found[0].mention.triples == (Triple("capital", "Port Veld", literal=True),)
        assert found[0].mention.attributes == {"type": "country", "description": "an island country"}
        assert found[1].mention.attributes == {"type": "city"}
        assert found[1].mention.triples == ()
        assert problems.counts["bad triple"] == 1

    def test_other_benchmark_of_the_mapping(self):
        with pytest.raises(InputError, match=r"WikiMEL\.json"):
            open_dataset("wikimel", FIXTURES / "kgmel")


class TestDrin:
    def test_wikimel(self):
        dataset = open_dataset("wikimel", FIXTURES / "drin_wikimel")
        assert dataset.layout == "drin"
        found, problems = read(dataset, "valid")
        assert [item.mention.id for item in found] == ["wikimel-1001-1", "wikimel-1002-0"]
        assert pictures(found) == ["1001.jpg", None]  # named by the id before "-"
        assert problems.counts == {"image missing": 1}
        assert dataset.candidates_for("valid") == {
            "wikimel-1001-1": ["Q9003", "Q9002"],
            "wikimel-1002-0": ["Q9003", "Q9004"],  # gold is not injected
        }
        assert dataset.knowledge is not None
        entities = {entity.id: entity for entity in dataset.knowledge.entities(problems)}
        assert entities["Q9002"].names == ("Borin Tass", "B. Tass")
        assert entities["Q9001"].attributes == "Sex: female. Occupation: engineer."
        assert "Q9004" not in entities

    def test_wikidiverse(self):
        dataset = open_dataset("wikidiverse", FIXTURES / "drin_wikidiverse")
        found, problems = read(dataset, "valid")
        assert [item.gold for item in found] == ["Café_Veld", NIL]
        assert spans(found) == [(7, 11), (7, 11)]  # the second row's offsets are wrong
        assert problems.counts == {"bad row": 1, "span repaired": 1}
        assert pictures(found) == [image_name("…/Veld_map.svg")] * 2
        assert dataset.candidates_for("train") == {"wikidiverse-train-0": ["Veld", "Port_Veld"]}

    def test_wikidiverse_entities(self):
        dataset = open_dataset("wikidiverse", FIXTURES / "drin_wikidiverse")
        assert dataset.knowledge is not None
        problems = Problems()
        entities = {entity.id: entity for entity in dataset.knowledge.entities(problems)}
        assert set(entities) == {"Port_Veld", "Veld", "Café_Veld"}
        assert entities["Port_Veld"].label == "Port Veld"
        assert entities["Veld"].description == "Veld is an island."
        assert len(entities["Veld"].images) == 1  # the first URL has no file
        assert problems.counts == {"bad row": 1}

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://x/y/Obelisk.jpg", "c698081b7f437f8bb9fc423d8ba8ac2b.jpg"),
            ("https://x/y/A%20map.JPEG", "c3460522efc1b4333461f645cdfe4a3c.JPEG"),
            ("https://x/y/Map.SVG", "e6f6451c51e36871640e06d26c826a13.png"),
            ("https://x/y/Map.svg", "0a23177e1f0879e767f861f1601f0737.png"),
            ("https://x/y/film.webm", "99c6860938ea9acbd75f14a8887f39ccfilm.webm"),
        ],
    )
    def test_image_names(self, url: str, name: str):
        assert image_name(url) == name

    def test_answers_are_compared(self, tmp_path: Path):
        folder = shutil.copytree(FIXTURES / "drin_wikimel", tmp_path / "drin")
        np.save(folder / "answer_valid.npy", np.array([1, 2]))
        problems = Problems()
        open_dataset("wikimel", folder).candidates_for("valid", problems)
        assert problems.total == 0
        np.save(folder / "answer_valid.npy", np.array([0, 100]))
        open_dataset("wikimel", folder).candidates_for("valid", problems)
        assert problems.counts == {"answer differs": 1}  # 100 of a longer list is a miss as well
        np.save(folder / "answer_valid.npy", np.array([0.5]))
        with pytest.raises(InputError, match="expected 2 whole numbers"):
            open_dataset("wikimel", folder).candidates_for("valid", problems)


class TestDwe:
    def test_wikimel(self):
        dataset = open_dataset("wikimel", FIXTURES / "dwe_wikimel")
        assert dataset.layout == "dwe"
        found, problems = read(dataset, "train")
        assert found[0].mention.id == "wikimel-1001-0"
        assert found[0].extra["sentence_id"] == "1001"
        assert pictures(found) == ["1001.jpg"]
        assert dataset.candidates_for("train") == {"wikimel-1001-0": ["Q9001", "Q9002"]}
        assert read(dataset, "test")[0][0].gold is None  # an empty answer is unknown, not NIL
        assert dataset.knowledge is not None
        ada, borin = sorted(dataset.knowledge.entities(problems), key=lambda entity: entity.id)
        assert (ada.label, ada.description) == ("Ada Quill", "Quillian engineer and writer.")
        assert ada.attributes == "Sex: female. Occupation: engineer."
        assert (borin.label, borin.description) == ("Borin Tass", "")
        assert problems.total == 0

    def test_richpediamel_ids_do_not_tell_the_gold(self):
        dataset = open_dataset("richpediamel", FIXTURES / "dwe_richpediamel")
        found, _ = read(dataset, "train")
        assert found[0].mention.id == "richpediamel-train-0"
        assert found[0].extra["image_file"] == "Q9001_b.JPG"  # only JPEGs of img_list count
        assert read(dataset, "valid")[0][0].extra.get("image_file") is None

    def test_wikidiverse_is_a_list_and_answers_with_titles(self):
        dataset = open_dataset("wikidiverse", FIXTURES / "dwe_wikidiverse")
        assert dataset.layout == "dwe"
        found, _ = read(dataset, "valid")
        assert (found[0].mention.id, found[0].gold) == ("wikidiverse-valid-0", "Veld (island)")
        lists = dataset.candidates_for("valid")  # search_top100 is by gold here
        assert lists == {"wikidiverse-valid-0": ["Port Veld", "Veld (island)"]}
        assert dataset.knowledge is not None
        assert [e.label for e in dataset.knowledge.entities(Problems())] == ["Port Veld", "Veld (island)"]


class TestMelbench:
    def test_lists(self):
        dataset = open_dataset("wikimel", FIXTURES / "melbench")
        assert list(dataset.splits) == ["all"]
        found, problems = read(dataset, "all")
        assert [item.mention.id for item in found] == ["wikimel-1001-0", "wikimel-1001-1", "wikimel-1001-2"]
        assert [item.gold for item in found] == ["Q9001", "Q9002", "Q9003"]
        assert spans(found) == [(6, 15), (28, 32), (38, 42)]
        assert pictures(found) == ["1001.jpg"] * 3
        assert problems.counts == {"unequal lists": 1}

    def test_single_values(self):
        found, _ = read(open_dataset("richpediamel", FIXTURES / "melbench"), "all")
        assert [item.mention.id for item in found] == ["richpediamel-0-0", "richpediamel-1-0"]
        assert [item.gold for item in found] == ["Q9001", "Q9002"]


class TestPassages:
    def test_mentions(self):
        dataset = open_dataset("wikidiverse", FIXTURES / "passages")
        assert dataset.layout == "passages"
        found, _ = read(dataset, "train")
        assert [(item.mention.id, item.gold) for item in found] == [
            ("wikidiverse-train-0-0", "Veld_Gulls"),
            ("wikidiverse-train-0-1", "Port_Veld_Terns"),  # "nhttps://" in the release
        ]
        assert spans(found) == [(4, 9), (21, 26)]
        assert found[0].extra["topic"] == "sports"
        assert found[0].extra["mention_type"] == "Organization"

    def test_repairs_nil_and_bad_rows(self):
        found, problems = read(open_dataset("wikidiverse", FIXTURES / "passages"), "valid")
        assert [item.gold for item in found] == ["A/C_Terns", NIL]
        assert spans(found) == [(0, 5), (9, 13)]
        assert (problems.counts["bad row"], problems.counts["span repaired"]) == (2, 1)


def test_jsonl_layout():
    dataset = open_dataset("wikimel", FIXTURES / "jsonl")
    assert dataset.layout == "jsonl"
    found, _ = read(dataset, "valid")
    assert pictures(found) == ["1.png", "copy.png", None, None]


def test_wrong_directory_says_what_was_looked_for(tmp_path: Path):
    with pytest.raises(InputError) as error:
        open_dataset("wikidiverse", tmp_path)
    for name in (
        "train.jsonl",
        "WikiDiverse.json",
        "wiki_diverse_dev.json",
        "valid_w_10cands.json",
        "entity_list.json",
    ):
        assert name in error.value.remedy


def test_unknown_names(tmp_path: Path):
    with pytest.raises(NotFound, match="unknown dataset 'wikimell'"):
        open_dataset("wikimell", tmp_path)
    with pytest.raises(NotFound, match="unknown layout of richpediamel 'drin'"):
        open_dataset("richpediamel", tmp_path, "drin")
    with pytest.raises(NotFound, match="no directory"):
        open_dataset("wikimel", tmp_path / "none")
    with pytest.raises(NotFound, match="unknown split"):
        list(open_dataset("wikimel", FIXTURES / "mimic").mentions("dev"))


def test_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "Wikidata-MEL.json").write_text('{"1": {"sentence": "cut')
    with pytest.raises(InputError, match=r"Wikidata-MEL\.json: not JSON"):
        read(open_dataset("wikimel", tmp_path), "all")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("wikimel", "mimic"),
        ("wikidiverse", "kgmel"),
        ("wikimel", "drin_wikimel"),
        ("wikidiverse", "drin_wikidiverse"),
        ("wikimel", "dwe_wikimel"),
        ("richpediamel", "dwe_richpediamel"),
        ("wikidiverse", "dwe_wikidiverse"),
        ("wikimel", "melbench"),
        ("richpediamel", "melbench"),
        ("wikidiverse", "passages"),
    ],
)
def test_no_mention_tells_its_gold(name: str, folder: str):
    """Ids are stable, not gold-derived; what a method sees has neither the gold id nor the gold title."""
    dataset = open_dataset(name, FIXTURES / folder)
    for split in dataset.splits:
        first, again = read(dataset, split)[0], read(dataset, split)[0]
        assert first == again
        for item in first:
            assert item.gold is None or item.gold == NIL or item.gold not in item.mention.id
