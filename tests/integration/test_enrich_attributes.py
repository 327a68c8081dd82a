"""``melink enrich attributes`` on real portraits: rows, page, attributes by small classifiers, identity, forgetting."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from melink.cli.main import app
from melink.datasets.mentions import read_mentions
from melink.errors import Problems
from melink.features.images import load_image
from melink.kb.build import build

pytest.importorskip("cv2")
pytestmark = pytest.mark.data


def tiny(name: str) -> Any:
    """Load the module that saves small models."""
    path = Path(__file__).parents[1] / "unit" / "features" / "detectors.py"
    spec = importlib.util.spec_from_file_location("small_detectors", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules.setdefault("small_detectors", importlib.util.module_from_spec(spec))
    if not hasattr(module, name):
        spec.loader.exec_module(module)
    return getattr(module, name)


def run(*arguments: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["enrich", "attributes", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def desk(shared_data: Path, tmp_path: Path) -> Path:
    """A knowledge base of four people in ``kb``, and ``posts.jsonl``: a row of two, one alone, none, and a bad file."""
    own = sorted((shared_data / "images/us_politicians").glob("*_0.jpg"))[:4]
    entities = [{"id": f"Q{n}", "label": f"Person {n}"} for n in range(4)]
    (tmp_path / "entities.jsonl").write_text("\n".join(map(json.dumps, entities)))
    (tmp_path / "index.csv").write_text("file,qids\n" + "".join(f"{path},Q{n}\n" for n, path in enumerate(own)))
    build(tmp_path / "kb", tmp_path / "entities.jsonl", images=tmp_path / "index.csv")
    row = Image.new("RGB", (448, 224))
    for place, path in enumerate((own[2], own[0])):
        row.paste(load_image(path).resize((224, 224)), (224 * place, 0))
    row.save(tmp_path / "row.jpg", quality=80)
    load_image(own[3]).resize((180, 180)).save(tmp_path / "one.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    texts = [("Two <b>people</b>", "row.jpg"), ("One of them", "one.jpg"), ("Nobody", None), ("Broken", "bad.jpg")]
    posts = [
        {"id": str(n), "sentence": text, "mention": text.split()[0], "image_file": image, "qid": "Q0", "own": n}
        for n, (text, image) in enumerate(texts)
    ]
    (tmp_path / "posts.jsonl").write_text("\n".join(map(json.dumps, posts)))
    return tmp_path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_mentions_without_identity(desk: Path) -> None:
    """What is asked for by default says where people and faces are, and never who or what they are."""
    told = run(
        desk / "posts.jsonl", "--images", desk, "-o", desk / "seen.jsonl", "--html", desk / "seen.html", "--json"
    )
    sums = json.loads(told.stdout)
    assert sums["pictures"] == 3 and sums["readable"] == 2 and sums["faces"] == 3 and sums["looked_at"] == 2
    assert sums["resembling"] == sums["with_sentences"] == 0 and "threshold" not in sums
    assert "corrupt" in told.stderr
    seen = rows(desk / "seen.jsonl")
    assert [row["own"] for row in seen] == [0, 1, 2, 3] and [row["qid"] for row in seen] == ["Q0"] * 4
    assert [len(row["picture"]["faces"]) for row in seen] == [2, 1, 0, 0]
    assert [row["picture"]["readable"] for row in seen] == [True, True, False, False]
    assert seen[0]["picture"]["said"] == [] and seen[0]["picture"]["faces"][0]["resembles"] == []
    page = (desk / "seen.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 3 and page.count('class="face"') == 3 and page.count("<image ") == 2
    assert "<b>people</b>" not in page and "&lt;b&gt;people" in page and "corrupt" in page
    assert str(desk) not in page and not re.search(r'(src|href)="(?!data:)', page)
    again = json.loads(run(desk / "posts.jsonl", "--images", desk, "-o", desk / "seen.jsonl", "--json").stdout)
    assert again["looked_at"] == 0 and again["faces"] == 3
    problems = Problems()
    assert len(list(read_mentions(desk / "seen.jsonl", desk, problems))) == 4  # still a file of mentions


def test_identity_is_asked_for_and_forgets(desk: Path) -> None:
    """Off, on, whose faces are in the row, and forgotten."""
    off = run(desk / "posts.jsonl", "--images", desk, "--kb", desk / "kb", "--identity", code=2)
    assert "not indexed" in off.stderr
    told = json.loads(
        run(desk / "kb", "--identity", "--json", "--html", desk / "kb.html", "-o", desk / "kb.jsonl").stdout
    )
    assert told["known_faces"] == 4 and told["looked_at"] == 4
    assert "Resembling is not being" in (desk / "kb.html").read_text(encoding="utf-8")
    assert [row["id"] for row in rows(desk / "kb.jsonl")] == ["Q0", "Q1", "Q2", "Q3"]

    def whose() -> list[list[str]]:
        arguments = (
            "--images",
            desk,
            "--kb",
            desk / "kb",
            "--identity",
            "--threshold",
            "0.85",
            "-o",
            desk / "seen.jsonl",
        )
        run(desk / "posts.jsonl", *arguments, "--html", desk / "seen.html")
        found = []
        for row in rows(desk / "seen.jsonl"):
            faces = sorted(row["picture"]["faces"], key=lambda face: face["box"][0])
            found.append([face["resembles"][0]["id"] if face["resembles"] else "" for face in faces])
        return found

    assert whose() == [["Q2", "Q0"], ["Q3"], [], []]
    assert re.search(r"this face resembles Person 2, 0\.\d\d", (desk / "seen.html").read_text(encoding="utf-8"))
    assert "deleted" in run(desk / "kb", "--forget", "Q2").stderr
    assert whose()[0] != ["Q2", "Q0"] and "Person 2" not in (desk / "seen.jsonl").read_text(encoding="utf-8")
    assert json.loads(run(desk / "kb", "--identity-off", "--json").stdout)["deleted"] >= 3
    assert not (desk / "kb" / "faces.json").exists()
    run(desk / "posts.jsonl", "--images", desk, "--kb", desk / "kb", "--identity", code=2)


def test_what_is_seen_is_what_dwe_reads(desk: Path) -> None:
    """From the rows to the vectors that DWE+ reads; a second run replaces its own words and nobody else's."""
    from melink.features.load import load_text
    from melink.features.store import FeatureStore
    from melink.kb.store import KnowledgeBase
    from melink.methods.base import Context
    from melink.methods.dwe_inputs import Reader

    age, seen = tiny("save_classifier")(desk / "age", ["0-39", "40-99"]), desk / "seen.jsonl"
    common = ("--images", desk, "--kb", desk / "kb", "--regions", "none", "--threshold", "0.85", "-o", seen)
    run(desk / "kb", "--identity", "--attribute", f"age={age}", "-o", desk / "kb.jsonl")
    first = rows(desk / "kb.jsonl")[0]
    assert first["picture"]["said"][0]["sentence"].startswith("Person 0, age: ") and "attributes" not in first
    posts = rows(desk / "posts.jsonl")
    posts[1]["attributes"] = {"identity": "Somebody; else", "mood": "calm"}
    (desk / "posts.jsonl").write_text("\n".join(map(json.dumps, posts)))
    run(desk / "posts.jsonl", *common, "--identity", "--attribute", f"age={age}", "--set", "nearest=1")
    read = [each.mention for each in read_mentions(seen, desk, Problems())]
    kb = KnowledgeBase.open(desk / "kb")
    reader = Reader(Context(kb, FeatureStore(kb.features_dir), load_text("minilm")), "{text}", ["looks", "identities"])
    items = reader.items(read)
    assert items.counts("looks").tolist() == [2, 1, 0, 0] and items.counts("identities").tolist() == [2, 2, 0, 0]
    assert sorted(read[0].attributes["identity"].split("; ")) == ["Person 0", "Person 2"]
    assert re.fullmatch(r"Person [02], age: [-\d]+; Person [02], age: [-\d]+", read[0].attributes["face_attributes"])
    assert read[1].attributes["identity"] == "Somebody; else" and read[1].attributes["mood"] == "calm"
    run(seen, *common)
    assert [row.get("attributes") or {} for row in rows(seen)] == [
        {},
        {"identity": "Somebody; else", "mood": "calm"},
        {},
        {},
    ]


