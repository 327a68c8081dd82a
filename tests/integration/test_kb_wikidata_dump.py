"""A dump in the published format: one array, one entity per line, a comma after each but the last."""

from __future__ import annotations

import bz2
import gzip
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from melink.errors import Problems
from melink.kb.build import build
from melink.kb.checkpoint import Checkpoint
from melink.records import Triple


def snak(relation: str, datatype: str, kind: str, value: Any) -> dict[str, Any]:
    return {"snaktype": "value", "property": relation, "hash": "0123456789abcdef0123456789abcdef01234567",
            "datavalue": {"value": value, "type": kind}, "datatype": datatype}  # fmt: skip


def statement(mainsnak: dict[str, Any], rank: str = "normal") -> dict[str, Any]:
    relation = mainsnak["property"]
    source = snak(
        "P143", "wikibase-item", "wikibase-entityid", {"entity-type": "item", "numeric-id": 328, "id": "Q328"}
    )
    when = {"time": "+1990-01-01T00:00:00Z", "timezone": 0, "before": 0, "after": 0, "precision": 9,
            "calendarmodel": "http://www.wikidata.org/entity/Q1985727"}  # fmt: skip
    return {
        "mainsnak": mainsnak, "type": "statement",
        "qualifiers": {"P585": [snak("P585", "time", "time", when)]},
        "qualifiers-order": ["P585"], "id": f"Q1${relation}", "rank": rank,
        "references": [{"hash": "fa278ebf", "snaks": {"P143": [source]}, "snaks-order": ["P143"]}],
    }  # fmt: skip


def link(relation: str, tail: str, rank: str = "normal") -> dict[str, Any]:
    value = {"entity-type": "item", "numeric-id": int(tail[1:]), "id": tail}
    return statement(snak(relation, "wikibase-item", "wikibase-entityid", value), rank)


def time(relation: str, value: str, precision: int) -> dict[str, Any]:
    parts = {"time": value, "timezone": 0, "before": 0, "after": 0, "precision": precision,
             "calendarmodel": "http://www.wikidata.org/entity/Q1985727"}  # fmt: skip
    return statement(snak(relation, "time", "time", parts))


def item(
    id: str, label: str | None, claims: Iterable[dict[str, Any]] = (), sites: int = 0, **more: Any
) -> dict[str, Any]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for claim in claims:
        grouped.setdefault(claim["mainsnak"]["property"], []).append(claim)
    record = {
        "type": "item", "id": id,
        "labels": {"en": {"language": "en", "value": label}} if label else [],
        "descriptions": [], "aliases": [], "claims": grouped or [],
        "sitelinks": {f"{code}wiki": {"site": f"{code}wiki", "title": f"{label} ({code})", "badges": []}
                      for code in ["en", "de", "fr", "it", "es"][:sites]},
        "pageid": 1, "ns": 0, "title": id, "lastrevid": 1, "modified": "2024-01-01T00:00:00Z",
    }  # fmt: skip
    return record | more


def text(value: str, language: str = "en") -> dict[str, str]:
    return {"language": language, "value": value}


