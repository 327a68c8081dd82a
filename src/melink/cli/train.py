"""``melink train``: train a method, or fit one that has no tensors, and write a run directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melink import progress
from melink.cli import options
from melink.cli.common import INTERRUPTED, err, report, verb, write_json

if TYPE_CHECKING:
    from melink.errors import Problems
    from melink.kb.store import KnowledgeBase
    from melink.records import Labelled
    from melink.runs import Run


@verb
def train(
    method: Annotated[str, typer.Argument(help="Method; see 'melink methods'.", show_default=False)],
    kb: options.KB,
    valid: Annotated[Path, typer.Option("--valid", help="Validation mentions with gold.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run directory to write.", show_default=False)],
    train: Annotated[
        Path | None, typer.Option("--train", help="Training mentions with gold; not needed by names and zeroshot.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Of everything that is drawn; as train.seed.")] = None,
    cpu: options.Cpu = False,
    images: options.Images = None,
    generator: options.Generators = None,
    text_encoder: options.TextEncoder = None,
    image_encoder: options.ImageEncoder = None,
    encoder: options.DualEncoder = None,
    entity_text: options.EntityText = None,
    given: options.Given = None,
    config: options.Config = None,
    set_: options.Set = None,
    json: options.Json = False,
    strict: options.Strict = False,
) -> None:
    """Train a method; write a run directory that link and evaluate read.

    Weights are chosen, and confidence and the NIL threshold fitted, on the validation mentions alone. Ctrl-C saves;
    the same command with --resume goes on. Several devices: torchrun --nproc-per-node N -m melink train ...

    Examples:

        melink train biencoder KB --train train.jsonl --valid valid.jsonl -o runs/biencoder

        melink train biencoder KB --train train.jsonl --valid valid.jsonl -o runs/biencoder --resume

        melink train biencoder KB --train train.jsonl --valid valid.jsonl -o runs/frozen --set settings.tune=0

        melink train biencoder KB --train train.jsonl --valid valid.jsonl -o runs/short --set train.epochs=1

        melink train zeroshot KB --valid valid.jsonl -o runs/zeroshot

        melink train fissfuse KB --train train.jsonl --valid valid.jsonl -o run --generator given --given lists.jsonl
    """
    from melink.datasets.mentions import read_mentions
    from melink.errors import Problems
    from melink.kb.store import KnowledgeBase

    if not _is_first():
        progress.enable(False)
    problems = Problems(strict=strict)
    store = KnowledgeBase.open(kb)
    encoders = (text_encoder, image_encoder, encoder)
    run = options.resolve(method, generator, *encoders, config, set_, untrained=True, entity_text=entity_text)
    plan = {**(run.train or {}), **({} if seed is None else {"seed": seed})}
    if given is not None:
        drawn = {"generators": ["given"]} if "given" in run.generators else {}
        plan["negatives"] = {**drawn, **plan.get("negatives", {}), "given": str(given)}
    run = run.model_copy(update={"train": plan or None})
    samples = list(read_mentions(valid, images, problems))
    if _has_tensors(run):
        made = _train(run, store, train, valid, samples, images, output, resume, cpu, problems)
    else:
        made = _fit(run, store, train, valid, samples, output, given, problems)
    if not _is_first():
        return
    if json:
        write_json({"run": str(output), "settings": made.settings, "metrics": made.metrics})
    else:
        err.print("\n".join(f"{name}: {value}" for name, value in (made.metrics or {}).items()))
        err.print(f"wrote {output}")
    report(problems)


def _is_first() -> bool:
    """Return whether this is the process that talks; torchrun starts several."""
    return os.environ.get("RANK", "0") == "0"


def _has_tensors(run: Run) -> bool:
    from melink import registry

    return bool(registry.load("method", run.method).trains)


def _train(
    run: Run,
    store: KnowledgeBase,
    train: Path | None,
    valid: Path,
    samples: list[Labelled],
    images: Path | None,
    output: Path,
    resume: bool,
    cpu: bool,
    problems: Problems,
) -> Run:
    from melink.datasets.mentions import read_mentions
    from melink.errors import InputError
    from melink.evaluate.protocol import file_hash
    from melink.train.run import train_run

    if train is None:
        raise InputError(f"{run.method} learns from training mentions", "pass them with --train F.jsonl")
    fitted_on = {
        "train": str(train),
        "train sha256": file_hash(train),
        "file": str(valid),
        "sha256": file_hash(valid),
    }
    run = run.model_copy(update={"fitted_on": fitted_on})
    own = list(read_mentions(train, images, problems))
    try:
        return train_run(run, store, own, samples, output, resume, cpu, problems)
    except KeyboardInterrupt:
        if not (output / "checkpoint").is_dir():
            raise  # nothing was begun: the same command begins again
        if _is_first():
            err.print(f"stopped; the same command with --resume goes on from {output}/checkpoint")
        raise typer.Exit(INTERRUPTED) from None


def _fit(
    run: Run,
    store: KnowledgeBase,
    train: Path | None,
    valid: Path,
    samples: list[Labelled],
    output: Path,
    given: Path | None,
    problems: Problems,
) -> Run:
    from melink.datasets.files import replacing
    from melink.evaluate.protocol import file_hash
    from melink.linker import assemble
    from melink.runs import write_run
    from melink.train.fit import fit

    if train is not None:
        err.print(f"{run.method} has no tensors to train: {train} is not read, weights are fitted on {valid}")
    linker = assemble(run, store, given, problems)
    found = fit(linker, samples)
    fitted_on = {"file": str(valid), "sha256": file_hash(valid)}
    made = linker.run.model_copy(update={"settings": found.settings, "metrics": found.metrics, "fitted_on": fitted_on})
    write_run(made, output, linker.method.paper)
    if found.reliability:
        with replacing(output / "reliability.svg") as out:
            out.write(found.reliability.encode())
    return made
