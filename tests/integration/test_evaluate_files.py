"""``melink evaluate``, ``candidates``, ``train`` and ``encode`` over the demo, as their users run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from melink.cli.main import app
from melink.demo.run import Demo
from melink.kb.store import KnowledgeBase
from melink.linker import Linker
from melink.records import Entity

LIGHT = ("--generator", "names,fuzzy,persons,lexical")
FIGURES = {"n", "hits@1", "hits@3", "hits@5", "hits@10", "hits@20", "mrr", "mr", "candidate_recall", "nil"}
FIGURES |= {"calibration", "ci95"}
PROTOCOL = {
    "candidates", "kb_size", "kb_hash", "entity_text_source", "split_file", "split_hash", "method", "generators",
    "kb_version", "ties", "miss_policy", "shortlist", "approximate", "leaks", "seeds", "encoders", "weights", "run",
    "reranker", "entities_hash",
}  # fmt: skip


def run(*arguments: object, input: bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)], input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def evaluated(demo: Demo, mentions: Path, *arguments: object) -> dict[str, Any]:
    status, out, err = run("evaluate", demo.linker.kb.path, mentions, "--json", "-", *arguments)
    assert status == 0, err
    return dict(orjson.loads(out))


def test_the_json_contract(demo: Demo, demo_mentions: Path) -> None:
    result = evaluated(demo, demo_mentions)
    assert set(result) >= {"protocol", "overall", "slices", "timing", "counts", "problems"}
    assert set(result["protocol"]) == PROTOCOL
    assert set(result["overall"]) == FIGURES
    assert set(result["slices"]) == {"with_image", "without_image", "nil"}
    for figures in (result["overall"], *result["slices"].values()):
        assert set(figures) >= FIGURES
        shares = [figures[name] for name in ("hits@1", "hits@3", "hits@5", "hits@10", "hits@20", "mrr")]
        assert all(share is None or 0 <= share <= 1 for share in shares)
    protocol = result["protocol"]
    assert protocol["candidates"] == "full" and protocol["generators"] == []
    assert protocol["kb_size"] == len(demo.linker.kb) and protocol["kb_hash"] == demo.linker.kb.content_hash()
    assert set(protocol["encoders"]) == {"minilm", "classical"} and protocol["weights"]["name"] == 1.25
    assert result["counts"] == {"mentions": 74, "linkable": 66, "nil": 8, "unlabelled": 0, "passed_over": 0}
    assert result["overall"]["n"] == 66 and result["overall"]["candidate_recall"] == 1.0
    low, high = result["overall"]["ci95"]["hits@1"]
    assert low <= result["overall"]["hits@1"] <= high
    assert {"setup", "rank", "mentions_per_second"} <= set(result["timing"])


def test_figures_are_those_of_the_links(demo: Demo, demo_mentions: Path) -> None:
    overall = evaluated(demo, demo_mentions)["overall"]
    inside = [outcome for outcome in demo.outcomes if outcome.linkable]
    first = [outcome.link.candidates[0].id == outcome.gold for outcome in inside]
    assert overall["hits@1"] == pytest.approx(sum(first) / len(inside), abs=0.02)  # a tie counts half in a rank
    right = [outcome.correct for outcome in demo.outcomes]
    assert overall["nil"]["accuracy"] == pytest.approx(sum(map(bool, right)) / len(right))


def test_the_names_method(demo: Demo, demo_mentions: Path) -> None:
    result = evaluated(demo, demo_mentions, "--model", "names")
    assert result["protocol"]["entity_text_source"] == "names only" and result["protocol"]["encoders"] == {}
    assert result["overall"]["hits@1"] < evaluated(demo, demo_mentions)["overall"]["hits@1"]


def test_two_runs_are_one(demo: Demo, demo_mentions: Path) -> None:
    one, other = (evaluated(demo, demo_mentions, "--seed", 3) for _ in range(2))
    assert one.pop("timing").keys() == other.pop("timing").keys()
    assert one == other


def test_files_are_written_whole(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    json, html = tmp_path / "new" / "r.json", tmp_path / "new" / "r.html"
    slice_ = tmp_path / "some.tsv"
    slice_.write_text("id\treason\ndemo-001\tx\ndemo-002\ty\nnobody\tz\n")
    kb = demo.linker.kb.path
    arguments = ("--json", json, "--html", html, "--slice", f"some={slice_}", *LIGHT)
    status, out, err = run("evaluate", kb, demo_mentions, *arguments)
    assert status == 0 and out == ""
    assert "ranked: the whole knowledge base, exact" in err and f"wrote {html}" in err
    result = orjson.loads(json.read_bytes())
    assert result["slices"]["some"]["n"] == 2 and result["slices"]["some"]["unknown_ids"] == 1
    page = html.read_text(encoding="utf-8")
    assert page.startswith("<!") and "<svg" in page and "Instructive mentions" in page
    assert sorted(path.name for path in json.parent.iterdir()) == ["r.html", "r.json"]


def test_candidate_lists(demo: Demo, demo_mentions: Path) -> None:
    few = evaluated(demo, demo_mentions, "--candidates", 2, "--generator", "lexical")
    assert few["protocol"]["candidates"] == 2 and few["protocol"]["generators"] == ["lexical"]
    assert few["protocol"]["miss_policy"] == "miss"
    recall = few["overall"]["candidate_recall"]
    assert recall < 1 and few["overall"]["hits@20"] == pytest.approx(recall) and few["overall"]["n"] == 66
    injected = evaluated(demo, demo_mentions, "--candidates", 2, "--generator", "lexical", "--miss", "inject_gold")
    assert injected["protocol"]["miss_policy"] == "inject_gold" and injected["overall"]["hits@3"] == 1.0
    dropped = evaluated(demo, demo_mentions, "--candidates", 2, "--generator", "lexical", "--miss", "drop")
    assert dropped["protocol"]["miss_policy"] == "drop"
    assert dropped["overall"]["candidate_recall"] == recall and dropped["overall"]["n"] == round(66 * recall)


def test_gold_outside_the_knowledge_base_is_nil(demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    row = '{"id": "%s", "sentence": "Visit Georgia", "mention": "Georgia"%s}\n'
    golds = {"in": ', "qid": "Q230"', "out": ', "qid": "Q999999"', "nil": ', "qid": "nil"', "none": ""}
    file.write_text("".join(row % (name, gold) for name, gold in golds.items()))
    for arguments in ((), ("--candidates", 3), ("--candidates", 3, "--miss", "inject_gold")):
        counts = evaluated(demo, file, *LIGHT, *arguments)["counts"]
        assert counts.pop("gold_injected", 0) == 0
        assert counts == {"mentions": 4, "linkable": 1, "nil": 2, "unlabelled": 1, "passed_over": 0}


def test_bad_rows_are_counted(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_bytes(b"{broken\n" + b"\n".join(demo_mentions.read_bytes().splitlines()[:3]))
    result = evaluated(demo, file, *LIGHT)
    assert result["counts"]["passed_over"] == 1 and result["counts"]["mentions"] == 3
    assert result["problems"] == {"not JSON": 1}
    assert run("evaluate", demo.linker.kb.path, file, *LIGHT, "--fail-on-bad-rows")[0] == 1
    assert run("evaluate", demo.linker.kb.path, file, *LIGHT, "--strict")[0] == 2


def test_broken_pictures_are_counted_once(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    rows = [orjson.loads(line) for line in demo_mentions.read_bytes().splitlines()[:4]]
    file = tmp_path / "m.jsonl"
    file.write_bytes(b"".join(orjson.dumps({**row, "image": "broken.png"}) + b"\n" for row in rows))
    problems = evaluated(demo, file, *LIGHT)["problems"]
    assert sum(problems.values()) == 1 and next(iter(problems)).startswith("image ")


def test_leaks_against_train(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"
    train.write_bytes(b"\n".join(demo_mentions.read_bytes().splitlines()[:10]))
    result = evaluated(demo, demo_mentions, *LIGHT, "--train", train)
    assert result["protocol"]["leaks"]["mentions"] == 74 and result["protocol"]["leaks"]["shared_any"] >= 10
    assert {"seen_entities", "unseen_entities"} <= set(result["slices"])
    assert evaluated(demo, demo_mentions, *LIGHT)["protocol"]["leaks"] == "train not given"


def test_no_mentions(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").touch()
    for arguments in ((), ("--candidates", 5)):
        result = evaluated(demo, tmp_path / "m.jsonl", *LIGHT, *arguments)
        assert result["overall"]["n"] == 0 and result["overall"]["hits@1"] is None


def test_an_empty_knowledge_base(make_kb: Callable[..., KnowledgeBase], demo_mentions: Path) -> None:
    kb = make_kb()
    for arguments in ((), ("--candidates", 5)):
        status, out, err = run("evaluate", kb.path, demo_mentions, "--json", "-", "--model", "names", *arguments)
        assert status == 0, err
        assert orjson.loads(out)["counts"]["linkable"] == 0 and orjson.loads(out)["overall"]["nil"]["recall"] == 1.0


def test_candidates_and_given_lists(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    kb, lists = demo.linker.kb.path, tmp_path / "lists.jsonl"
    status, out, _ = run("candidates", kb, demo_mentions, "-k", 20, "-o", lists, "--json")
    first = orjson.loads(out)
    assert status == 0 and first["mentions"] == 74 and first["linkable"] == 66 and first["k"] == 20
    assert set(first["generators"]) == {"names", "fuzzy", "persons", "lexical", "dense", "fused"}
    assert first["generators"]["fused"]["recall@20"] == 1.0
    assert set(first["generators"]["fused"]) == {"ms_per_mention", "recall@1", "recall@10", "recall@20"}
    rows = [orjson.loads(line) for line in lists.read_bytes().splitlines()]
    expected = demo.linker.candidates([sample.mention for sample in demo.samples], 20)
    assert [tuple(row["candidates"]) for row in rows] == list(expected.ids)
    assert [row["id"] for row in rows] == [sample.mention.id for sample in demo.samples]
    given = ("--generator", "given", "--given", lists)
    status, out, _ = run("candidates", kb, demo_mentions, "-k", 20, *given, "--json")
    again = orjson.loads(out)["generators"]
    assert status == 0 and set(again) == {"given", "fused"}
    assert again["given"]["recall@1"] == again["fused"]["recall@1"] == first["generators"]["fused"]["recall@1"]
    direct = evaluated(demo, demo_mentions, "--candidates", 20)["overall"]
    assert evaluated(demo, demo_mentions, "--candidates", 20, *given)["overall"] == direct
    status, out, _ = run("candidates", kb, demo_mentions, "--generator", "names")
    assert status == 0 and "recall@100" in out and "fused" in out


def test_recall_by_hand(demo: Demo, demo_mentions: Path) -> None:
    _, out, _ = run("candidates", demo.linker.kb.path, demo_mentions, "--generator", "lexical", "-k", 3, "--json")
    lexical = next(g for g in demo.linker.generators if g.name == "lexical")
    hits = lexical.search([sample.mention for sample in demo.samples], 12)
    known = set(demo.linker.kb.view().ids)
    inside = [
        sample.gold in [id for id, _ in own[:3]]
        for sample, own in zip(demo.samples, hits, strict=True)
        if sample.gold in known
    ]
    assert orjson.loads(out)["generators"]["lexical"]["recall@3"] == pytest.approx(sum(inside) / len(inside), abs=1e-4)


def test_candidates_without_gold(demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text('{"sentence": "Visit Georgia", "mention": "Georgia"}\n')
    status, out, _ = run("candidates", demo.linker.kb.path, file, "--generator", "names", "--json")
    assert status == 0 and set(orjson.loads(out)["generators"]["fused"]) == {"ms_per_mention"}


def test_train_then_evaluate_and_link(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    kb, folder = demo.linker.kb.path, tmp_path / "runs" / "fitted"
    status, out, err = run("train", "zeroshot", kb, "--valid", demo_mentions, "-o", folder, *LIGHT, "--json")
    assert status == 0, err
    made = orjson.loads(out)
    assert made["run"] == str(folder) and made["settings"]["confidence"]["fitted"] is True
    assert made["metrics"]["hits@1 among candidates, fitted"] >= made["metrics"]["hits@1 among candidates, before"]
    saved = orjson.loads((folder / "config.json").read_bytes())
    assert saved["settings"] == made["settings"] and saved["fitted_on"]["file"] == str(demo_mentions)
    assert "fitted on" in (folder / "README.md").read_text()
    linker = Linker.from_pretrained(folder)
    assert linker.method.confidence.fitted and linker.run.generators == ("names", "fuzzy", "persons", "lexical")
    status, out, err = run("evaluate", kb, demo_mentions, "--model", folder, "--json", "-")
    held = orjson.loads(out)
    assert status == 0 and "not held out" in err and held["protocol"]["leaks"]["fitted on this split"] is True
    other = tmp_path / "other.jsonl"
    other.write_bytes(b"\n".join(demo_mentions.read_bytes().splitlines()[:20]))
    status, out, err = run("evaluate", kb, other, "--model", folder, "--json", "-")
    assert status == 0 and "not held out" not in err and orjson.loads(out)["protocol"]["leaks"] == "train not given"
    status, out, _ = run("link", kb, "--mention", "Mars", "--model", folder)
    assert status == 0 and "(not calibrated)" not in out


def test_encode_computes_once(make_kb: Callable[..., KnowledgeBase], picture: Callable[[str, int], str]) -> None:
    kb = make_kb(
        Entity("E1", "Ann", images=(picture("a.png", 1), "gone.png")), Entity("E2", "Bob"), Entity("E3", "Ann")
    )
    status, out, err = run("encode", kb.path, "--json")
    first = orjson.loads(out)
    assert status == 0 and "gone.png" in err
    text, image = first["encoded"]
    assert (text["encoder"], text["items"], text["encoded"], text["present"]) == ("minilm", 3, 2, 3)  # Ann is one text
    assert (image["encoder"], image["items"], image["encoded"], image["present"]) == ("classical", 2, 1, 1)
    assert image["missing"] == {"missing": 1} and sum(first["problems"].values()) == 1
    status, out, _ = run("encode", kb.path, "--json")
    assert [row["encoded"] for row in orjson.loads(out)["encoded"]] == [0, 0]
    kb.upsert([Entity("E4", "Zoe")])
    status, out, _ = run("encode", kb.path, "--json", "--image-encoder", "none")
    assert [row["encoded"] for row in orjson.loads(out)["encoded"]] == [1]
    status, out, err = run("encode", kb.path)
    assert status == 0 and out == "" and "0 encoded, 4 of 4 present" in err
