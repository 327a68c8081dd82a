"""A cross-encoder is trained, stopped and gone on with, read back, and looks again, from the command line."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from melink.cli.main import app
from melink.datasets.leaks import leak_report
from melink.datasets.mentions import read_mentions, write_mentions
from melink.demo.run import Demo
from melink.linker import assemble
from melink.records import NIL, Labelled, Triple
from melink.rerank.cross_blend import Blend, Table
from melink.rerank.cross_encoder import read_saved
from melink.runs import Run
from melink.train.cross_lists import retrieved
from melink.train.loop import _Loop
from melink.train.reranker import Recipe, train_reranker

RECIPE = {
    "settings": {"tune": 1, "max_tokens": 48},
    "scope": {"k": 4, "probability": None},
    "negatives": 2,
    "easy": 1.0,
}
PLAN = {"epochs": 2, "batch": 8, "lr": 1e-3, "checkpoint_every": 1}


@pytest.fixture(scope="session")
def recipe(small_bert: Path) -> Recipe:
    settings = {**RECIPE["settings"], "encoder": str(small_bert)}
    return Recipe.model_validate({**RECIPE, "settings": settings, "train": PLAN})


@pytest.fixture(scope="session")
def retriever(demo: Demo) -> Run:
    return Run(method="names", generators=("names", "fuzzy"), text_encoder=None, image_encoder=None)


@pytest.fixture(scope="session")
def trained(
    demo: Demo, lessons: Path, recipe: Recipe, retriever: Run, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("cross") / "made"
    with pytest.MonkeyPatch.context() as patched:  # so little can be learnt here that its reading would be dropped
        patched.setattr("melink.train.reranker.choose", with_reading)
        train_reranker(assemble(retriever, demo.linker.kb), splits(lessons), folder, recipe)
    return folder


def with_reading(lists: Table, *_: object) -> tuple[Blend, dict[str, float]]:
    return Blend(weights={"score": 1.0, "own": 1.0, "reading": 1.0}), {"retrieval": float(len(lists.there))}


def splits(lessons: Path) -> tuple[list[Labelled], list[Labelled]]:
    train, valid = (list(read_mentions(lessons / f"{name}.jsonl")) for name in ("train", "valid"))
    return train, valid


def ran(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)


def test_the_folder_says_what_was_done(trained: Path) -> None:
    saved = read_saved(trained)
    assert saved.scope == {"k": 4, "margin": None, "probability": None}
    assert saved.metrics["training mentions"] > 10 and saved.metrics["validation mentions"] > 10
    assert len(saved.metrics["history"]) == 4 and len(saved.digest) == 64
    assert saved.retriever["method"] == "names" and not (trained / "checkpoint").samefile(trained / "lists")
    card = (trained / "README.md").read_text(encoding="utf-8")
    assert "| steps |" in card and "cross-encoder" in card and str(trained) not in card


def test_a_saved_model_scores_the_same(demo: Demo, trained: Path, retriever: Run, lessons: Path) -> None:
    plan = {"name": "cross-encoder", "path": str(trained)}
    mentions = [sample.mention for sample in read_mentions(lessons / "valid.jsonl")]
    first, second = (assemble(retriever.model_copy(update={"rerank": plan}), demo.linker.kb) for _ in range(2))
    links, again = first.link(mentions), second.link([replace(m, id="x") for m in mentions])
    assert [link.candidates for link in links] == [link.candidates for link in again]
    read = [c.evidence["reading"] for link in links for c in link.candidates if "reading" in c.evidence]
    assert len(read) > 20 and len(set(read)) > 10
    assert first.reranker is not None and first.reranker.states() == second.reranker.states()
    for link in links:
        own = [c for c in link.candidates if "reading" in c.evidence]
        sure, before = [c.probability for c in own], [c.evidence["retrieved_probability"] for c in own]
        assert sum(sure) == pytest.approx(sum(before), abs=1e-5) and sure == sorted(sure, reverse=True)
        assert link.nil or not own or link.probability == sure[0]
        assert all("retrieved_probability" not in c.evidence for c in link.candidates if c not in own)
    firsts = [link.candidates[0] for link in links if len(link.candidates) > 1]
    assert sum(c.probability != c.evidence["retrieved_probability"] for c in firsts) > 10


def test_a_reading_that_does_not_help_is_left_out(
    demo: Demo, lessons: Path, recipe: Recipe, retriever: Run, tmp_path: Path
) -> None:
    kept = train_reranker(assemble(retriever, demo.linker.kb), splits(lessons), tmp_path / "a", recipe)
    assert "reading" not in kept.blend.weights and kept.settings.encoder is None and kept.metrics["steps"] == 8
    assert not (tmp_path / "a" / "encoder").exists() and read_saved(tmp_path / "a") == kept


def test_figures_alone(demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path) -> None:
    command = [*command_of(demo, lessons, small_bert, tmp_path / "f"), "--encoder", "none", "--json"]
    made = orjson.loads(ran(*command).stdout)
    assert "reading" not in made["blend"] and "steps" not in made["metrics"]
    assert made["metrics"]["validation Hits@1, + figures"] >= made["metrics"]["validation Hits@1, retrieval"]
    assert {file.name for file in (tmp_path / "f").iterdir()} == {
        "README.md", "leaks.json", "lists", "model.safetensors", "reranker.json"
    }  # fmt: skip
    look = ("--model", "names", "--rerank", f"cross-encoder:{tmp_path / 'f'}", "--set", "rerank.arithmetic=bf16")
    judged = ran("evaluate", demo.linker.kb.path, lessons / "valid.jsonl", *look, "--json", "-")
    result = orjson.loads(judged.stdout)
    assert result["rerank"]["usage"]["pairs"] == 0 and result["rerank"]["counts"]["answered"] > 20
    assert "not held out" in judged.stderr and result["protocol"]["leaks"]["fitted on this split"]
    fresh = ran("evaluate", demo.linker.kb.path, lessons / "train.jsonl", *look)
    assert fresh.exit_code == 0 and "not held out" not in fresh.stderr
    again = ran(*command)
    assert again.exit_code == 0 and orjson.loads(again.stdout)["blend"] == made["blend"]


def test_validation_is_not_trained_on(demo: Demo, lessons: Path, tmp_path: Path) -> None:
    train, valid, copy = lessons / "train.jsonl", lessons / "valid.jsonl", tmp_path / "copy.jsonl"
    copy.write_bytes(valid.read_bytes())
    base = ("train-reranker", demo.linker.kb.path, "--run", "names", "--encoder", "none")
    base += ("--set", "scope.k=4", "--set", "scope.probability=null", "--valid", valid)
    told = tmp_path / "told.jsonl"
    told.write_bytes(b"\n".join(orjson.dumps({"id": s.mention.id, "probabilities": {s.gold: 1}})
                                for s in read_mentions(valid) if s.gold))  # fmt: skip
    for files in ((valid,), (copy,), (train, copy)):
        for more in ((), ("--teacher", told)):
            options = [word for file in files for word in ("--train", file)]
            refused = ran(*base, *options, *more, "-o", tmp_path / "no")
            said = " ".join(refused.stderr.split())
            assert refused.exit_code == 2 and f"{files[-1]} holds the validation mentions" in said, said
    assert not (tmp_path / "no").exists()
    judged = [sample for sample in read_mentions(valid) if sample.gold != NIL]
    before = leak_report(read_mentions(train), judged)
    few = tmp_path / "few.jsonl"  # a part of the file under other ids: nobody can refuse that, all can see it
    some = [sample for sample in judged if sample.mention.id not in before.leaking][:3]
    write_mentions([replace(s, mention=replace(s.mention, id=f"again-{s.mention.id}")) for s in some], few)
    found = ran(*base, "--train", train, "--train", few, "-o", tmp_path / "leaky")
    assert found.exit_code == 0, found.stderr
    leaks = orjson.loads((tmp_path / "leaky" / "leaks.json").read_bytes())
    assert leaks["mentions"] == len(judged) and leaks["shared_any"] == len(before.leaking) + 3
    kind = "sentence and mention"
    assert leaks["shared_with_train"][kind] == len(before.shared[kind]) + 3
    shared, metrics = "validation mentions that share anything with training", read_saved(tmp_path / "leaky").metrics
    assert metrics[shared] == leaks["shared_any"] and metrics["validation mentions"] == leaks["mentions"]
    assert f"{shared}: {leaks['shared_any']}\n" in found.stderr
    assert f"| {shared} | {leaks['shared_any']} |" in (tmp_path / "leaky" / "README.md").read_text(encoding="utf-8")


def test_the_last_word_for_another_retriever(
    demo: Demo, trained: Path, lessons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The network stays as it is, bit for bit; blend, parts and retriever are those of the other one."""
    monkeypatch.setattr("melink.train.reranker.choose", with_reading)
    base = ("train-reranker", demo.linker.kb.path, "--run", "zeroshot", "--valid", lessons / "valid.jsonl")
    made = ran(*base, "-o", tmp_path / "two", "--network", trained, "--set", "scope.k=3")
    assert made.exit_code == 0, made.stderr
    one, two = read_saved(trained), read_saved(tmp_path / "two")
    assert two.digest == one.digest and two.settings == one.settings
    assert one.parts == ("name",) and set(two.parts) > {"name", "text"}
    assert two.retriever["method"] == "zeroshot" and two.scope["k"] == 3 and two.fitted_on["sha256"]
    assert two.metrics["steps"] == one.metrics["steps"] and two.metrics["network of"] == one.digest[:16]
    plan = {"name": "cross-encoder", "path": str(tmp_path / "two")}
    link = assemble(Run(rerank=plan), demo.linker.kb).link([s.mention for s in splits(lessons)[1]][:1])[0]
    assert sum("reading" in candidate.evidence for candidate in link.candidates) == 3 and not caplog.records
    for wrong, words in (
        (("--train", lessons / "train.jsonl"), "--train speaks of training"),
        (("--seed", 0, "--lists", "names"), "--lists, --seed speaks of training"),
        (("--set", "settings.blocks=1"), "all but scope.… and candidates is settled"),
        (("--set", "train.epochs=1"), "all but scope.… and candidates is settled"),
        (("-o", tmp_path / "two", "--network", tmp_path / "two"), "the trained cross-encoder itself"),
    ):
        refused = ran(*base, "-o", tmp_path / "no", "--network", trained, *wrong)
        assert refused.exit_code == 2 and words in " ".join(refused.stderr.split())
    learnt = two.model_copy(update={"fitted_on": {"train sha256": two.fitted_on["sha256"]}})
    (tmp_path / "two" / "reranker.json").write_text(learnt.model_dump_json())
    refused = ran(*base, "-o", tmp_path / "no", "--network", tmp_path / "two")
    assert refused.exit_code == 2 and "was trained on these validation mentions" in " ".join(refused.stderr.split())
    assert ran(*base, "-o", tmp_path / "no").exit_code == 2 and not (tmp_path / "no").exists()