def test_forgetting_reaches_entities_that_are_gone(desk: Path) -> None:
    """Of deleted entities nothing is left, ids that never were are refused, and the encoder stays as it was chosen."""
    run(desk / "kb", "--identity", "--faces", "faces?most=9")
    assert json.loads((desk / "kb" / "faces.json").read_text())["encoder"] == "faces?most=9"
    gone = CliRunner().invoke(app, ["kb", "delete", str(desk / "kb"), "Q1"])
    assert gone.exit_code == 0 and "faces in 1 pictures that no entity has" in gone.stderr
    assert "no entity Qtypo" in run(desk / "kb", "--forget", "Qtypo", code=2).stderr
    run(desk / "kb", "--identity")
    about = json.loads((desk / "kb" / "faces.json").read_text())
    assert about["encoder"] == "faces?most=9" and about["forgotten"] == []
    run(desk / "kb", "--identity", "--set", "faces=faces")
    assert json.loads((desk / "kb" / "faces.json").read_text())["encoder"] == "faces"


def kept(desk: Path) -> list[bool]:
    """Return whether anything is kept of the faces in the pictures of the entities Q0 to Q3."""
    from melink.features.face_index import face_encoder
    from melink.features.store import FeatureStore

    paths = [line.partition(",")[0] for line in (desk / "index.csv").read_text().splitlines()[1:]]
    store, encoder = FeatureStore(desk / "kb" / "features"), face_encoder("faces")
    return [not store.lacking(encoder, [path], tokens=True) for path in paths]


