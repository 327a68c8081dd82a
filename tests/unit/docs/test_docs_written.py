"""What the pages say exists: verbs and options, registered names, links, generated parts, reasons."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tools_loaded import tool

from melink import registry
from melink.cli.main import app
from melink.methods.zeroshot import NEUTRAL, Weights

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- ([^>]*?) -->\n)?```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Yield every verb with the names of its options."""
    for name, child in command.commands.items():
        if getattr(child, "commands", None):
            yield from verbs(child, (*path, name))
        else:
            options = {option for p in child.params for option in (*p.opts, *p.secondary_opts) if option[0] == "-"}
            yield (*path, name), options | {"--help"}


VERBS = dict(verbs(typer.main.get_command(app)))


def typed(page: Path) -> Iterator[list[str]]:
    """Yield the words of each melink command in the bash blocks of a page."""
    for _, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        plain = re.sub(r"<<'END'.*?^END$", "", body, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
        for line in plain.splitlines():
            for part in line.split("|"):
                words = shlex.split(part, comments=True)
                if words[:1] == ["melink"]:
                    yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_name_verbs_and_options_that_exist(page: Path) -> None:
    for words in typed(page):
        verb = next((path for path in VERBS if tuple(words[1 : 1 + len(path)]) == path), None)
        assert verb is not None, f"no such verb: {' '.join(words)}"
        unknown = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} - VERBS[verb]
        assert not unknown, f"{' '.join(words)}: {unknown}"


def test_there_are_commands_to_check() -> None:
    assert sum(len(list(typed(page))) for page in PAGES) >= 25


def test_the_reference_of_the_command_line_is_up_to_date() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert tool("cli_reference").render() == page, "run python tools/cli_reference.py"


def test_every_verb_and_option_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for path, options in VERBS.items():
        _, found, rest = page.partition(f"\n## melink {' '.join(path)}\n")
        assert found, path
        section = rest.partition("\n## ")[0]
        assert [option for option in options - {"--help"} if f"`{option}`" not in section] == []


@pytest.mark.parametrize("kind", ["method", "reranker", "encoder", "generator", "dataset"])
def test_every_registered_name_has_its_source(kind: str) -> None:
    page = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
    assert [name for name in registry.names(kind) if f"`{name}`" not in page] == []


def test_every_generator_and_encoder_is_explained() -> None:
    pages = {"generator": "candidates.md", "encoder": "encoders.md", "method": "methods.md", "dataset": "datasets.md"}
    for kind, page in pages.items():
        text = (ROOT / "docs" / page).read_text(encoding="utf-8").lower()
        assert [name for name in registry.names(kind) if name not in text] == [], page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = set(re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")))
    local = {target for target in targets if not target.startswith("http")}
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    notes = [note for note, _ in BLOCK.findall(page.read_text(encoding="utf-8"))]
    assert [note for note in notes if note.startswith("not run") and not re.fullmatch(r"not run: \w.{5,}", note)] == []


def test_the_weights_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .* \| ([\d.]+) \|$", page, re.MULTILINE)
    shown = {name: float(weight) for names, weight in rows for name in re.findall(r"\w+", names)}
    assert shown == Weights().model_dump()
    for encoder, parts in NEUTRAL.items():
        assert all(re.search(rf"\b{value:g}\s+for `{encoder}`", page) for value in parts.values()), encoder


def test_the_demo_is_as_large_as_told() -> None:
    mentions = (ROOT / "src/melink/demo/data/mentions.jsonl").read_text(encoding="utf-8").splitlines()
    assert f"links {len(mentions)} bundled mentions" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation() -> None:
    named = re.findall(r"([\w/-]+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = [str(page.relative_to(ROOT / "docs")) for page in sorted((ROOT / "docs").rglob("*.md"))]
    assert sorted(named) == there


def test_the_hooks_need_no_network() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert {hook["language"] for repo in hooks["repos"] for hook in repo["hooks"]} == {"system"}


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "demo.png").stat().st_size <= 300_000