ADAMS = item(
    "Q42", "Douglas Adams",
    [
        link("P31", "Q5"), link("P19", "Q350"), link("P106", "Q36180"), link("P106", "Q1"),
        link("P106", "Q2", "deprecated"),
        link("P69", "Q691283", "preferred"), link("P69", "Q4961791"),
        time("P569", "+1952-03-11T00:00:00Z", 11), time("P570", "+2001-05-00T00:00:00Z", 10),
        time("P2031", "+1977-00-00T00:00:00Z", 9),
        statement(snak("P18", "commonsMedia", "string", "Douglas adams portrait.jpg")),
        statement(snak("P2048", "quantity", "quantity", {"amount": "+1.96", "unit": "1"})),
        statement(snak("P1477", "monolingualtext", "monolingualtext", {"text": "Douglas N. Adams", "language": "en"})),
        statement(snak("P214", "external-id", "string", "113230702")),
        statement({"snaktype": "somevalue", "property": "P1196", "hash": "00", "datatype": "wikibase-item"}),
    ],
    sites=3,
    descriptions={"en": text("English writer"), "de": text("Schriftsteller", "de")},
    aliases={"en": [text("DNA"), text("Douglas Noel Adams"), text("Douglas Adams")], "de": [text("Adams", "de")]},
)  # fmt: skip
ADAMS["labels"]["de"] = text("Douglas Adams", "de")
LUCY = item(
    "Q7",
    "Lucy",
    [link("P31", "Q5"), time("P569", "-3200000-00-00T00:00:00Z", 3), time("P570", "-0044-03-15T00:00:00Z", 9)],
)
MULTI = item("Q8", None, [link("P31", "Q5")], labels={"mul": text("Mul Name", "mul"), "fr": text("Nom", "fr")}, sites=1)
FRENCH = item("Q9", None, [link("P31", "Q5")], labels={"fr": text("Nom", "fr")}, descriptions={"fr": text("une", "fr")})
CITY = item("Q350", "Cambridge", [link("P31", "Q515")], sites=5)
RECORDS = [
    ADAMS, LUCY, MULTI, FRENCH, CITY, item("Q36180", "writer"), item("Q10", None),
    {"type": "property", "datatype": "wikibase-item", "id": "P19", "labels": {"en": text("place of birth")},
     "descriptions": {"en": text("most specific known birth location")}, "aliases": [], "claims": []},
    {"type": "lexeme", "id": "L1", "lemmas": {"mis": text("𒂼", "mis")}, "language": "Q36790", "claims": []},
]  # fmt: skip


def write(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    with opener(path, "wt") as out:
        out.write("[")
        for number, record in enumerate(records):
            out.write((",\n" if number else "\n") + json.dumps(record, separators=(",", ":")))
        out.write("\n]\n")
    return path


@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".json.bz2"])
def test_an_item_as_published(tmp_path: Path, suffix: str):
    problems = Problems()
    kb = build(tmp_path / "kb", wikidata=write(tmp_path / f"dump{suffix}", RECORDS), problems=problems).kb
    assert kb.view().ids == ["Q350", "Q36180", "Q42", "Q7", "Q8", "Q9"]
    adams = kb.get("Q42")
    assert (adams.label, adams.aliases, adams.description) == (
        "Douglas Adams",
        ("DNA", "Douglas Noel Adams"),
        "English writer",
    )
    assert adams.triples == (
        Triple("P31", "Q5"),
        Triple("P19", "Q350", relation_label="place of birth", tail_label="Cambridge"),
        Triple("P106", "Q36180", tail_label="writer"),
        Triple("P106", "Q1"),
        Triple("P69", "Q691283"),
        Triple("P569", "1952-03-11", literal=True),
        Triple("P570", "2001-05", literal=True),
        Triple("P2048", "1.96", literal=True),
        Triple("P1477", "Douglas N. Adams", literal=True),
    )
    assert adams.extra == {"sitelinks": 3, "commons_image": "Douglas adams portrait.jpg",
                           "wikipedia_title": "Douglas Adams (en)", "type_qids": ["Q5"]}  # fmt: skip
    assert [t.tail for t in kb.get("Q7").triples] == ["Q5", "44 BCE"]
    assert (kb.get("Q8").label, kb.get("Q9").label, kb.get("Q9").description) == ("Mul Name", "Nom", "")
    assert problems.counts == {"no label": 1}
    assert [id for id, _ in kb.search("dna")] == ["Q42"]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (["type=Q5"], ["Q42", "Q7", "Q8", "Q9"]),
        (["type=Q515,Q4"], ["Q350"]),
        (["sitelinks>=3"], ["Q350", "Q42"]),
        (["language=de"], ["Q42"]),
        (["language=fr,mul"], ["Q8"]),
        (["type=Q5", "sitelinks>=1"], ["Q42", "Q8"]),
        (["description"], ["Q42"]),
    ],
)
def test_conditions(tmp_path: Path, where: list[str], ids: list[str]):
    kb = build(tmp_path / "kb", wikidata=write(tmp_path / "dump.json", RECORDS), where=where).kb
    assert kb.view().ids == ids
    if "Q42" in ids:  # the items themselves may be left out, not the names of tails and relations
        born = kb.get("Q42").triples[1]
        assert (born.relation_label, born.tail_label) == ("place of birth", "Cambridge")