def test_faces_are_forgotten_while_identity_is_off(desk: Path) -> None:
    """Whatever was computed of them goes, with --forget and with the entity, and is not kept when looked at again."""
    run(desk / "kb", "-o", desk / "kb.jsonl")
    assert kept(desk) == [True] * 4 and not (desk / "kb" / "faces.json").exists()
    assert json.loads(run(desk / "kb", "--forget", "Q1", "--json").stdout) == {"deleted": 1}
    gone = CliRunner().invoke(app, ["kb", "delete", str(desk / "kb"), "Q2"])
    assert gone.exit_code == 0 and "faces in 1 pictures that no entity has" in gone.stderr
    assert kept(desk) == [True, False, False, True]
    sums = json.loads(run(desk / "kb", "-o", desk / "kb.jsonl", "--json").stdout)
    assert sums["faces"] == sums["readable"] == 3 and kept(desk) == [True, False, False, True]
    assert [len(row["picture"]["faces"]) for row in rows(desk / "kb.jsonl")] == [1, 1, 1]
    assert [row["id"] for row in rows(desk / "kb.jsonl")] == ["Q0", "Q1", "Q3"]
    told = json.loads(run(desk / "kb", "--identity", "--json").stdout)
    assert told["known_faces"] == 2 and kept(desk) == [True, False, False, True]


def test_a_damaged_list_of_the_forgotten_stops_everything(desk: Path) -> None:
    run(desk / "kb", "--identity")
    run(desk / "kb", "--forget", "Q1")
    path = desk / "kb" / "faces.json"
    path.write_bytes(path.read_bytes()[:-9])
    for arguments in ((desk / "kb", "--identity"), (desk / "kb", "--forget", "Q2"), (desk / "kb",)):
        told = run(*arguments, code=2).stderr
        assert "faces.json" in told and "--identity-off" in told.replace("\n", " ")
    assert kept(desk) == [True, False, True, True]
    run(desk / "kb", "--identity-off")
    run(desk / "kb", "--identity")