def test_another_retriever_is_told(demo: Demo, trained: Path, retriever: Run, caplog: pytest.LogCaptureFixture) -> None:
    plan = {"name": "cross-encoder", "path": str(trained)}
    assemble(retriever.model_copy(update={"rerank": plan, "k": 7}), demo.linker.kb)
    assert not caplog.records
    assemble(Run(generators=("names",), image_encoder=None, rerank=plan), demo.linker.kb)
    assert "another method and encoders" in caplog.text


def test_lists_are_made_anew_for_what_is_read_of_a_mention(
    demo: Demo, lessons: Path, retriever: Run, tmp_path: Path
) -> None:
    linker, (sample, *_) = assemble(retriever, demo.linker.kb), read_mentions(lessons / "train.jsonl")
    told = replace(sample, mention=replace(sample.mention, triples=(Triple("occupation", "singer", literal=True),)))
    for own in (sample, told, sample):
        retrieved(linker, [own], 4, False, tmp_path)
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_given_lists(demo: Demo, lessons: Path, tmp_path: Path) -> None:
    kb, given, run = demo.linker.kb.path, tmp_path / "given.jsonl", tmp_path / "run"
    golds = [(s.mention.id, s.gold) for name in ("train", "valid") for s in read_mentions(lessons / f"{name}.jsonl")]
    some = list(demo.linker.kb.view().ids[:4])
    rows = [{"id": id, "candidates": list(dict.fromkeys([*some, gold]))} for id, gold in golds]
    given.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    splits_ = ("--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl")
    lists = ("--generator", "given", "--given", given)
    without = ran("train", "names", kb, *splits_[2:], "-o", run, "--generator", "given")
    assert without.exit_code == 2 and "--given" in without.stderr
    assert ran("train", "names", kb, *splits_[2:], "-o", run, *lists).exit_code == 0
    cross = ("train-reranker", kb, "--run", run, *splits_, "-o", tmp_path / "cross", "--encoder", "none")
    assert "--given" in ran(*cross).stderr
    made = ran(*cross, "--given", given, "--json")
    assert made.exit_code == 0 and orjson.loads(made.stdout)["metrics"]["training mentions"] > 25


