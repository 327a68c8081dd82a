"""``melink demo`` as a user runs it: the table, the page, the figures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from melink.demo.run import Demo, lookup

MELINK = str(Path(sys.executable).with_name("melink"))


class Outside(HTMLParser):
    """Collects what a page loads from elsewhere, and the mentions that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "poster") and not (value or "").startswith("data:"):
                self.outside.append(f"{tag} {name}={value}")
            if tag == "link" and name == "href" and not (value or "").startswith("data:"):
                self.outside.append(f"link {value}")


def test_the_demo_as_a_command(tmp_path: Path) -> None:
    command = [MELINK, "demo", "-o", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"page", "knowledge_base", "score"}
    assert sum(kind["mentions"] for kind in result["score"].values()) >= 40
    page = Path(tmp_path / result["page"]).read_text(encoding="utf-8")
    reader = Outside()
    reader.feed(page)
    assert reader.outside == [] and "@import" not in page and not re.search(r"url\((?!['\"]?data:)", page)
    assert "script" not in reader.tags or "http" not in page.split("<script", 1)[1].split("</script>")[0]
    assert reader.tags.count("img") + reader.tags.count("image") > 40
    assert "Traceback" not in done.stderr and "melink link" in done.stderr


def test_the_demo_links_nearly_all(demo: Demo) -> None:
    score = demo.score()
    assert set(score) == {"image", "text", "triple", "name", "nil"}
    for kind in ("image", "text", "triple", "name"):
        right, n = score[kind]
        assert right / n >= 0.9, kind
    assert sum(right for right, _ in score.values()) >= 0.9 * len(demo.samples)


def test_without_its_picture_an_image_mention_is_lost(demo: Demo) -> None:
    """What the demo says is decided by the picture is decided by the picture."""
    from dataclasses import replace

    pictured = [sample for sample in demo.samples if sample.extra["decided_by"] == "image"]
    blind = demo.linker.link([replace(sample.mention, image=None) for sample in pictured])
    seen = demo.linker.link([sample.mention for sample in pictured])
    lost = sum(link.id != s.gold for link, s in zip(blind, pictured, strict=True))
    kept = sum(link.id == s.gold for link, s in zip(seen, pictured, strict=True))
    assert kept >= 0.9 * len(pictured) and lost >= 0.4 * len(pictured)


def test_every_gold_of_the_demo_is_a_candidate(demo: Demo) -> None:
    found = demo.linker.candidates([sample.mention for sample in demo.samples])
    for sample, ids in zip(demo.samples, found.ids, strict=True):
        assert sample.gold == "NIL" or sample.gold in ids
    assert lookup(demo.linker.kb, "Q230") is not None and lookup(demo.linker.kb, "nobody") is None
