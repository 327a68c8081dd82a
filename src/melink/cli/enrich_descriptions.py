"""``melink enrich descriptions``: better texts of the entities, beside their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from melink.enrich.checked import Checked
    from melink.enrich.descriptions import Made
    from melink.errors import Problems
    from melink.kb.store import KnowledgeBase
    from melink.rerank.llm import LLMSettings

LONGEST = 600


@verb
def descriptions(
    kb: options.KB,
    kind: Annotated[
        str,
        typer.Argument(help="static: from a file of abstracts; dynamic: by a language model.", show_default=False),
    ],
    abstracts: Annotated[
        Path | None,
        typer.Option("--abstracts", help="Static: .jsonl, .tsv, or DBpedia's .ttl or .nt; .gz and .bz2 too."),
    ] = None,
    same_as: Annotated[
        Path | None, typer.Option("--same-as", help="Static: sameAs triples from articles to Wikidata ids.")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Static: language of DBpedia's abstracts.")] = "en",
    longest: Annotated[int, typer.Option("--longest", min=50, help="Most characters of a text.")] = LONGEST,
    ids: Annotated[
        Path | None, typer.Option("--ids", help="Only the entities whose ids this file lists, one a line.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Dynamic: at most so many that have no text yet.")
    ] = None,
    llm_url: options.LLMUrl = None,
    llm_model: options.LLMModel = None,
    llm_key_env: options.LLMKeyEnv = None,
    max_requests: options.MaxRequests = None,
    max_cost: options.MaxCost = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="File of answers; KB/answers.sqlite by default.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Make nothing; only check the texts that are there against the facts.")
    ] = False,
    places: Annotated[
        Path | None, typer.Option("--places", help="Another knowledge base that knows in which country places lie.")
    ] = None,
    drop_contradicting: Annotated[
        bool, typer.Option("--drop-contradicting", help="Read such entities by their own text, until the facts agree.")
    ] = False,
    lacking: Annotated[
        Path | None, typer.Option("--lacking", help="Write the entities without a text here: id, reason.")
    ] = None,
    flags: Annotated[
        Path | None, typer.Option("--flags", help="Write what contradicts the facts here, as JSONL.")
    ] = None,
    config: options.LLMConfig = None,
    set_: options.LLMSet = None,
    json: options.Json = False,
    strict: options.Strict = False,
) -> None:
    """Give entities a better text than their own; `--entity-text static` or `dynamic` makes methods read it.

    The entities stay as they are. The same command goes on after a stop, and makes only what is new or has changed.
    What is there is then checked: years, places, nationalities and occupations against the entity's facts.

    Examples:

        melink enrich descriptions KB static --abstracts abstracts.jsonl.gz --lacking lacking.tsv

        melink enrich descriptions KB static --abstracts long-abstracts_lang=en.ttl.bz2 --same-as sameas.ttl.bz2

        melink enrich descriptions KB dynamic --llm-url http://127.0.0.1:8080/v1 --llm-model qwen --max-requests 5000

        melink enrich descriptions KB dynamic --check --flags flags.jsonl
    """
    from melink.enrich.checked import check_texts, restore_texts
    from melink.errors import InputError, Problems
    from melink.kb.store import KnowledgeBase
    from melink.kb.texts import KINDS

    if kind not in KINDS:
        raise InputError(f"{kind!r} is no kind of text", f"write {' or '.join(KINDS)}")
    if (kind == "static") != (abstracts is not None) and not check:
        raise InputError(f"{kind} with{'' if abstracts else 'out'} --abstracts", "static texts need it, no others do")
    _check_outputs(lacking, flags)
    problems, store = Problems(strict=strict), KnowledgeBase.open(kb)
    summary: dict[str, Any] = {"kind": kind}
    only = None if ids is None else _listed(ids, store, problems)
    others = [KnowledgeBase.open(places)] if places is not None else []
    made, restored = None, restore_texts(store, kind, others)
    if not check and abstracts is not None:
        made = _static(store, abstracts, same_as, language, longest, only, problems)
    elif not check:
        chosen = {"url": llm_url, "model": llm_model, "key_env": llm_key_env}
        settings = _settings(config, {**chosen, "max_requests": max_requests, "max_cost": max_cost}, set_)
        made, summary["llm"] = _dynamic(store, settings, cache, longest, only, limit)
    found = check_texts(store, kind, others, drop_contradicting)
    summary["check"] = {**_told(found, restored, flags), "restored": restored}
    if made is not None:
        summary |= _left(made, found, only, lacking)
    if json:
        write_json(summary)
    report(problems)
    if "llm" in summary and _unheard(summary["llm"]):
        err.print("no request was answered", style="bold red")
        raise typer.Exit(1)


def _check_outputs(lacking: Path | None, flags: Path | None) -> None:
    """Refuse outputs that cannot be written before anything is made or paid for.

    Raises:
        InputError: A folder, a place where no file can be made, or the same file twice.
    """
    import os

    from melink.errors import InputError

    for option, path in (("--lacking", lacking), ("--flags", flags)):
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = path.is_dir()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", f"name a file that can be made with {option}") from error
        if folder or not os.access(path.parent, os.W_OK):
            why = "is a folder" if folder else "cannot be made here"
            raise InputError(f"{path} {why}", f"name another file with {option}")
    if lacking is not None and flags is not None and lacking.resolve() == flags.resolve():
        raise InputError(f"{flags}: --flags and --lacking would overwrite each other", "name two files")


def _listed(ids: Path, kb: KnowledgeBase, problems: Problems) -> list[str]:
    """Return the ids that a file lists and the knowledge base has; the others are reported.

    Raises:
        InputError: The file cannot be read, or no id is left.
    """
    from melink.errors import InputError

    try:
        rows = ids.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{ids}: {error}", "name a text file of ids, one a line") from error
    listed = [(number, id) for number, row in enumerate(rows, 1) if (id := row.strip())]
    if not listed:
        raise InputError(f"{ids}: lists no id", "write ids into it, one a line, or leave --ids out for all entities")
    view = kb.view()
    known = [id for _, id in listed if view.row(id) is not None]
    if not known:
        raise InputError(f"{ids}: none of its ids is in the knowledge base", "list ids, one a line")
    for number, id in listed:
        if view.row(id) is None:
            problems.add(ids, number, "no entity has this id", id, kind="unknown id")
    return known


def _static(
    kb: KnowledgeBase,
    abstracts: Path,
    same: Path | None,
    language: str,
    longest: int,
    only: list[str] | None,
    problems: Problems,
) -> Made:
    from melink.enrich.descriptions import make_static

    return _tell(make_static(kb, abstracts, problems, same, language, longest, only))


def _dynamic(
    kb: KnowledgeBase,
    settings: LLMSettings,
    cache: Path | None,
    longest: int,
    only: list[str] | None,
    limit: int | None,
) -> tuple[Made, dict[str, Any]]:
    from melink.enrich.descriptions import ANSWERS, make_dynamic
    from melink.enrich.dynamic import Introductions
    from melink.rerank.llm import LanguageModel

    if not settings.offline:
        _knock(settings.url)
    with LanguageModel(settings, cache or kb.path / ANSWERS) as model:
        made = make_dynamic(kb, Introductions(model, longest), only, limit)
        err.print(str(model.tally))
        return _tell(made), model.tally.to_dict()


def _knock(url: str) -> None:
    """Say at once when nobody listens at an address; requests are tried again for a while all the same."""
    import contextlib
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    address = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    with contextlib.suppress(OSError):  # whatever else is wrong, the requests will tell
        try:
            socket.create_connection(address, timeout=2).close()
        except ConnectionRefusedError:
            err.print(f"{url}: connection refused; is the server running? Trying again for a while", style="yellow")


def _unheard(tally: dict[str, Any]) -> bool:
    """Return whether requests were sent and none was answered, by the server or from the cache."""
    from melink.rerank.answer import NOT_ASKED

    return not tally["answered"] and not tally["cached"] and bool(set(tally["failures"]) - NOT_ASKED)


def _settings(config: Path | None, given: dict[str, Any], overrides: list[str] | None) -> LLMSettings:
    from melink.config import load_over
    from melink.enrich.dynamic import ANSWER_TOKENS
    from melink.rerank.llm import LLMSettings

    values = {name: value for name, value in given.items() if value is not None}
    return load_over(LLMSettings(answer_tokens=ANSWER_TOKENS), config, values, overrides or ())


def _tell(made: Made) -> Made:
    found = f"{made.made:,} texts made, {made.unchanged:,} as before, for {made.entities:,} entities"
    left = ", ".join(f"{count:,} {reason}" for reason, count in made.counts.items())
    err.print(found + (f"; without one: {left}" if left else ""), markup=False)
    if made.matched:
        err.print("found by " + ", ".join(f"{by}: {count:,}" for by, count in made.matched.items()), markup=False)
    return made


def _left(made: Made, found: Checked, only: list[str] | None, lacking: Path | None) -> dict[str, Any]:
    """Return what was made, and write who is left without a text, those whose text was just dropped among them."""
    from melink.datasets.files import replacing
    from melink.kb.texts import CONTRADICTS

    asked = None if only is None else set(only)
    for id in found.dropped:
        if asked is None or id in asked:
            made.lacking(CONTRADICTS, id)
    if lacking is not None:
        with replacing(lacking) as out:
            out.writelines(f"{id}\t{why}\n".encode() for why, own in made.without.items() for id in own)
        err.print(f"wrote {lacking}", markup=False)
    turns = {str(turns): count for turns, count in sorted(made.turns.items())}
    counts = {"entities": made.entities, "made": made.made, "unchanged": made.unchanged, "without": made.counts}
    return {**counts, "matched": dict(made.matched), "turns": turns}


def _told(found: Checked, restored: int, flags: Path | None) -> dict[str, Any]:
    import orjson

    from melink.datasets.files import replacing

    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.kinds.most_common())
    err.print(
        f"{found.flagged:,} of {found.texts:,} texts contradict the facts"
        + (f" ({kinds})" if kinds else "")
        + f"; {found.checkable:,} say something that could"
        + (f"; {len(found.dropped):,} dropped" if found.dropped else "")
        + (f"; {found.out:,} were dropped before" if found.out else "")
        + (f"; {restored:,} that agree now are read again" if restored else "")
    )
    if flags is not None:
        with replacing(flags) as out:
            out.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in found.rows)
        err.print(f"wrote {flags}", markup=False)
    return found.to_dict()
