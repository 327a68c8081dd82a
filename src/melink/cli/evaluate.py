"""``melink evaluate``: figures with intervals under a stated protocol, and a page of instructive errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from melink.cli import gate, options
from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from melink.errors import Problems
    from melink.evaluate.outcome import Outcome
    from melink.evaluate.protocol import Protocol
    from melink.evaluate.run import Ranked
    from melink.evaluate.slices import Slice
    from melink.kb.store import KnowledgeBase
    from melink.linker import Linker
    from melink.records import Labelled


@verb
def evaluate(
    kb: options.KB,
    mentions: options.Mentions,
    model: options.Model = "zeroshot",
    candidates: Annotated[
        str,
        typer.Option(
            "--candidates", help="'full' ranks the whole knowledge base exactly; a number ranks that many candidates."
        ),
    ] = "full",
    shortlist: options.Shortlist = None,
    rerank: options.Rerank = None,
    max_requests: options.MaxRequests = None,
    max_cost: options.MaxCost = None,
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="NAME=F.tsv: also report the mentions whose ids F lists (repeatable)."),
    ] = None,
    train: Annotated[
        Path | None, typer.Option("--train", help="Training mentions: for the leak report and seen/unseen entities.")
    ] = None,
    images: options.Images = None,
    ties: Annotated[str, typer.Option("--ties", help="mean, optimistic or pessimistic.")] = "mean",
    miss: Annotated[
        str,
        typer.Option(
            "--miss", help="Gold that is not a candidate: miss; inject_gold or drop only to repeat published protocols."
        ),
    ] = "miss",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.")] = 0,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result here; '-' for stdout.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a one-page report here.")] = None,
    fit_margin: Annotated[
        Path | None,
        typer.Option(
            "--fit-margin",
            help="With --rerank and validation mentions: fit the score margin above which nobody need be asked, and "
            "write a run directory that has it.",
        ),
    ] = None,
    generator: options.Generators = None,
    given: options.Given = None,
    text_encoder: options.TextEncoder = None,
    image_encoder: options.ImageEncoder = None,
    encoder: options.DualEncoder = None,
    entity_text: options.EntityText = None,
    config: options.Config = None,
    set_: options.Set = None,
    strict: options.Strict = False,
    fail_on_bad_rows: options.FailBad = False,
) -> None:
    """Evaluate a method or a run on labelled mentions.

    Examples:

        melink evaluate KB valid.jsonl --model zeroshot --slice ambiguous=ambiguous.tsv --json result.json

        melink evaluate KB valid.jsonl --model RUN --candidates 100 --html report.html --train train.jsonl

        melink evaluate KB valid.jsonl --model RUN --shortlist 256

        melink evaluate KB valid.jsonl --model zeroshot --entity-text static

        melink evaluate KB valid.jsonl --model RUN --rerank kar:select_one --set k=5 --max-requests 2000

        melink evaluate KB valid.jsonl --model RUN --rerank kgmel --fit-margin GATED
    """
    from melink.datasets.mentions import read_mentions
    from melink.errors import Problems
    from melink.kb.store import KnowledgeBase
    from melink.linker import assemble

    started = time.perf_counter()
    full = _check(candidates, ties, miss, shortlist)
    problems = Problems(strict=strict)
    store = KnowledgeBase.open(kb)
    samples = list(read_mentions(mentions, images, problems))
    parts = _slices(slice_ or [], samples)
    set_ = [f"rerank.{each}" if rerank and each.startswith("k=") else each for each in set_ or ()]
    set_ += options.budgets(max_requests, max_cost)
    encoders = (text_encoder, image_encoder, encoder)
    asked = options.resolve(model, generator, *encoders, config, set_, rerank=rerank, entity_text=entity_text)
    # ranking the whole knowledge base needs no generator; naming a cheap one keeps 'dense' from encoding for nothing
    cheap = generator or ("names" if full else None)
    run = options.resolve(model, cheap, *encoders, config, set_, rerank=rerank, entity_text=entity_text)
    linker = assemble(run, store, given, problems)
    if fit_margin is not None:
        gate.check(linker, mentions)
    footprint, leaks = _leaks(train, images, samples)
    protocol = _protocol(linker, model, mentions, "full" if full else int(candidates), ties, miss, seed, leaks)
    protocol = replace(protocol, shortlist=shortlist)
    err.print("\n".join(protocol.lines()), style="dim", markup=False)
    outcomes, ranked, seconds = _run(linker, samples, protocol)
    protocol = replace(protocol, approximate=ranked.recall)
    timing = {"setup": round(seconds.pop("began") - started, 3), **seconds}
    injected = ranked.injected if miss == "inject_gold" else None

    def judged(own: list[Outcome]) -> dict[str, Any]:
        return _result(own, protocol, parts, timing, problems, footprint, injected)

    before = outcomes
    outcomes, result = _again(linker, before, protocol, judged)
    _tell(result)
    if fit_margin is not None:
        result["rerank"]["gate"] = gate.fit(linker, (before, outcomes), mentions, fit_margin, asked.generators)
    if shortlist is not None:
        err.print(f"the ranking is {protocol.exactness()}", style="yellow")
    if json is not None:
        _write(result, json)
    if html is not None:
        _page(result, outcomes, store, html)
    report(problems, fail_on_bad_rows)


def _check(candidates: str, ties: str, miss: str, shortlist: int | None) -> bool:
    """Refuse a protocol that cannot be, before any work; return whether the whole knowledge base is ranked.

    Raises:
        InputError: An option has a value that it cannot have.
        ConfigError: A shortlist of candidates that generators propose.
        ProtocolError: A miss policy where nothing can be missed.
    """
    from melink.errors import ConfigError, InputError, ProtocolError
    from melink.evaluate.protocol import MISS_POLICIES
    from melink.ranking.ranks import Ties

    full = candidates == "full"
    if not full and not (candidates.isdecimal() and int(candidates) > 0):
        raise InputError(f"--candidates {candidates!r}", "write 'full' or a number such as 100")
    for option, value, known in (("--ties", ties, get_args(Ties)), ("--miss", miss, MISS_POLICIES)):
        if value not in known:
            raise InputError(f"{option} {value!r}", f"choose one of: {', '.join(known)}")
    if not full and shortlist is not None:
        raise ConfigError(
            f"--shortlist {shortlist} is of the whole knowledge base, not of --candidates {candidates}", "leave one out"
        )
    if full and miss != "miss":
        raise ProtocolError(f"--miss {miss} without a number of candidates", "rank lists with --candidates K")
    return full


def _slices(given: list[str], samples: list[Labelled]) -> dict[str, Slice]:
    from melink.errors import InputError
    from melink.evaluate.slices import read_slice

    known = {sample.mention.id for sample in samples}
    parts = {}
    for option in given:
        name, equals, path = option.partition("=")
        if not equals or not name:
            raise InputError(f"--slice {option!r}", "write --slice NAME=FILE.tsv")
        parts[name] = read_slice(path, known)
    return parts


def _own_up(result: dict[str, Any], injected: int) -> None:
    """State the recall that the candidates had before gold was put in; for slices nobody counted it."""
    overall = result["overall"]
    result["counts"]["gold_injected"] = injected
    overall["candidate_recall"] = (overall["n"] - injected) / overall["n"] if overall["n"] else None
    for row in result["slices"].values():
        row["candidate_recall"] = None


def _run(linker: Linker, samples: list[Labelled], protocol: Protocol) -> tuple[list[Outcome], Ranked, dict[str, float]]:
    from melink.evaluate.run import outcomes, rank_candidates, rank_full

    began = time.perf_counter()
    if protocol.candidates == "full":
        ranked = rank_full(linker, samples, protocol.ties, protocol.shortlist)  # type: ignore[arg-type]
    else:
        inject = protocol.miss_policy == "inject_gold"
        ranked = rank_candidates(linker, samples, int(protocol.candidates), protocol.ties, inject)  # type: ignore[arg-type]
    seconds = time.perf_counter() - began
    found = outcomes(linker, samples, ranked)
    rate = round(len(samples) / max(seconds, 1e-9), 2)
    return found, ranked, {"began": began, "rank": round(seconds, 3), "mentions_per_second": rate}


def _protocol(
    linker: Linker, model: str, mentions: str, candidates: str | int, ties: str, miss: str, seed: int, leaks: Any
) -> Protocol:
    from melink.evaluate.protocol import file_hash
    from melink.evaluate.stated import stated

    noted = [each for each in (linker.run.fitted_on, (linker.run.rerank or {}).get("fitted_on")) if each]
    if noted and mentions != "-" and file_hash(mentions) in {each.get("sha256") for each in noted}:
        err.print("[yellow]this split is the one that the run was fitted on: the figures are not held out[/]")
        leaks = {"fitted on this split": True, **(leaks if isinstance(leaks, dict) else {})}
    trained_with = (linker.run.train or {}).get("seed")
    seeds = (seed,) if trained_with is None else (seed, int(trained_with))
    found = replace(stated(linker, mentions, candidates, model, leaks, seeds), ties=ties, miss_policy=miss)
    return found if linker.reranker is None else replace(found, reranker=linker.reranker.states())


def _leaks(train: Path | None, images: Path | None, samples: list[Labelled]) -> tuple[set[str] | None, Any]:
    if train is None:
        return None, "train not given"
    from melink.datasets.leaks import TrainFootprint
    from melink.datasets.mentions import read_mentions

    footprint = TrainFootprint.of(read_mentions(train, images))
    found = footprint.report(samples).to_dict()
    return set(footprint.golds), {
        "mentions": found["mentions"],
        "shared_any": found["shared_any"],
        **found["shared_with_train"],
    }


def _result(
    outcomes: list[Outcome],
    protocol: Protocol,
    slices: dict[str, Slice],
    timing: dict[str, float],
    problems: Problems,
    golds: set[str] | None,
    injected: int | None,
) -> dict[str, Any]:
    from melink.datasets.mentions import PASSED_OVER
    from melink.evaluate.result import build_result

    passed = sum(problems.counts[kind] for kind in PASSED_OVER)
    result = build_result(outcomes, protocol, slices, timing, passed, golds)
    result["problems"] = dict(problems.counts)
    if injected is not None:
        _own_up(result, injected)
    return result


def _again(
    linker: Linker, before: list[Outcome], protocol: Protocol, judged: Callable[[list[Outcome]], dict[str, Any]]
) -> tuple[list[Outcome], dict[str, Any]]:
    """Let the reranker look again, if there is one; return the outcomes, and their result with what it did."""
    from melink.evaluate.reranked import block, reranked
    from melink.rerank.again import Count

    if linker.reranker is None:
        return before, judged(before)
    began = time.perf_counter()
    after = reranked(linker.reranker, before, linker.kb, protocol.ties)  # type: ignore[arg-type]
    seconds = time.perf_counter() - began
    count = Count()
    count.add(outcome.link for outcome in after)
    options.tell_rerank(linker.reranker, count)
    result = judged(after)
    result["rerank"] = block(linker.reranker, judged(before), (before, after), seconds)
    result["timing"]["rerank"] = round(seconds, 3)
    return after, result


def _tell(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    keys = ("n", "hits@1", "hits@3", "hits@5", "hits@10", "mrr", "mr", "candidate_recall")
    table = Table("", *keys, "95% of hits@1")
    for name, row in {"all": result["overall"], **result["slices"]}.items():
        values = ["–" if row.get(key) is None else str(row[key]) if key == "n" else f"{row[key]:.4f}" for key in keys]
        interval = (row.get("ci95") or {}).get("hits@1")
        table.add_row(name, *values, "{:.4f}–{:.4f}".format(*interval) if interval else "–")
    screen = Console(stderr=True, width=140)
    screen.print(table)
    if "rerank" in result:
        screen.print(_moved(result))
    screen.print(_answers(result))


def _moved(result: dict[str, Any]) -> Table:
    """Return figures before and after the reranker."""
    from rich.table import Table

    from melink.evaluate.before_after import heads, lines

    table = Table(*heads(), title=f"before and after {result['rerank']['by']}, per cent")
    for name, cells in lines(result):
        table.add_row(name, *cells)
    return table


def _answers(result: dict[str, Any]) -> Table:
    """Return the figures of the answers given, NIL among them."""
    from rich.table import Table

    nil = ("precision", "recall", "f1", "auroc", "in_kb_accuracy", "accuracy")
    sure = ("ece", "brier", "aurc")
    heads = ("NIL", "P", "R", "F1", "AUROC", "right, in KB", "right, all", "ECE", "Brier", "AURC")
    table = Table("answers", *heads)
    for name, row in {"all": result["overall"], **result["slices"]}.items():
        values = [row["nil"][key] for key in nil] + [row["calibration"][key] for key in sure]
        table.add_row(name, str(row["nil"]["n_nil"]), *("–" if value is None else f"{value:.4f}" for value in values))
    return table


def _page(result: dict[str, Any], outcomes: list[Outcome], kb: KnowledgeBase, html: Path) -> None:
    from melink.datasets.files import replacing
    from melink.evaluate.report import report as page

    view = kb.view()
    found = page(result, outcomes, lambda id: None if (row := view.row(id)) is None else view.entity(row))
    with replacing(html) as out:
        out.write(found.encode())
    err.print(f"wrote {html}")


def _write(result: dict[str, Any], path: Path) -> None:
    if str(path) == "-":
        write_json(result)
        return
    from melink.kb.disk import write_json as store_json

    path.parent.mkdir(parents=True, exist_ok=True)
    store_json(path, result)
    err.print(f"wrote {path}")
