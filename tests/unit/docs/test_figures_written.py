"""The tables of the README and the page of reproductions say what the recorded files say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools_loaded import ROOT, tool

from melink.errors import ConfigError
from melink.evaluate.reproduction import read_all


def example() -> dict[str, Any]:
    """Return the example record of reproductions/README.md."""
    text = (ROOT / "reproductions" / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = yaml.safe_load(found[1])
    return data


def rendered(folder: Path, *records: dict[str, Any]) -> str:
    for record in records:
        (folder / f"{record['name']}.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    block: str = tool("figures").render(read_all(folder))
    return block


def test_the_figures_are_up_to_date() -> None:
    figures = tool("figures")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    records = read_all(ROOT / "reproductions")
    assert records
    assert figures.replaced(readme, figures.render(records)) == readme, "run python tools/figures.py"
    page = (ROOT / "docs" / "reproductions.md").read_text(encoding="utf-8")
    assert figures.page(records) == page, "run python tools/figures.py"


def test_every_record_has_a_row_and_a_section() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "reproductions.md").read_text(encoding="utf-8")
    for record in read_all(ROOT / "reproductions"):
        assert f"(docs/reproductions.md#{record.name})" in readme
        assert f"\n### {record.name}\n" in page


def test_a_record_becomes_a_row(tmp_path: Path) -> None:
    block = rendered(tmp_path, example())
    assert "**WikiMEL valid** — 100 mentions, 50 of them ambiguous; 34,662 persons, all ranked, exactly" in block
    assert block.endswith("#biencoder-wikimel) | .500 ± .010 | .250 | .600 | .700 | .600 |")
    assert "Somebody" not in block and "NIL F1" not in block  # another protocol; no NIL mentions


def test_the_weakest_stands_first_and_nil_gets_a_column(tmp_path: Path) -> None:
    ours = {"n": 10, "figures": {"hits@1": 0.25}, "ci95": {"hits@1": [0.2, 0.3]}, "nil": {"n_nil": 4, "f1": 0.75}}
    published = [{"figures": {"hits@1": 0.9, "nil/f1": 0.8}, "source": "Paper, table 1"}]
    weak = example() | {"name": "weak", "method": "weak", "ours": {"seeds": [0, 1], "overall": ours}}
    rows = rendered(tmp_path, example(), weak | {"published": published, "tolerance": {"hits@1": 0.1}}).splitlines()
    assert rows[-3] == "| [weak](docs/reproductions.md#weak) | .250 (.200–.300) |  |  |  |  | .750 |"
    assert rows[-2] == "| weak, published: Paper, table 1 | .900 |  |  |  |  | .800 |"
    assert rows[-1].startswith("| [biencoder]")


def test_records_under_different_protocols_share_no_table(tmp_path: Path) -> None:
    other = example()
    other |= {"name": "second", "protocol": {**other["protocol"], "ties": "optimistic"}}
    content = {**other, "name": "fourth", "protocol": {**example()["protocol"], "kb_hash": "0" * 16}}
    block = rendered(tmp_path, example(), other, {**example(), "name": "third"}, content)

    tables = [set(re.findall(r"#([\w-]+)\)", part)) for part in block.split("| Hits@1 |")[1:]]
    assert sorted(map(sorted, tables)) == [["biencoder-wikimel", "third"], ["fourth"], ["second"]]
    assert "ties: optimistic" in block
    assert "content 0000000000000000" in block  # told where nothing else tells two tables apart


def test_the_page_tells_everything(tmp_path: Path) -> None:
    record = example() | {"deviations": ["no pictures"]}
    rendered(tmp_path, record)
    page = tool("figures").page(read_all(tmp_path))
    for words in (
        "| all | 100 | .500 ± .010 | .600 | .700 | .600 |",
        "| ambiguous | 50 | .250 |",
        "mean ± standard deviation over the seeds 0, 1, 2",
        "published: hits@1 .500 (Somebody 2020, table 2); another protocol: 109,976 entities, test split",
        "judged: hits@1 ± 0.02, ambiguous/hits@1 ± 0.04",
        "deviation: no pictures",
        "2026-01-31; 2 cores, 8 GB, 25 minutes for each seed",
        "--train $DATA/wikimel/train.jsonl",
        "seed=$SEED",
    ):
        assert words in page, words


def test_a_wrong_record_is_named(tmp_path: Path) -> None:
    record = {key: value for key, value in example().items() if key != "machine"}
    with pytest.raises(ConfigError, match=r"biencoder-wikimel\.yaml.*machine"):
        rendered(tmp_path, {**record, "machin": "mine"})


def test_no_records_say_so() -> None:
    assert "No figures" in tool("figures").render([])


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(ConfigError, match="figures:begin"):
        tool("figures").replaced("# melink\n", "table")