def test_evaluate_and_link_with_it(demo: Demo, trained: Path, lessons: Path, tmp_path: Path) -> None:
    kb, valid = demo.linker.kb.path, lessons / "valid.jsonl"
    look = ("--model", "names", "--rerank", f"cross-encoder:{trained}")
    page, links = tmp_path / "r.html", tmp_path / "links.jsonl"
    found = ran("evaluate", kb, valid, *look, "--json", "-", "--html", page)
    result = orjson.loads(found.stdout)
    assert result["rerank"]["counts"]["asked"] == result["rerank"]["counts"]["answered"] > 20
    assert result["rerank"]["usage"]["pairs"] > 60 and result["rerank"]["k"] == 4
    stated = result["protocol"]["reranker"]
    assert stated["name"] == "cross-encoder" and len(stated["weights"]) == 16 and str(tmp_path) not in str(stated)
    assert "Reranked by cross-encoder" in page.read_text(encoding="utf-8")
    ran("link", kb, valid, *look, "--set", "rerank.k=2", "-o", links, "--generator", "names")
    rows = [orjson.loads(line) for line in links.read_bytes().splitlines()]
    assert all(len(row["explanation"]["rerank"].get("named", "ab")) == 2 for row in rows)
    moved = [row for row in rows if row["explanation"]["rerank"]["changed"]]
    assert all(row["candidates"][0]["evidence"]["retrieved_at"] == 2 for row in moved)


