"""The studies of FissFuse and of the cross-encoder, and the benchmark of both, as users run them: on few people."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from scripted_server import first_id, serving
from typer.testing import CliRunner

from melink import registry
from melink.cli.main import app
from melink.config import parse
from melink.datasets.mentions import read_mentions
from melink.demo.run import Demo
from melink.linker import assemble
from melink.methods.fissfuse import FissFuseSettings
from melink.rerank.cross_blend import Blend, Table
from melink.rerank.cross_encoder import read_saved
from melink.runs import Run
from melink.train.plan import Plan
from melink.train.reranker import Recipe, train_reranker

ROOT = Path(__file__).resolve().parents[2]
TRAIN, VALID, OTHERS = 80, 40, 120
"""Mentions of both splits, half of the latter ambiguous; namesakes beside the people that they mean."""
FISSFUSE = ROOT / "reproductions" / "fissfuse" / "study.py"
CROSS = ROOT / "reproductions" / "cross_encoder" / "study.py"
MODULES = ("again", "judge", "local", "studies")
"""What the studies find beside them."""


def ran(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, in one thread."""
    line = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "COLUMNS": "240"})
    assert done.returncode == 0, done.stderr
    return done


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def only(path: Path) -> dict[str, Any]:
    return dict(orjson.loads(path.read_bytes()))


