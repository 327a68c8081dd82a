"""``melink link``: a file of mentions in, ranked links out; or one mention, for a person."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from melink.errors import Problems
    from melink.kb.store import KnowledgeBase
    from melink.linker import Linker
    from melink.records import Labelled, Link, Mention
    from melink.runs import Run

PAGE = 200
"""Most links that a page shows."""
FEW = 1024
"""So many entities are encoded without asking."""
WHOLE: Final = 1024
"""Mentions ranked against the whole knowledge base at once; each time every entity is read again."""
SAMPLE: Final = 200
"""Most mentions that the recall of a shortlist is measured on."""


@dataclass(frozen=True)
class Desk:
    """How mentions are answered.

    Attributes:
        linker: Who answers.
        whole: From the whole knowledge base, in place of generators' candidates.
        shortlist: The whole knowledge base approximately, by a shortlist of so many.
    """

    linker: Linker
    whole: bool = False
    shortlist: int | None = None

    @property
    def size(self) -> int:
        """How many mentions are answered at once."""
        from melink.linker import BATCH

        return WHOLE if self.whole else BATCH

    def link(self, mentions: Sequence[Mention], top: int) -> list[Link]:
        """Link mentions; the answers come in the same order."""
        if not self.whole:
            return self.linker.link(mentions, top)
        from melink.candidates.base import Candidates
        from melink.linker import BATCH

        ids, found = self.linker.whole(mentions, shortlist=self.shortlist).ids, []
        for start in range(0, len(mentions), BATCH):
            piece = slice(start, start + BATCH)
            found += self.linker.answer(mentions[piece], Candidates(ids[piece]), top)
        return found

    def tell_recall(self, mentions: Sequence[Mention]) -> None:
        """Say how often the shortlist finds the exact best entity of some of the mentions."""
        if self.shortlist is None or not mentions:
            return
        some = mentions[:SAMPLE]
        pairs = (self.linker.whole(some, 1, shortlist).ids for shortlist in (self.shortlist, None))
        right = sum(found == exact for found, exact in zip(*pairs, strict=True))
        found = f"the exact best entity of {right:,} of {len(some):,} mentions"
        err.print(f"approximate: the shortlist of {self.shortlist:,} finds {found}", style="yellow")


@verb
def link(
    kb: options.KB,
    mentions: Annotated[str | None, typer.Argument(help="JSONL of mentions; '-' for standard input.")] = None,
    model: options.Model = "zeroshot",
    text: Annotated[str | None, typer.Option("--text", help="One sentence, caption or post.")] = None,
    mention: Annotated[str | None, typer.Option("--mention", help="The name in it.")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="Its picture.")] = None,
    top: Annotated[int, typer.Option("--top", help="Candidates to report for each mention.", min=1)] = 10,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write JSONL here; resumes after a stop.")
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option("--candidates", help="'full' ranks the whole knowledge base, exactly, without generators."),
    ] = None,
    shortlist: options.Shortlist = None,
    rerank: options.Rerank = None,
    max_requests: options.MaxRequests = None,
    max_cost: options.MaxCost = None,
    images: options.Images = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page of the first 200 links, with pictures.")
    ] = None,
    generator: options.Generators = None,
    given: options.Given = None,
    text_encoder: options.TextEncoder = None,
    image_encoder: options.ImageEncoder = None,
    encoder: options.DualEncoder = None,
    entity_text: options.EntityText = None,
    config: options.Config = None,
    set_: options.Set = None,
    json: options.Json = False,
    strict: options.Strict = False,
    fail_on_bad_rows: options.FailBad = False,
) -> None:
    """Link mentions to a knowledge base: ranked entities with part scores, confidence and evidence.

    Examples:

        melink link KB posts.jsonl -o links.jsonl --images photos/

        melink link KB --text "Georgia beat Wales in Cardiff" --mention Georgia --image match.jpg

        cat posts.jsonl | melink link KB - --model RUN | jq .prediction

        melink link KB posts.jsonl --model RUN --candidates full -o links.jsonl

        melink link KB posts.jsonl --rerank kar:select_one --set rerank.llm.url=http://127.0.0.1:8080/v1
    """
    from melink.errors import Problems
    from melink.kb.store import KnowledgeBase
    from melink.linker import assemble

    one = text is not None or mention is not None
    _check(mentions, one, image, html)
    whole = _whole(candidates, shortlist, generator, given)
    problems = Problems(strict=strict)
    store = KnowledgeBase.open(kb)
    # the whole knowledge base needs no generator; naming a cheap one keeps 'dense' from encoding for nothing
    generator = "names" if whole else generator
    encoders = (text_encoder, image_encoder, encoder)
    set_ = [*(set_ or ()), *options.budgets(max_requests, max_cost)]
    run = options.resolve(model, generator, *encoders, config, set_, rerank=rerank, entity_text=entity_text)
    if not (generator or config or any(override.startswith("generators=") for override in set_)):
        run = without_waiting(store, run)
    desk = Desk(assemble(run, store, given, problems), whole, shortlist)
    if shortlist is not None:
        desk.linker.whole([], shortlist=shortlist)  # a method without vectors is refused before anything is written
    if one:
        _one(desk, text or mention or "", mention or text or "", image, top, json)
    elif output is None:
        _stream(desk, _read(mentions, images, problems), top, sys.stdout.buffer)
    else:
        depends = {"input": _identity(str(mentions)), "images": str(images), "given": str(given), "top": top}
        _to_file(desk, _read(mentions, images, problems), top, output, depends)
    if html is not None:
        _page(desk, str(mentions), images, html, top)
    report(problems, fail_on_bad_rows)


def _check(mentions: str | None, one: bool, image: Path | None, html: Path | None) -> None:
    """Refuse what cannot work before a model is loaded.

    Raises:
        InputError: Nothing to link, no such file, or options that do not go together.
    """
    from melink.errors import InputError, NotFound

    if one and (mentions is not None or html is not None):
        raise InputError("--text and --mention link one mention, for a person", "leave out the file and --html")
    if not one and mentions is None:
        raise InputError("nothing to link", "pass a JSONL file, or --text and --mention")
    if not one and image is not None:
        raise InputError("--image is the picture of --mention", "name pictures of a file's mentions in its rows")
    if image is not None and not image.is_file():
        raise InputError(f"no picture {image}", "check the path of --image")
    if mentions == "-" and html is not None:
        raise InputError("--html reads the mentions twice", "save standard input to a file first")
    if mentions not in (None, "-") and not Path(str(mentions)).exists():
        raise NotFound(f"no file {mentions}", "check the path")


def _whole(candidates: str | None, shortlist: int | None, generator: str | None, given: Path | None) -> bool:
    """Return whether the whole knowledge base is ranked.

    Raises:
        InputError: ``--candidates`` is not ``full``.
        ConfigError: Generators are named for it.
    """
    from melink.errors import ConfigError, InputError

    if candidates not in (None, "full"):
        raise InputError(
            f"--candidates {candidates!r}", "write 'full', or leave it out: generators give as many as --set k=100 says"
        )
    whole = candidates is not None or shortlist is not None
    if whole and (generator or given):
        raise ConfigError("the whole knowledge base is ranked without generators", "leave out --generator and --given")
    return whole


def without_waiting(kb: KnowledgeBase, run: Run) -> Run:
    """Leave ``dense`` out while the knowledge base is not encoded: a first answer should not wait for all of it."""
    from melink import registry
    from melink.candidates.dense import missing
    from melink.linker import context_of, reader_of

    if "dense" not in run.generators or not (run.encoder or run.text_encoder):
        return run
    context = context_of(run, kb)
    kb = context.kb
    method = registry.load("method", run.method).build(context, run.settings)
    if context.text is None or (lacking := missing(kb, context.store, context.text, reader_of(method))) <= FEW:
        return run
    err.print(f"[dim]{lacking:,} entities are not encoded: linking without 'dense'; 'melink encode' turns it on[/]")
    return run.model_copy(update={"generators": tuple(name for name in run.generators if name != "dense")})


def _read(mentions: str | None, images: Path | None, problems: Problems) -> Iterator[Labelled]:
    from melink.datasets.mentions import read_mentions

    return read_mentions(str(mentions), images, problems)


def _rows(desk: Desk, samples: Iterable[Labelled], top: int) -> Iterator[bytes]:
    """Yield one JSON line for each mention, a batch at a time."""
    import orjson

    from melink.links import link_row
    from melink.progress import task
    from melink.rerank.again import Count

    about, told, count = _about(desk), False, Count()
    remaining = iter(samples)
    with task("linking", None, "mentions") as advance:
        while batch := list(islice(remaining, desk.size)):
            mentions = [sample.mention for sample in batch]
            if not told:
                desk.tell_recall(mentions)
                told = True
            answers = desk.link(mentions, max(top, 2))
            count.add(answers)
            for sample, answer in zip(batch, answers, strict=True):
                yield orjson.dumps(link_row(sample, answer, about, top), option=orjson.OPT_APPEND_NEWLINE)
            advance(len(batch))
    if desk.linker.reranker is not None:
        options.tell_rerank(desk.linker.reranker, count)


def _about(desk: Desk) -> dict[str, Any]:
    """Return what every row states."""
    about: dict[str, Any] = {"model": desk.linker.run.method, "kb_version": desk.linker.kb.version}
    if desk.linker.reranker is not None:
        about["reranker"] = desk.linker.reranker.label
    return about if desk.shortlist is None else {**about, "shortlist": desk.shortlist}


def _stream(desk: Desk, samples: Iterable[Labelled], top: int, out: Any) -> None:
    for row in _rows(desk, samples, top):
        out.write(row)
        out.flush()


def _to_file(desk: Desk, samples: Iterator[Labelled], top: int, output: Path, settings: dict[str, Any]) -> None:
    from melink.links import resumable

    settings |= {"run": desk.linker.run.model_dump(mode="json"), "kb": desk.linker.kb.content_hash()}
    settings |= {"whole": desk.whole, "shortlist": desk.shortlist}
    with resumable(output, settings, desk.size) as (file, done):
        if done:
            err.print(f"going on after {done:,} rows of an earlier run")
        written = done
        for row in _rows(desk, islice(samples, done, None), top):
            file.write(row)
            file.flush()
            written += 1
    err.print(f"wrote {written:,} links to {output}")


def _identity(mentions: str) -> list[Any]:
    """Return what tells one input from another without reading it."""
    if mentions == "-":
        import os

        return ["-", os.getpid()]
    found = Path(mentions).stat()
    return [str(Path(mentions).resolve()), found.st_size, found.st_mtime_ns]


def _one(desk: Desk, text: str, surface: str, image: Path | None, top: int, json: bool) -> None:
    from melink.datasets.spans import find_span
    from melink.links import link_row
    from melink.records import Labelled, Mention

    start, end = find_span(text, surface)
    mention = Mention("1", text, surface, start, end, str(image) if image else None)
    desk.tell_recall([mention])
    answer = desk.link([mention], max(top, 2))[0]
    if json:
        write_json(link_row(Labelled(mention), answer, _about(desk), top))
        return
    _print(desk.linker, answer)


def _print(linker: Linker, answer: Link) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    out = Console()
    parts = list(dict.fromkeys(part for c in answer.candidates for part in c.parts))
    table = Table("id", "label", "prob.", "score", *parts, "description", "why")
    for c in answer.candidates:
        values = [f"{c.parts[part]:+.3f}" if part in c.parts else "–" for part in parts]
        why = "; ".join(c.evidence.get("matched_triples", [])) or c.evidence.get("matched_name", "")
        entity = linker.kb.get(c.id)
        words = (entity.description or entity.attributes)[:70]
        sure = "–" if c.probability is None else f"{c.probability:.3f}"
        table.add_row(escape(c.id), escape(c.label), sure, f"{c.score:.3f}", *values, escape(words), escape(str(why)))
    out.print(table)
    verdict = "not in the knowledge base" if answer.nil else escape(answer.candidates[0].label)
    calibrated = "" if answer.evidence.get("calibrated") else " (not calibrated)"
    if (again := answer.evidence.get("rerank")) is not None:
        said = "put another candidate first" if again["changed"] else "left the first candidate first"
        err.print(f"{again['by']} {said} ({again['outcome']})", markup=False)
    out.print(f"[bold]{verdict}[/] with confidence {answer.probability:.2f}{calibrated}")


def _page(desk: Desk, mentions: str, images: Path | None, html: Path, top: int) -> None:
    from melink.datasets.files import replacing
    from melink.errors import Problems
    from melink.evaluate.cards import card, page
    from melink.evaluate.outcome import judge
    from melink.evaluate.thumbnails import Thumbnails

    view, pictures = desk.linker.kb.view(), Thumbnails()
    samples = list(islice(_read(mentions, images, Problems()), PAGE))
    cards = []
    for sample, answer in zip(samples, desk.link([s.mention for s in samples], top), strict=True):
        outcome = judge(answer, sample.gold, view.row(sample.gold or "") is not None)
        cards.append(
            card(outcome, lambda id: None if (row := view.row(id)) is None else view.entity(row), thumbnails=pictures)
        )
    summary = {name: value for name, value in _about(desk).items() if name != "kb_version"}
    with replacing(html) as out:
        out.write(page("Links", f"{len(cards)} mentions of {mentions}", cards, summary).encode())
    err.print(f"wrote {html}")