def test_rows_on_standard_output_leave_nothing_behind(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    told = run(desk / "posts.jsonl", "--images", desk, "-o", "-", "--regions", "none")
    assert len([json.loads(line) for line in told.stdout.splitlines()]) == 4
    assert list(here.iterdir()) == []
    run(desk / "posts.jsonl", "--images", desk, "-o", "-", "--regions", "none", "--html", here / "seen.html")
    assert sorted(path.name for path in here.iterdir()) == ["seen.html", "seen.html.features"]


@pytest.mark.parametrize("option", ["-o", "--html"])
def test_outputs_are_checked_before_the_work(desk: Path, option: str) -> None:
    (desk / "taken").mkdir()
    told = run(desk / "kb", "--identity", option, desk / "taken", code=2)
    assert "is a folder" in told.stderr and option in told.stderr
    assert option in run(desk / "kb", "--identity", option, desk / "bad.jpg" / "x", code=2).stderr
    assert not (desk / "kb" / "faces.json").exists() and not (desk / "kb" / "features").exists()
    assert list((desk / "taken").iterdir()) == []


def test_outputs_that_cannot_be(desk: Path) -> None:
    assert "a page is a file" in run(desk / "kb", "--html", "-", code=2).stderr
    assert "overwrite each other" in run(desk / "kb", "-o", desk / "x", "--html", desk / "x", code=2).stderr


def test_the_threshold_that_is_given_counts(desk: Path) -> None:
    """Above 1 nobody resembles anybody; from -1 on every face resembles as many as may be named. The page says so."""
    run(desk / "kb", "--identity")
    for least, each in (("1.5", 0), ("-1", 3)):
        arguments = (
            "--images",
            desk,
            "--kb",
            desk / "kb",
            "--identity",
            "--threshold",
            least,
            "-o",
            desk / "seen.jsonl",
        )
        told = run(desk / "posts.jsonl", *arguments, "--html", desk / "seen.html", "--json")
        faces = [face for row in rows(desk / "seen.jsonl") for face in row["picture"]["faces"]]
        assert [len(face["resembles"]) for face in faces] == [each] * 3
        assert json.loads(told.stdout)["threshold"] == float(least) and f"(from {float(least):.2f} on)" in told.stderr
        assert f"from {float(least):.2f} on" in (desk / "seen.html").read_text(encoding="utf-8")
    estimated = json.loads(run(desk / "kb", "--identity", "--json").stdout)["threshold"]
    assert 0 < estimated < 1


def test_attributes_and_a_closed_list(desk: Path, tmp_path: Path) -> None:
    save = tiny("save_classifier")
    age = save(tmp_path / "age", ["0-39", "40-99"])
    mood = save(tmp_path / "mood", ["calm", "cross"], seed=8)
    names = save(tmp_path / "names", ["Ann Lee", "Bo Ray"], seed=9)
    common = (desk / "posts.jsonl", "--images", desk, "-o", desk / "seen.jsonl", "--regions", "none")
    run(*common, "--attribute", f"age={age}", "--attribute", f"mood={mood}", "--names", names, "--set", "least=0.01")
    said = rows(desk / "seen.jsonl")[0]["picture"]["said"]
    assert len(said) == 2 and rows(desk / "seen.jsonl")[0]["picture"]["regions"] == []
    assert re.fullmatch(r"(Ann Lee|Bo Ray), age: (0-39|40-99), mood: (calm|cross)", said[0]["sentence"])
    assert 0.5 <= said[0]["attributes"]["age"][1] <= 1
    assert sorted(name for name, _ in said[0]["names"]) == ["Ann Lee", "Bo Ray"]
    word = said[0]["attributes"]["age"][0]
    config = tmp_path / "said.yaml"
    config.write_text(f"attributes:\n  age: {{model: {age}, words: {{{word}: younger}}}}\n")
    run(*common, "--config", config)
    assert rows(desk / "seen.jsonl")[0]["picture"]["said"][0]["sentence"] == "age: younger"
    run(*common, "--config", config, "--set", f"attributes.age.words.{word}=''")  # that word stays unsaid
    assert rows(desk / "seen.jsonl")[0]["picture"]["said"][0]["sentence"] == ""
    run(*common, "--config", config, "--set", "attributes.age.least=1")
    assert rows(desk / "seen.jsonl")[0]["picture"]["said"][0]["attributes"] == {}


def test_refusals(desk: Path) -> None:
    posts = desk / "posts.jsonl"
    assert "--kb" in run(posts, "--images", desk, "--identity", code=2).stderr
    assert "NAME=CLASSIFIER" in run(posts, "--images", desk, "--attribute", "age", code=2).stderr
    assert "not a knowledge base" in run(posts, "--forget", "Q1", code=2).stderr
    assert "leave it out" in run(desk / "kb", "--kb", desk / "kb", code=2).stderr
    assert "does not encode regions" in run(posts, "--images", desk, "--regions", "classical", code=2).stderr
    assert "does not encode faces" in run(posts, "--images", desk, "--faces", "regions", code=2).stderr
    assert "no-such/model" in run(posts, "--images", desk, "--attribute", "age=no-such/model", code=2).stderr