def test_a_folder_that_is_none(demo: Demo, lessons: Path, trained: Path, tmp_path: Path) -> None:
    command = ("evaluate", demo.linker.kb.path, lessons / "valid.jsonl", "--model", "names", "--rerank")
    for folder, said in (("", "needs the folder"), (f":{tmp_path}", "no trained cross-encoder")):
        missing = ran(*command, f"cross-encoder{folder}")
        assert missing.exit_code == 2 and said in missing.stderr and "train-reranker" in missing.stderr
    nowhere = ran(*command, f"cross-encoder:{trained}", "--set", "rerank.device=nonsense")
    assert nowhere.exit_code == 2 and "rerank.device=nonsense" in nowhere.stderr
    half = tmp_path / "half"
    half.mkdir()
    (half / "reranker.json").write_bytes((trained / "reranker.json").read_bytes())
    bare = ran(*command, f"cross-encoder:{half}")
    assert bare.exit_code == 2 and "lacks its encoder" in bare.stderr
    wrong = ran(*command, f"cross-encoder:{trained}", "--set", "rerank.kk=3")
    assert wrong.exit_code == 2 and "kk" in wrong.stderr and "known keys are" in wrong.stderr
    (tmp_path / "reranker.json").write_bytes((trained / "reranker.json").read_bytes()[:40])
    broken = ran(*command, f"cross-encoder:{tmp_path}")
    assert broken.exit_code == 2 and "reranker.json" in broken.stderr


