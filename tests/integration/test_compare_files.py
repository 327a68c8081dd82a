"""``melink compare`` over results of real evaluations of the demo."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from melink.cli.main import app
from melink.demo.run import Demo


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def results(demo: Demo, demo_mentions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three systems on the same mentions, which come in pairs of a made-up sentence."""
    folder = tmp_path_factory.mktemp("results")
    rows = [orjson.loads(line) for line in demo_mentions.read_bytes().splitlines()]
    mentions = folder / "mentions.jsonl"
    paired = [{**row, "sentence_id": place // 2} for place, row in enumerate(rows)]
    mentions.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in paired))
    (folder / "some.tsv").write_text("id\n" + "\n".join(row["id"] for row in rows[:30]) + "\n")
    kb, given = demo.linker.kb.path, ("--slice", f"some={folder / 'some.tsv'}")
    for name, arguments in {
        "names": ("--model", "names"),
        "zeroshot": (),
        "seed1": ("--seed", 1),
        "blind": ("--set", "settings.weights.image=0", "--set", "settings.weights.text=0.2"),
        "lists": ("--candidates", 5, "--generator", "names"),
    }.items():
        status, _, err = run("evaluate", kb, mentions, "--json", folder / f"{name}.json", *given, *arguments)
        assert status == 0, err
    return folder


def test_two_systems(results: Path) -> None:
    names, zeroshot = results / "names.json", results / "zeroshot.json"
    outputs = [option for name in ("t.md", "t.html", "t.json") for option in ("-o", results / "new" / name)]
    status, out, err = run("compare", names, zeroshot, *outputs)
    assert status == 0, err
    assert "overall: 66 mentions of 33 sentences" in out and "names only" in out and "paired bootstrap" in err
    figures = {path.stem: orjson.loads(path.read_bytes()) for path in (names, zeroshot)}
    for own in figures.values():
        assert f"{100 * own['overall']['hits@1']:.2f}" in out
        assert f"{100 * own['slices']['some']['mrr']:.2f}" in out
        assert own["mentions"]["sentence"][:4] == ["0", "0", "1", "1"]
    assert sorted(path.name for path in (results / "new").iterdir()) == ["t.html", "t.json", "t.md"]
    status, printed, _ = run("compare", names, zeroshot, "--json")
    found = orjson.loads(printed)
    assert status == 0 and found == orjson.loads((results / "new" / "t.json").read_bytes())
    rows = found["slices"]["overall"]["systems"]
    for name, own in figures.items():
        assert rows[name]["hits@1"]["mean"] == pytest.approx(own["overall"]["hits@1"])
    apart = rows["zeroshot"]["differences"]["hits@1"]
    expected = figures["zeroshot"]["overall"]["hits@1"] - figures["names"]["overall"]["hits@1"]
    assert apart["mean"] == pytest.approx(expected) and apart["low"] > 0 and apart["p"] < 0.01 and apart["p_t"] < 0.01
    assert set(found["slices"]) == {"overall", "with_image", "without_image", "some"}


def test_seeds_and_groups(results: Path) -> None:
    files = [results / f"{name}.json" for name in ("names", "zeroshot", "seed1", "blind")]
    status, out, err = run("compare", *files, "--slice", "some", "--json")
    assert status == 0, err
    found = orjson.loads(out)
    rows = found["slices"]["some"]["systems"]
    assert set(found["slices"]) == {"some"} and [row["seeds"] for row in rows.values()] == [1, 2, 1]
    joined = next(row for row in rows.values() if row["seeds"] == 2)
    assert joined["hits@1"]["sd"] == 0  # the seed of an evaluation draws intervals only
    group = f"both={files[1]},{files[3]}"
    status, out, _ = run("compare", files[0], "--group", group, "--baseline", "both", "--json")
    found = orjson.loads(out)
    assert status == 0 and found["baseline"] == "both" and list(found["systems"]) == ["names", "both"]
    assert found["slices"]["overall"]["systems"]["both"]["mrr"]["sd"] > 0
    status, out, _ = run("compare", files[0], "--group", group)
    assert status == 0 and "both (2 seeds)" in out and "±" in out


def test_what_is_refused(results: Path, tmp_path: Path) -> None:
    names, lists = results / "names.json", results / "lists.json"
    status, out, err = run("compare", names, lists)
    assert status == 2 and out == "" and "candidates: 'full' and 5" in err and "generators" not in err
    old = orjson.loads(names.read_bytes())
    del old["mentions"]
    (tmp_path / "old.json").write_bytes(orjson.dumps(old))
    for arguments, words in (
        ((names,), "fewer than two systems"),
        ((), "fewer than two systems"),
        ((names, names), "given twice"),
        ((names, tmp_path / "old.json"), "not the rank of each mention"),
        ((names, results / "zeroshot.json", "-o", tmp_path / "t.pdf"), "unknown format"),
        ((names, "--group", "a"), "--group 'a'"),
        ((names, "--group", f"a={lists}", "--group", f"a={lists}"), "given twice"),
        ((names, "--group", f"names={lists}"), "would be called 'names'"),
        ((names, results / "zeroshot.json", "--slice", "sum"), "unknown slice 'sum'"),
    ):
        status, out, err = run("compare", *arguments)
        assert status == 2 and out == "" and words in err, arguments
    assert not (tmp_path / "t.pdf").exists()
