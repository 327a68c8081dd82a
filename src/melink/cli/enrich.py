"""``melink enrich``: add to mentions and entities what their source does not say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json
from melink.cli.enrich_attributes import attributes
from melink.cli.enrich_descriptions import descriptions

if TYPE_CHECKING:
    from melink.enrich.ask import FromModel
    from melink.enrich.patterns import FromPatterns
    from melink.enrich.triples import Written
    from melink.enrich.vocabulary import Vocabulary
    from melink.kb.store import KnowledgeBase
    from melink.rerank.llm import LLMSettings

app = typer.Typer(
    help="Add facts to mentions, and texts to entities.", no_args_is_help=True, rich_markup_mode="markdown"
)
app.command()(descriptions)
app.command()(attributes)


@app.callback()
def _group() -> None:
    """Add facts to mentions, and texts to entities."""


@app.command()
@verb
def triples(
    mentions: options.Mentions,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write JSONL here; '-' for standard output.")
    ] = None,
    kb: Annotated[Path | None, typer.Option("--kb", help="Knowledge base that gives relations and tails.")] = None,
    with_: Annotated[str, typer.Option("--with", help="Who makes them: llm, or patterns (no language model).")] = "llm",
    llm_url: options.LLMUrl = None,
    llm_model: options.LLMModel = None,
    llm_key_env: options.LLMKeyEnv = None,
    max_requests: options.MaxRequests = None,
    max_cost: options.MaxCost = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="File of answers; OUT.answers.sqlite by default.")
    ] = None,
    images: options.Images = None,
    types: Annotated[str | None, typer.Option("--types", help="Types to choose from: a,b,c or a file.")] = None,
    relations: Annotated[
        str | None,
        typer.Option(
            "--relations", help="Relations to choose from: a,b,c, a file, or kb:20 for the 20 most frequent of --kb."
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--form", help="Ask for lines, or for json with worked examples: better for small models.")
    ] = "lines",
    keep_unknown_relations: Annotated[
        bool, typer.Option("--keep-unknown-relations", help="Keep relations of the model's own.")
    ] = False,
    config: options.LLMConfig = None,
    set_: options.LLMSet = None,
    json: options.Json = False,
    strict: options.Strict = False,
    fail_on_bad_rows: options.FailBad = False,
) -> None:
    """Write mentions with facts about them: triples, a type, a description. `link`, `train` and `evaluate` read these.

    With a language model, one call for each sentence covers all its mentions; answers are kept, so that the same
    command goes on after a stop and costs nothing again. A sentence without an answer keeps its rows as they were.

    Examples:

        melink enrich triples posts.jsonl -o posts.facts.jsonl --llm-url http://127.0.0.1:8080/v1 --llm-model qwen

        melink enrich triples posts.jsonl -o posts.facts.jsonl --with patterns --kb KB

        melink enrich triples posts.jsonl -o posts.facts.jsonl --kb KB --relations kb:20 --max-requests 500
    """
    import time

    from melink.enrich.triples import enrich
    from melink.errors import InputError, Problems
    from melink.kb.store import KnowledgeBase
    from melink.rerank.llm import LanguageModel

    if with_ not in ("llm", "patterns"):
        raise InputError(f"--with {with_!r}", "write llm or patterns")
    if form not in ("lines", "json"):
        raise InputError(f"--form {form!r}", "write lines or json")
    output = None if str(output) == "-" else output
    if json and output is None:
        raise InputError("--json and the rows cannot both go to standard output", "name a file with -o")
    _check_output(output)
    problems, began = Problems(strict=strict), time.perf_counter()
    store = KnowledgeBase.open(kb) if kb is not None else None
    chosen: dict[str, Any] = {"url": llm_url, "model": llm_model, "key_env": llm_key_env}
    chosen |= {"max_requests": max_requests, "max_cost": max_cost}
    if with_ == "patterns":
        others = {"cache": cache, "types": types, "relations": relations, "config": config, "set": set_}
        _check_unasked(chosen | others, form != "lines" or keep_unknown_relations)
        generator = _patterns(store)
        written = enrich(mentions, output or "-", generator, images, problems)
        summary: dict[str, Any] = {"vocabulary": len(generator.tails)}
    else:
        vocabulary = _vocabulary(types, relations, store)
        settings = _settings(config, chosen, set_)
        kept = cache or (output.with_name(f"{output.name}.answers.sqlite") if output else None)
        with LanguageModel(settings, kept) as model:
            asker = _asker(model, vocabulary, keep_unknown_relations, form)
            written = enrich(mentions, output or "-", asker, images, problems)
            summary = asker.summary()
            err.print(str(model.tally))
    _tell(written, summary | {"seconds": round(time.perf_counter() - began, 3)}, output, json)
    report(problems, fail_on_bad_rows)
    if fail_on_bad_rows and written.failed:
        raise typer.Exit(1)


def _check_output(output: Path | None) -> None:
    """Refuse an output that cannot be written before anything is paid for.

    Raises:
        InputError: A folder, or a place where no file can be made.
    """
    import os

    from melink.errors import InputError

    if output is None:
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = output.is_dir()
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}", "name a file that can be made with -o") from error
    if folder or not os.access(output.parent, os.W_OK):
        why = "is a folder" if folder else "cannot be made here"
        raise InputError(f"{output} {why}", "name another file with -o")


def _check_unasked(given: dict[str, Any], more: bool) -> None:
    """Refuse options of a language model where patterns make the facts.

    Raises:
        InputError: One is given.
    """
    from melink.errors import InputError

    names = {"url": "llm-url", "model": "llm-model", "key_env": "llm-key-env"}
    useless = [names.get(name, name).replace("_", "-") for name, value in given.items() if value is not None]
    useless += ["form or --keep-unknown-relations"] if more else []
    if useless:
        listed = ", ".join(f"--{name}" for name in useless)
        raise InputError(f"{listed}: patterns ask no language model", "leave it out, or write --with llm")


def _patterns(kb: KnowledgeBase | None) -> FromPatterns:
    from melink.enrich.patterns import FromPatterns, plain_words
    from melink.enrich.tails import TailIndex

    return FromPatterns(plain_words() if kb is None else TailIndex.of(kb))


def _asker(model: Any, vocabulary: Vocabulary, keep_unknown: bool, form: str) -> FromModel:
    from melink.enrich.ask import FromModel

    return FromModel(model, vocabulary, keep_unknown, form)  # type: ignore[arg-type]


def _settings(config: Path | None, given: dict[str, Any], overrides: list[str] | None) -> LLMSettings:
    from melink.config import load_over
    from melink.enrich.prompt import ANSWER_TOKENS
    from melink.rerank.llm import LLMSettings

    values = {name: value for name, value in given.items() if value is not None}
    return load_over(LLMSettings(answer_tokens=ANSWER_TOKENS), config, values, overrides or ())


def _vocabulary(types: str | None, relations: str | None, kb: KnowledgeBase | None) -> Vocabulary:
    """Return what the model may choose from.

    Raises:
        InputError: ``kb:N`` without a knowledge base or a number, or an empty list.
    """
    import re

    from melink.enrich.vocabulary import RELATIONS, TYPES, Vocabulary, kb_relations
    from melink.errors import InputError

    own = re.fullmatch(r"kb:(\d{1,3})", relations or "")
    if own is None and (relations or "").startswith("kb:"):
        raise InputError(f"--relations {relations}", "write for example kb:20")
    if own is not None and kb is None:
        raise InputError(f"--relations {relations} needs a knowledge base", "name it with --kb")
    offered = kb_relations(kb, int(own[1])) if own and kb else _names(relations, RELATIONS)
    vocabulary = Vocabulary(_names(types, TYPES), offered)
    if not vocabulary.types or not vocabulary.relations:
        raise InputError("no types or no relations to choose from", "check --types and --relations")
    return vocabulary


def _names(given: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return names from a file, one a line, or from a list between commas.

    Raises:
        InputError: The file cannot be read.
    """
    from melink.errors import InputError

    if given is None:
        return default
    try:
        names = Path(given).read_text(encoding="utf-8").splitlines() if _is_file(given) else given.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{given}: {error}", "name a text file in UTF-8, one name a line") from error
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _is_file(given: str) -> bool:
    """Return whether a list of names is the name of a file; a long list is no file name at all."""
    try:
        return Path(given).is_file()
    except (OSError, ValueError):
        return False


def _tell(written: Written, summary: dict[str, Any], output: Path | None, json: bool) -> None:
    from dataclasses import asdict

    if json:
        write_json({**asdict(written), **summary})
    rate = summary.get("parse_rate")
    err.print(
        f"{written.triples:,} triples for {written.with_triples:,} of {written.mentions:,} mentions"
        + (f", {written.sentences:,} sentences; {rate:.0%} of the answers held triples" if rate is not None else "")
        + (f"; wrote {output}" if output else "")
    )
    if written.failed:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in written.failures.items())
        err.print(f"{written.failed:,} mentions have no new facts: {reasons} sentences", style="yellow")
