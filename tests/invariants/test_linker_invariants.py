"""What must not change a link, and what must."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import melink
from melink.candidates.base import Candidates
from melink.demo.run import Demo
from melink.errors import ConfigError, NotFound, Problems
from melink.kb.store import KnowledgeBase
from melink.linker import Linker, assemble, batches
from melink.records import NIL, Entity, Link, Mention
from melink.runs import Run

MakeKB = Callable[..., KnowledgeBase]
Draw = Callable[[str, int], str]
LIGHT = ("names", "fuzzy", "persons", "lexical")


def raw(linker: Linker, mention: Mention, ids: tuple[str, ...]) -> dict[str, tuple[float, dict[str, float]]]:
    """Return total and parts of each candidate."""
    link = linker.rank([mention], Candidates((ids,)), len(ids))[0]
    return {candidate.id: (candidate.score, dict(candidate.parts)) for candidate in link.candidates}


def test_links_are_in_order_and_ranked(demo: Demo) -> None:
    links = [outcome.link for outcome in demo.outcomes]
    assert [link.mention.id for link in links] == [sample.mention.id for sample in demo.samples]
    for link in links:
        scores = [candidate.score for candidate in link.candidates]
        assert scores == sorted(scores, reverse=True)
        assert len({candidate.id for candidate in link.candidates}) == len(scores) <= 10
        assert link.probability is not None and 0 <= link.probability <= 1
        assert all(candidate.sources for candidate in link.candidates)


def test_parts_add_up_to_the_score(demo: Demo) -> None:
    for outcome in demo.outcomes:
        for candidate in outcome.link.candidates:
            assert sum(candidate.parts.values()) == pytest.approx(candidate.score, abs=5e-5)


def test_permuting_candidates_changes_nothing(demo: Demo) -> None:
    rng = np.random.default_rng(0)
    mentions = [sample.mention for sample in demo.samples[:20]]
    found = demo.linker.candidates(mentions, 15)
    mixed = Candidates(tuple(tuple(rng.permutation(ids).tolist()) for ids in found.ids), found.sources)
    assert mixed.ids != found.ids
    assert demo.linker.rank(mentions, mixed, 15) == demo.linker.rank(mentions, found, 15)


def test_another_candidate_changes_no_score(demo: Demo) -> None:
    every = demo.linker.kb.view().ids
    for sample in demo.samples[:12]:
        few = tuple(every[:3])
        before = raw(demo.linker, sample.mention, few)
        after = raw(demo.linker, sample.mention, (*every[100:140], *few))
        assert {id: after[id] for id in few} == before


@pytest.mark.parametrize("size", [1, 7])
def test_batches_change_nothing(demo: Demo, size: int) -> None:
    mentions = [sample.mention for sample in demo.samples]
    whole = demo.linker.link(mentions)
    assert [link for batch in batches(mentions, size) for link in demo.linker.link(batch)] == whole
    assert whole == [outcome.link for outcome in demo.outcomes]


def test_the_mention_id_is_not_read(demo: Demo) -> None:
    mentions = [sample.mention for sample in demo.samples[:20]]
    renamed = [dataclasses.replace(mention, id=f"other-{at}") for at, mention in enumerate(mentions)]
    for one, other in zip(demo.linker.link(mentions), demo.linker.link(renamed), strict=True):
        assert (one.candidates, one.nil, one.probability) == (other.candidates, other.nil, other.probability)


def test_any_iterable_of_mentions(demo: Demo) -> None:
    mentions = [sample.mention for sample in demo.samples[:3]]
    assert demo.linker.link(iter(mentions)) == demo.linker.link(mentions)
    assert demo.linker.link([]) == []
    few = demo.linker.link(mentions, top=2)
    assert [len(link.candidates) for link in few] == [2, 2, 2]
    assert [link.id for link in demo.linker.link(mentions, top=0)] == [link.id for link in few]


def test_a_new_entity_is_linked_at_once(demo: Demo, demo_copy: KnowledgeBase) -> None:
    linker = assemble(demo.linker.run, demo_copy)
    mention = Mention("1", "The village of Quillmere has one pub.", "Quillmere", 15, 24)
    assert linker.link([mention])[0].nil
    demo_copy.upsert([Entity("new", "Quillmere", description="Village with one pub.")])
    found = linker.link([mention])[0]
    assert found.id == "new" and not found.nil
    assert set(found.candidates[0].sources) >= {"names", "fuzzy", "persons", "lexical", "dense"}
    demo_copy.delete(["new"])
    assert linker.link([mention])[0].nil


def test_an_empty_knowledge_base_links_to_nil(make_kb: MakeKB) -> None:
    for method in ("names", "zeroshot"):
        linker = assemble(Run(method=method), make_kb(name=method))
        link = linker.link([Mention("1", "Jane paints", "Jane")])[0]
        assert (link.id, link.nil, link.candidates, link.probability) == (NIL, True, (), 1.0)


def test_nobody_found_is_nil(make_kb: MakeKB) -> None:
    linker = assemble(Run(method="names", generators=("names",)), make_kb(Entity("E1", "Jane")))
    jane, nobody = linker.link([Mention("1", "Jane paints", "Jane"), Mention("2", "Zoltan paints", "Zoltan")])
    assert jane.id == "E1" and jane.candidates[0].evidence["matched_name"] == "Jane"
    assert nobody.nil and nobody.candidates == () and nobody.id == NIL


def test_an_unlikely_candidate_is_nil(make_kb: MakeKB) -> None:
    kb = make_kb(Entity("E1", "Jane Doe"))
    strict, easy = (
        assemble(Run(method="names", generators=("fuzzy",), settings={"confidence": {"nil": nil}}), kb)
        for nil in (0.99, 0.1)
    )
    mention = Mention("1", "Janet", "Janet")
    assert strict.link([mention])[0].nil and len(strict.link([mention])[0].candidates) == 1
    assert easy.link([mention])[0].id == "E1"


@pytest.fixture
def pictured(make_kb: MakeKB, picture: Draw) -> KnowledgeBase:
    return make_kb(
        Entity("E1", "Ann", description="A singer.", images=(picture("e1.png", 1),)),
        Entity("E2", "Ann", description="A river.", images=(picture("e2.png", 2),)),
        Entity("E3", "Ann", description="A song."),
    )


def stripped(link: Link) -> Link:
    return dataclasses.replace(link, mention=dataclasses.replace(link.mention, image=None))


def test_a_picture_decides(pictured: KnowledgeBase, picture: Draw) -> None:
    linker = assemble(Run(generators=LIGHT), pictured)
    for id, seed in (("E1", 1), ("E2", 2)):
        found = linker.link([Mention("1", "Ann", "Ann", 0, 3, picture("copy.png", seed))])[0]
        assert found.candidates[0].id == id
        assert "image" in found.candidates[0].parts
        assert "image" not in next(c for c in found.candidates if c.id == "E3").parts


@pytest.mark.parametrize("damage", ["corrupt", "empty", "missing", "text", "folder"])
def test_a_broken_picture_is_masked_and_counted(pictured: KnowledgeBase, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken.png"
    if damage == "corrupt":
        whole = (tmp_path / "e1.png").read_bytes()
        broken.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        broken.touch()
    elif damage == "text":
        broken.write_text("no picture")
    elif damage == "folder":
        broken.mkdir()
    problems = Problems()
    linker = assemble(Run(generators=LIGHT), pictured, problems=problems)
    mention = Mention("1", "Ann sings", "Ann", 0, 3)
    plain = linker.link([mention])[0]
    assert problems.total == 0
    seen = dataclasses.replace(mention, image=str(broken))
    found = linker.link([seen, dataclasses.replace(seen, id="2")])
    assert stripped(found[0]) == plain
    assert problems.total == 1 and problems.first[0].file == str(broken)
    assert next(iter(problems.counts)).startswith("image ")
    linker.link([seen])
    assert problems.total == 1  # once for each picture, however often it is met


def test_a_broken_picture_of_an_entity_is_counted_once(make_kb: MakeKB, tmp_path: Path, picture: Draw) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    kb = make_kb(Entity("E1", "Ann", images=(str(tmp_path / "bad.png"),)), Entity("E2", "Ann", images=()))
    problems = Problems()
    linker = assemble(Run(generators=LIGHT), kb, problems=problems)
    for at in range(3):
        link = linker.link([Mention(str(at), "Ann", "Ann", 0, 3, picture("m.png", 3))])[0]
        assert all("image" not in candidate.parts for candidate in link.candidates)
        assert link.candidates[0].score == link.candidates[1].score
    assert problems.total == 1 and problems.first[0].file.endswith("bad.png")


def test_a_saved_linker_links_alike(demo: Demo, tmp_path: Path) -> None:
    mentions = [sample.mention for sample in demo.samples]
    demo.linker.save_pretrained(tmp_path / "run")
    again = melink.Linker.from_pretrained(tmp_path / "run")
    assert again.link(mentions) == [outcome.link for outcome in demo.outcomes]
    assert again.run == demo.linker.run and again.method.settings() == demo.linker.method.settings()
    assert again.encoders == demo.linker.encoders and set(again.encoders) == {"minilm", "classical"}
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n") and "minilm" in card and "nothing fitted" in card
    given = Linker.from_pretrained(str(tmp_path / "run"), kb=demo.linker.kb)
    assert given.kb is demo.linker.kb


def test_settings_outlive_saving(demo: Demo, tmp_path: Path) -> None:
    settings = {
        "weights": {"name": 2.0, "image": 0.0},
        "neutral": {"text": 0.2},
        "confidence": {"temperature": 0.3, "nil": 0.1},
    }
    linker = assemble(Run(settings=settings, generators=LIGHT, k=7), demo.linker.kb)
    linker.save_pretrained(tmp_path / "run")
    again = Linker.from_pretrained(tmp_path / "run")
    assert again.run.k == 7 and again.run.generators == LIGHT
    assert again.method.settings()["weights"] == {**Run_weights(), "name": 2.0, "image": 0.0}
    assert (again.method.confidence.temperature, again.method.confidence.nil) == (0.3, 0.1)
    mention = demo.samples[0].mention
    assert again.link([mention]) == linker.link([mention])
    assert all("image" not in c.parts for c in again.link([mention])[0].candidates)


def Run_weights() -> dict[str, float]:
    from melink.methods.zeroshot import Weights

    return dict(Weights().model_dump())


def test_a_linker_that_cannot_be_loaded_says_what_to_do(demo: Demo, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="unknown model") as wrong:
        Linker.from_pretrained("zeroshoot", kb=demo.linker.kb)
    assert "'zeroshot'" in wrong.value.remedy
    with pytest.raises(NotFound, match="without config") as wrong:
        Linker.from_pretrained(tmp_path, kb=demo.linker.kb)
    assert "melink train" in wrong.value.remedy
    with pytest.raises(ConfigError, match="names no knowledge base") as missing:
        Linker.from_pretrained("names")
    assert "kb=" in missing.value.remedy
    with pytest.raises(NotFound, match="nowhere"):
        Linker.from_pretrained("names", kb=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "config.json"),
        ('{"methd": "names"}', "methd"),
        ('{"k": "many"}', "k: "),
        ('{"k": 0}', "k: "),
        ('{"settings": {"weigths": {}}}', "weigths"),
        ('{"settings": {"weights": {"nam": 2}}}', r"weights\.nam"),
        ('{"settings": {"confidence": {"temperature": 0}}}', "temperature"),
        ('{"settings": {"entity_text": "abstract"}}', "abstract"),
        ('{"encoder": "minilm"}', "no image side"),
    ],
)
def test_a_damaged_run_names_what_is_wrong(demo: Demo, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=message) as wrong:
        Linker.from_pretrained(tmp_path, kb=demo.linker.kb).link([Mention("1", "a b", "a")])
    assert wrong.value.remedy


def test_a_run_of_another_knowledge_base(demo: Demo, tmp_path: Path) -> None:
    demo.linker.save_pretrained(tmp_path)
    data = json.loads((tmp_path / "config.json").read_text())
    data["kb"] = str(tmp_path / "moved")
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(NotFound, match="moved"):
        Linker.from_pretrained(tmp_path)
    shutil.copytree(demo.linker.kb.path, tmp_path / "moved")
    assert len(Linker.from_pretrained(tmp_path).kb) == len(demo.linker.kb)


def test_encoders_decide_which_pairs_there_are(demo: Demo, small_clip: Path, demo_copy: KnowledgeBase) -> None:
    assert set(demo.linker.method.pairs) == {"text", "image"}  # type: ignore[attr-defined]
    clip = assemble(Run(encoder=str(small_clip), generators=LIGHT), demo_copy)
    assert set(clip.method.pairs) == {"text", "image", "text_image", "image_text"}  # type: ignore[attr-defined]
    assert set(clip.link([demo.samples[0].mention])[0].candidates[0].parts) >= {"text_image", "image_text"}
    none = assemble(Run(text_encoder=None, image_encoder=None, generators=LIGHT), demo_copy)
    assert none.method.pairs == {} and none.encoders == {}  # type: ignore[attr-defined]
    assert set(none.link([demo.samples[0].mention])[0].candidates[0].parts) <= {"name", "triples"}


@pytest.mark.parametrize("part", ["text", "image", "triples"])
def test_a_weight_of_nothing_turns_a_part_off(demo: Demo, part: str) -> None:
    linker = assemble(Run(settings={"weights": {part: 0}}, generators=LIGHT), demo.linker.kb)
    for link in linker.link([sample.mention for sample in demo.samples[:10]]):
        for candidate in link.candidates:
            assert part not in candidate.parts
            assert part != "triples" or "matched_triples" not in candidate.evidence