def packed(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


@pytest.fixture(scope="module")
def few(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as the benchmark data, with few people and their pictures."""
    folder = tmp_path_factory.mktemp("few")
    for name in ("kb", "slices", "wikimel"):
        (folder / name).mkdir()
    (folder / "images").symlink_to(shared_data / "images", target_is_directory=True)
    with gzip.open(shared_data / "kb" / "entities.jsonl.gz") as lines:
        people = {row["qid"]: row for row in map(orjson.loads, lines) if row.get("attributes")}
    with (shared_data / "images" / "index.csv").open(encoding="utf-8", newline="") as index:
        shown = {id for row in csv.DictReader(index) for id in row["mention_ids"].split(";")}
    table = (shared_data / "slices" / "wikimel_valid_ambiguous.tsv").read_text(encoding="utf-8").splitlines()
    hard = {line.partition("\t")[0] for line in table[1:]}
    train, valid = (
        [row for row in jsonl(shared_data / "wikimel" / f"{split}.jsonl") if row["qid"] in people]
        for split in ("train", "valid")
    )
    train = sorted(train, key=lambda row: row["id"] not in shown)[:TRAIN]
    valid = [row for own in (True, False) for row in [r for r in valid if (r["id"] in hard) is own][: VALID // 2]]
    golds = {row["qid"] for row in (*train, *valid)}
    names = {people[id]["label"].split()[-1] for id in golds}
    others = [id for id, row in people.items() if id not in golds and row["label"].split()[-1] in names][:OTHERS]
    (folder / "wikimel" / "train.jsonl").write_bytes(packed(train))
    (folder / "wikimel" / "valid.jsonl").write_bytes(packed(valid))
    (folder / "slices" / "wikimel_valid_ambiguous.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    (folder / "kb" / "entities.jsonl.gz").write_bytes(gzip.compress(packed([people[id] for id in (*golds, *others)])))
    with gzip.open(shared_data / "kb" / "triples.tsv.gz", "rt", encoding="utf-8") as lines:
        facts = [line for line in lines if line.split("\t")[0] in golds]
    (folder / "kb" / "triples.tsv.gz").write_bytes(gzip.compress("".join(facts).encode()))
    shutil.copyfile(shared_data / "kb" / "relations.tsv", folder / "kb" / "relations.tsv")
    return folder


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], ModuleType]]:
    """Import a script by its path; it and what it finds beside it are forgotten again."""

    def load(file: Path) -> ModuleType:
        monkeypatch.syspath_prepend(str(file.parent))
        spec = importlib.util.spec_from_file_location(f"{file.parent.name}_study", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in MODULES:
        sys.modules.pop(name, None)


# FissFuse.


def test_every_row_of_fissfuse_is_a_run(loaded: Callable[[Path], Any]) -> None:
    study = loaded(FISSFUSE)
    assert [row[:3] for row in study.ABLATIONS] == [f"({letter})" for letter in "abcdefg"]
    for name, system in study.SYSTEMS.items():
        kind = registry.load("method", system.method)
        assert kind.trains is bool(system.plan), name
        if system.method == "fissfuse":
            made = parse(FissFuseSettings, system.settings)
            kept = {"scores": [*made.scores], "vision": made.vision}
            off = study.ABLATIONS.get(name, {})
            assert kept == {"scores": [*off.get("scores", study.EVERY)], "vision": off.get("vision", True)}, name
            plan = Plan.of(study._run_of(system, 3))
            assert plan.negatives.listwise and plan.negatives.pool == study.K and plan.seed == 3
    files = {study.Cell("s", name, seed).file(Path()) for name in (*study.SYSTEMS, *study.RERANKED) for seed in (0, 1)}
    assert len(files) == 2 * (len(study.SYSTEMS) + len(study.RERANKED)), "no cell takes another's place"


SYSTEMS = ("zeroshot", "fissfuse", "(b) w/o fusion", "fissfuse + kar", "fissfuse + cross-encoder, figures")


@pytest.mark.slow
@pytest.mark.data
def test_the_study_of_fissfuse(few: Path, tmp_path: Path) -> None:
    """Lists, trainings, an ablation, a share of the mentions, and both rerankers behind what was trained."""
    line = ["--data", few, "-o", tmp_path, "--sets", "wikimel", "--seeds", 0, "--systems", ";".join(SYSTEMS)]
    with serving(first_id) as server:
        line += ["--shares", 50, "--mentions", 4, "--url", server.url, "--model", "first"]
        ran(FISSFUSE, *line)
        assert len(server.calls) == 4
    cells = {(cell["system"], cell["share"]): cell for cell in map(only, (tmp_path / "cells").iterdir())}
    assert set(cells) == {*((system, 100) for system in SYSTEMS), ("fissfuse", 50)}
    full, half = cells["fissfuse", 100], cells["fissfuse", 50]
    assert full["all"]["n"] == VALID and full["ambiguous"]["n"] == VALID // 2
    assert 0.7 * TRAIN < full["mentions"] <= TRAIN and half["mentions"] < 0.7 * full["mentions"]
    assert full["parameters"] > cells["(b) w/o fusion", 100]["parameters"] and "steps" not in cells["zeroshot", 100]
    asked = cells["fissfuse + kar", 100]
    assert asked["counts"]["answered"] == 4 and asked["all"]["hits@1"] == asked["before all"]["hits@1"], "the first is"
    before = cells["fissfuse + cross-encoder, figures", 100]["before all"]["hits@1"]
    assert before == pytest.approx(full["all"]["hits@1"], abs=1 / VALID), "the same run, written and read back"
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert all(f"| {system} |" in table for system in SYSTEMS)
    words = "".join(ElementTree.fromstring((tmp_path / "curve-wikimel.svg").read_bytes()).itertext())
    assert "fissfuse, ambiguous" in words and "50%" in words
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    ran(FISSFUSE, *line)  # the server is gone, and nobody asks it
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}


# The cross-encoder.


@pytest.mark.slow
@pytest.mark.data
def test_the_study_of_the_cross_encoder(few: Path, tmp_path: Path) -> None:
    """Of figures alone, behind a retriever that it trains."""
    recipe = ("--set", "settings.encoder=null", "--set", "scope.probability=null")
    ran(CROSS, "--data", few, "-o", tmp_path, "--sets", "wikimel", "--seeds", 0, *recipe)
    cell = only(tmp_path / "cells" / "wikimel-0.json")
    assert (cell["n"], cell["n ambiguous"], cell["run"], cell["arithmetic"]) == (VALID, VALID // 2, "wikimel", {})
    assert list(cell["rows"]) == ["retrieval", "own", "parts", "used"] and cell["read"] == VALID
    assert all(0 < figures["all"] <= 1 for figures in cell["rows"].values())
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert all(f"| {row} |" in table for row in ("retriever alone", "+ figures", "as it is used"))
    assert "mentions read per second" not in table


def weighed(lists: Table, *_: object) -> tuple[Blend, dict[str, float]]:
    """Keep the reading, which helps nobody on so few mentions."""
    return Blend(weights={"score": 1.0, "own": 1.0, "reading": 1.0}), {"retrieval": float(len(lists.there))}


@pytest.mark.slow
def test_what_is_judged_is_what_is_used(
    demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path, loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``as it is used`` and 32 bits are what ``melink evaluate`` prints; the table has a row for each arithmetic."""
    study = loaded(CROSS)
    monkeypatch.setattr("melink.train.reranker.choose", weighed)
    train, valid = (list(read_mentions(lessons / f"{split}.jsonl")) for split in ("train", "valid"))
    linker = assemble(Run(method="names", generators=("names", "fuzzy"), text_encoder=None), demo.linker.kb)
    settings = {"encoder": str(small_bert), "tune": 1, "max_tokens": 48}
    scope = {"k": 16, "probability": None}
    recipe = Recipe.model_validate({"settings": settings, "scope": scope, "train": {"epochs": 1, "batch": 8}})
    train_reranker(linker, (train, valid), tmp_path / "cross", recipe, lists=tmp_path / "lists")
    hard = {sample.mention.id for sample in valid[::2]}
    cell = study.judged(linker, valid, tmp_path / "cross", tmp_path / "lists", hard, full=False)
    assert set(cell["rows"]) == {"retrieval", "own", "reading", "parts", "used"} and cell["n"] == cell["read"] == 31
    known, lines = demo.linker.kb.view(), (lessons / "valid.jsonl").read_bytes().splitlines()
    linkable = [line for line, s in zip(lines, valid, strict=True) if known.row(s.gold or "") is not None]
    (tmp_path / "linkable.jsonl").write_bytes(b"\n".join(linkable))
    command = ["evaluate", str(demo.linker.kb.path), str(tmp_path / "linkable.jsonl"), "--model", "names"]
    command += [
        "--json",
        "-",
        "--generator",
        "names,fuzzy",
        "--candidates",
        "100",
        "--rerank",
        f"cross-encoder:{tmp_path / 'cross'}",
    ]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    printed = orjson.loads(done.stdout)
    used, exact = cell["rows"]["used"], cell["arithmetic"]["fp32"]
    assert exact["all"] == pytest.approx(printed["overall"]["hits@1"]) and exact["mentions read per second"] > 0
    sure = printed["overall"]["calibration"]
    assert (used["ece"], used["brier"]) == pytest.approx((sure["ece"], sure["brier"]), abs=1e-4)
    assert used["all"] == pytest.approx(exact["all"]) and used["ambiguous"] == pytest.approx(exact["ambiguous"])
    for seed in (0, 1):
        (tmp_path / "cells").mkdir(exist_ok=True)
        (tmp_path / "cells" / f"demo-{seed}.json").write_bytes(orjson.dumps({"set": "demo", "seed": seed, **cell}))
    sure = shutil.copytree(tmp_path / "cross", tmp_path / "sure")
    saved = read_saved(sure).model_copy(update={"scope": {**scope, "probability": 0.0}})
    (sure / "reranker.json").write_text(saved.model_dump_json())
    nobody = study.judged(linker, valid, sure, tmp_path / "lists", hard, full=False)
    assert nobody["read"] == 0 and all(row == nobody["rows"]["retrieval"] for row in nobody["rows"].values())
    assert set(nobody["rows"]) == set(cell["rows"]) and nobody["rows"]["retrieval"] == cell["rows"]["retrieval"]
    study.write_table(tmp_path)
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert f"| as it is used | {100 * used['all']:.2f} ± 0.00 |" in table and "| bf16 |" in table


# Both.


@pytest.mark.slow
def test_the_benchmark_of_both(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    kb = shutil.copytree(demo.linker.kb.path, tmp_path / "kb")
    line = (kb, "--mentions", demo_mentions, "--most", 5, "--json", tmp_path / "found.json")
    printed = orjson.loads(ran(ROOT / "benchmarks" / "rerank_throughput.py", *line).stdout)
    found = only(tmp_path / "found.json")
    assert printed == found and (found["mentions"], found["entities"]) == (5, len(demo.linker.kb))
    stages = found["stages"]
    assert len(stages) == 9 and all(stage["mentions_per_second"] > 0 for stage in stages.values())
    work = {name: stage["mflop_per_mention"] for name, stage in stages.items()}
    assert work["retrieval"] == 0 < work["fissfuse, shortlist of 100"] < work["fissfuse on 100"]
    assert work["cross-encoder on 16, figures"] < work["fissfuse on 100"] < work["cross-encoder on 16"]
    assert work["cross-encoder on 16"] == work["cross-encoder on 16, bf16"]
    sizes = {name: stage["parameters"] for name, stage in stages.items()}
    assert sizes["retrieval"] is None and sizes["reading"] > 2e7 < sizes["cross-encoder on 16"]
    assert min(sizes["biencoder on 100"], sizes["mimic on 100"]) > 1e5 and work["mimic on 100"] > 0
    assert sizes["fissfuse on 100"] == sizes["fissfuse, shortlist of 100"] > sizes["cross-encoder on 16, figures"]