def command_of(demo: Demo, lessons: Path, bert: Path, folder: Path) -> list[object]:
    plain = {"settings.tune": 1, "settings.dropout": 0.1, "settings.max_tokens": 48, "scope.k": 4, "negatives": 2}
    plain |= {"scope.probability": "null", "easy": 1.0, **{f"train.{name}": value for name, value in PLAN.items()}}
    files = ["--run", "names", "--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl", "-o", folder]
    sets = [word for name, value in plain.items() for word in ("--set", f"{name}={value}")]
    return ["train-reranker", demo.linker.kb.path, *files, "--encoder", bert, *sets]


def test_a_stopped_training_goes_on_as_if_nothing_had_happened(
    demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    monkeypatch.setattr("melink.train.reranker.choose", with_reading)  # the digest is that of the encoder, too
    assert ran(*command_of(demo, lessons, small_bert, straight)).exit_code == 0
    step = _Loop._step

    def press(self: _Loop, batches: Any, rate: float) -> float:
        if self.place.step == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, batches, rate)

    with monkeypatch.context() as patched:
        patched.setattr(_Loop, "_step", press)
        halted = ran(*command_of(demo, lessons, small_bert, stopped))
    assert halted.exit_code == 130 and "--resume" in halted.stderr and not (stopped / "reranker.json").exists()
    again = ran(*command_of(demo, lessons, small_bert, stopped))
    assert again.exit_code == 2 and "holds a training already" in again.stderr
    gone_on = ran(*command_of(demo, lessons, small_bert, stopped), "--resume", "--json")
    assert gone_on.exit_code == 0 and orjson.loads(gone_on.stdout)["metrics"]["steps"] == 8
    assert read_saved(stopped).digest == read_saved(straight).digest
    other = ran(*command_of(demo, lessons, small_bert, stopped), "--resume", "--set", "negatives=1")
    assert other.exit_code == 2 and "begun with another plan" in other.stderr


def test_a_teacher_in_place_of_gold(demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path) -> None:
    train, told, posts = lessons / "train.jsonl", tmp_path / "told.jsonl", tmp_path / "posts.jsonl"
    rows = [orjson.loads(line) for line in train.read_bytes().splitlines()]
    posts.write_bytes(b"\n".join(orjson.dumps({k: v for k, v in row.items() if k != "qid"}) for row in rows))
    answers = [
        {"id": row["id"], "explanation": {"rerank": {"outcome": "answered", "named": [row["qid"]]}}} for row in rows
    ]
    answers[0] = {"id": rows[0]["id"], "explanation": {"rerank": {"outcome": "timeout", "named": []}}}
    told.write_bytes(b"\n".join(map(orjson.dumps, [*answers, {"id": 7}, {"id": "x", "probabilities": {"Q1": -1}}])))
    arguments = [
        str(posts) if each == train else each for each in command_of(demo, lessons, small_bert, tmp_path / "t")
    ]
    done = ran(*arguments, "--teacher", told)
    assert done.exit_code == 0 and "told.jsonl:36" in done.stderr and "told.jsonl:37" in done.stderr
    metrics = read_saved(tmp_path / "t").metrics
    assert metrics["training mentions"] > 10 and metrics["left out of training, no gold"] >= 1
    assert metrics["taught by the teacher"] == metrics["training mentions"]
    assert metrics["teacher's choice not among the first 4"] >= 1 and "taught by the teacher: " in done.stderr
    told.write_bytes(b"\n".join(orjson.dumps({"id": f"x{n}", "probabilities": {"Q1": 1}}) for n in range(3)))
    for files in (arguments, command_of(demo, lessons, small_bert, tmp_path / "u")):  # without gold, and with it
        idle = ran(*files, "--encoder", "none", "--teacher", told, "-o", tmp_path / "u")
        assert idle.exit_code == 2 and "the teacher taught nobody: it speaks of 0 of 3" in idle.stderr, idle.stderr
        assert "--teacher rows with the 'id'" in idle.stderr and not (tmp_path / "u" / "reranker.json").exists()
    nobody = ran(*arguments, "-o", tmp_path / "u")
    assert nobody.exit_code == 2 and "no training mention to learn from" in nobody.stderr