def test_another_language(tmp_path: Path):
    kb = build(tmp_path / "kb", wikidata=write(tmp_path / "dump.json", RECORDS), language="de").kb
    adams = kb.get("Q42")
    assert (adams.description, adams.aliases) == ("Schriftsteller", ("Adams",))
    assert adams.extra["wikipedia_title"] == "Douglas Adams (de)"
    assert (kb.get("Q350").label, kb.get("Q9").label) == ("Cambridge", "Nom")


def test_damaged_lines_are_reported_or_read_as_far_as_they_go(tmp_path: Path):
    good = json.dumps(ADAMS)
    lines = ["[", good[:500] + ",", "7,", '{"type":"item"},', '{"id":"Q1","type":"item","labels":[]},',
             '{"id":"Q2","type":"item","labels":{"en":7,"de":{"value":[]},"fr":{"value":"Deux"}},"claims":{"P31":[7,{"mainsnak":[]}],"P2":5}},',
             '{"id":"Q3","type":"item","labels":{"en":{"value":"Three"}},"aliases":{"en":[null,{"value":3}]},"sitelinks":[]},',
             good, "]"]  # fmt: skip
    path = tmp_path / "dump.json"
    path.write_text("\n".join(lines) + "\n")
    problems = Problems()
    kb = build(tmp_path / "kb", wikidata=path, problems=problems).kb
    assert kb.view().labels == ["Deux", "Three", "Douglas Adams"]
    assert [(p.line, p.id) for p in problems.first] == [(2, None), (3, None), (4, None), (5, "Q1")]


def many(count: int) -> Iterable[dict[str, Any]]:
    for i in range(1, count + 1):
        claims = [link("P31", "Q5" if i % 50 == 0 else "Q515"), link("P106", f"Q{i - 1}" if i > 1 else "Q2")]
        yield item(f"Q{i}", f"Name {i}", claims * 5, sites=i % 6, descriptions={"en": text(f"number {i}")})


def test_a_stopped_import_goes_on_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "dump.json.bz2", many(300))
    calm = build(tmp_path / "calm", wikidata=path, where=["type=Q5"])
    save, left = Checkpoint.save, [4]

    def saving(self: Checkpoint, *args: Any) -> None:
        save(self, *args)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", saving)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "kb", wikidata=path, where=["type=Q5"], batch=40)
    monkeypatch.undo()
    point = json.loads((tmp_path / "kb" / "gen-0001.partial" / "progress.json").read_text())
    assert 0 < point["line"] < 300
    built = build(tmp_path / "kb", wikidata=path, where=["type=Q5"], batch=40)
    assert built.resumed
    assert built.content_hash == calm.content_hash
    assert built.kb.get("Q50").triples == calm.kb.get("Q50").triples
    assert built.kb.get("Q50").triples[1].tail_label == "Name 49"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read in the units of Linux")
def test_memory_does_not_grow_with_the_dump(tmp_path: Path):
    script = (
        "import sys; from pathlib import Path; from melink.kb.build import build\n"
        "build(sys.argv[1], wikidata=sys.argv[2], where=['type=Q5'], batch=500)\n"
        "status = Path('/proc/self/status').read_text()\n"  # ru_maxrss would count this process before exec
        "print(int(status.split('VmHWM:')[1].split()[0]) // 1024)"
    )
    peaks, sizes = [], []
    for count in (2_000, 16_000):
        path = write(tmp_path / f"{count}.json", many(count))
        sizes.append(path.stat().st_size / 2**20)
        command = [sys.executable, "-c", script, str(tmp_path / f"kb{count}"), str(path)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert sizes[1] - sizes[0] > 100  # MB more to read
    assert peaks[1] - peaks[0] < 40  # MB more memory: some batches of arrow buffers, no more with size
