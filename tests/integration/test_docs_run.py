"""The commands in the pages of the site run, and print what the pages show."""

from __future__ import annotations

from pathlib import Path

import fenced
import pytest

PAGES = sorted((fenced.ROOT / "docs").rglob("*.md"))
RUNNING = [page for page in PAGES if any(block.runs for block in fenced.blocks(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.stem)
def test_a_page_runs(page: Path, tmp_path: Path) -> None:
    found = fenced.blocks(page)
    said = fenced.run(found, tmp_path)

    assert said
    fenced.compare(found, said)
