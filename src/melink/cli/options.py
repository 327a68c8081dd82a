"""Options that several verbs share, and how they become a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from melink.cli.common import err

if TYPE_CHECKING:
    from melink.rerank.again import Count
    from melink.rerank.base import Reranker
    from melink.runs import Run

_ASKED: Final = "rerank.llm."


def _without_accelerators(cpu: bool) -> bool:
    """Hide accelerators from torch, which is not imported yet: nothing of a command runs on one then."""
    if cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    return cpu


KB = Annotated[Path, typer.Argument(help="Knowledge base directory, made by 'melink kb build'.", show_default=False)]
Mentions = Annotated[str, typer.Argument(help="JSONL of mentions; '-' for standard input.", show_default=False)]
Model = Annotated[str, typer.Option("--model", help="Run directory, or 'names' or 'zeroshot' (see 'melink methods').")]
Images = Annotated[
    Path | None, typer.Option("--images", help="Directory or index.csv that image_file is looked up in.")
]
Generators = Annotated[
    str | None,
    typer.Option(
        "--generator",
        help="Candidate generators to fuse, separated by commas: names,fuzzy,persons,lexical,dense,given.",
    ),
]
Given = Annotated[Path | None, typer.Option("--given", help="JSONL of candidate lists for the generator 'given'.")]
TextEncoder = Annotated[str | None, typer.Option("--text-encoder", help="minilm, or a Hugging Face name or path.")]
ImageEncoder = Annotated[str | None, typer.Option("--image-encoder", help="classical, or a Hugging Face name or path.")]
DualEncoder = Annotated[
    str | None, typer.Option("--encoder", help="One CLIP-like encoder for text and images, by name or path.")
]
EntityText = Annotated[
    str | None,
    typer.Option(
        "--entity-text",
        help="Text that entities are read by: original, static or dynamic ('melink enrich descriptions' makes the last "
        "two); as the run says by default.",
    ),
]
Config = Annotated[Path | None, typer.Option("--config", help="Run file in YAML; the command line overrides it.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting: --set settings.weights.name=2 (repeatable).")
]
Cpu = Annotated[bool, typer.Option("--cpu", callback=_without_accelerators, help="Leave an accelerator alone.")]
Shortlist = Annotated[
    int | None,
    typer.Option(
        "--shortlist",
        min=1,
        help="Rank the whole knowledge base approximately: only so many entities of each mention, those whose vectors "
        "match best. How often that finds the exact best is measured and printed.",
    ),
]
Rerank = Annotated[
    str | None,
    typer.Option(
        "--rerank",
        help="Look again at the first few candidates: NAME or NAME:VARIANT, such as kar:select_one; set up by "
        "--set rerank.k=5 and the like.",
    ),
]
LLMUrl = Annotated[
    str | None, typer.Option("--llm-url", help="Base address of an OpenAI-compatible server, such as .../v1.")
]
LLMModel = Annotated[str | None, typer.Option("--llm-model", help="Name of the model at the server.")]
LLMKeyEnv = Annotated[
    str | None, typer.Option("--llm-key-env", help="NAME of the environment variable that holds the key.")
]
LLMConfig = Annotated[Path | None, typer.Option("--config", help="Language-model settings in YAML.")]
LLMSet = Annotated[
    list[str] | None, typer.Option("--set", help="A language-model setting: --set concurrency=8 (repeatable).")
]
MaxRequests = Annotated[
    int | None, typer.Option("--max-requests", min=0, help="Most HTTP requests to the language model.")
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost", min=0, help="Most cost of the language model; needs its prices.input and prices.output."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")]
FailBad = Annotated[bool, typer.Option("--fail-on-bad-rows", help="Exit with status 1 when any row was passed over.")]


def resolve(
    model: str,
    generators: str | None = None,
    text_encoder: str | None = None,
    image_encoder: str | None = None,
    encoder: str | None = None,
    config: Path | None = None,
    overrides: list[str] | None = None,
    untrained: bool = False,
    rerank: str | None = None,
    entity_text: str | None = None,
) -> Run:
    """Return the run that the command line describes: the model's, then the run file, then options, then ``--set``.

    Raises:
        NotFound: Neither a run directory nor a known method.
        ConfigError: Options that contradict each other, settings of a language model that nobody asks, or a run file or
            override that cannot be used.
    """
    from melink.config import load_over
    from melink.errors import ConfigError
    from melink.runs import read_run

    if encoder is not None and (text_encoder or image_encoder):
        raise ConfigError("--encoder stands for both sides", "leave it out, or --text-encoder and --image-encoder")
    chosen: dict[str, Any] = {
        "generators": split(generators) if generators is not None else None,
        "text_encoder": text_encoder,
        "image_encoder": image_encoder,
        "encoder": encoder,
        "entity_text": entity_text,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    if text_encoder or image_encoder:
        given["encoder"] = None  # the pair of the run would else win
    base = read_run(model, untrained)
    if rerank is not None:
        from melink.rerank.base import named

        given["rerank"] = named(rerank)
        if (base.rerank or {}).get("name") != given["rerank"]["name"]:  # settings of another one mean nothing to it
            base = base.model_copy(update={"rerank": None})
    run = load_over(base, config, given, overrides or ())
    _check_asked(run, overrides or ())
    return run.model_copy(update={"folder": base.folder})


def budgets(max_requests: int | None, max_cost: float | None) -> list[str]:
    """Return the budgets of a reranker's language model as ``--set`` overrides."""
    given = {"max_requests": max_requests, "max_cost": max_cost}
    return [f"{_ASKED}{name}={value}" for name, value in given.items() if value is not None]


def _check_asked(run: Run, overrides: Sequence[str]) -> None:
    from melink.errors import ConfigError
    from melink.rerank.asking import ASKING

    wanted = [each.removeprefix(_ASKED).partition("=")[0] for each in overrides if each.startswith(_ASKED)]
    if wanted and (run.rerank or {}).get("name") not in ASKING:
        raise ConfigError(
            f"{', '.join(wanted)} of a language model, and nothing in this run asks one",
            f"name a reranker that does: --rerank {' or --rerank '.join(ASKING)}",
        )


def tell_rerank(reranker: Reranker, count: Count) -> None:
    """Say what a reranker was asked, what it changed, and what its language model cost."""
    err.print(f"{reranker.label}: {count}", markup=False)
    usage = reranker.usage()
    if "language_model" in usage:
        now = usage["language_model"]
        err.print(
            f"language model: {usage['prompts']:,} prompts, {usage['cached']:,} of them answered before; paid now: "
            f"{now['requests']:,} requests, {now['tokens_in']:,} + {now['tokens_out']:,} tokens",
            markup=False,
        )


def split(names: str) -> list[str]:
    """Return the names of a list separated by commas."""
    return [name.strip() for name in names.split(",") if name.strip()]
