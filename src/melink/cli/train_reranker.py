"""``melink train-reranker``: train a cross-encoder for a retriever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink import progress
from melink.cli import options
from melink.cli.common import INTERRUPTED, err, report, verb, write_json

if TYPE_CHECKING:
    from melink.errors import Problems
    from melink.kb.store import KnowledgeBase
    from melink.linker import Linker
    from melink.train.reranker import Recipe


@verb
def train_reranker(
    kb: options.KB,
    run: Annotated[str, typer.Option("--run", help="The retriever: run directory, or 'names' or 'zeroshot'.")],
    valid: Annotated[Path, typer.Option("--valid", help="Validation mentions with gold.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
    train: Annotated[
        list[Path] | None,
        typer.Option("--train", help="Training mentions (repeatable); gold, or a teacher's choice."),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option("--network", help="Train nothing: fit the last word of this trained cross-encoder for --run."),
    ] = None,
    lists: Annotated[
        str | None,
        typer.Option("--lists", help="Retriever of the training lists, such as zeroshot; --run by default."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option("--teacher", help="Links that another reranker chose ('link --rerank … -o F'), to learn from."),
    ] = None,
    candidates: Annotated[
        str | None, typer.Option("--candidates", help="'full' lists the best of the whole knowledge base.")
    ] = None,
    given: options.Given = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="minilm, a Hugging Face name or path, or 'none' for figures alone.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Of everything that is drawn; as train.seed.")] = None,
    cpu: options.Cpu = False,
    images: options.Images = None,
    config: options.Config = None,
    set_: options.Set = None,
    json: options.Json = False,
    strict: options.Strict = False,
) -> None:
    """Train a cross-encoder: it reads a mention and each of a retriever's first candidates together.

    Nothing but the validation mentions decides which weights are kept and how much its reading counts beside the
    retriever's scores. Ctrl-C saves; the same command with --resume goes on.

    Examples:

        melink train-reranker KB --run RUN --train train.jsonl --valid valid.jsonl -o one

        melink link KB posts.jsonl --model RUN --rerank cross-encoder:one -o links.jsonl

        melink train-reranker KB --run RUN --train train.jsonl --valid valid.jsonl -o one --lists zeroshot

        melink train-reranker KB --run RUN --train train.jsonl --valid valid.jsonl -o one --encoder none

        melink train-reranker KB --run RUN --train train.jsonl --valid valid.jsonl -o one --set settings.tune=3

        melink train-reranker KB --run RUN --train posts.jsonl --teacher chosen.jsonl --valid valid.jsonl -o taught

        melink train-reranker KB --run ANOTHER --valid valid.jsonl -o two --network one
    """
    from melink.datasets.mentions import read_mentions
    from melink.errors import Problems
    from melink.evaluate.protocol import file_hash
    from melink.kb.store import KnowledgeBase
    from melink.train.cross_lists import is_first, read_teacher
    from melink.train.cross_refit import refit
    from melink.train.reranker import train_reranker as work

    if not is_first():
        progress.enable(False)
    asked = {"--lists": lists, "--teacher": teacher, "--encoder": encoder, "--resume": resume, "--seed": seed}
    train = _training(train, network, asked)
    if network is not None and not is_first():
        return  # nothing to train: one process is enough
    problems, store = Problems(strict=strict), KnowledgeBase.open(kb)
    recipe = _recipe(candidates, encoder, seed, config, set_, network)
    linker = _retriever(run, store, given, problems)
    lister = _retriever(lists, store, given, problems) if lists is not None else linker
    files = {f"train {at}" if len(train) > 1 else "train": file for at, file in enumerate(train, start=1)}
    samples = [sample for file in train for sample in read_mentions(file, images, problems)]
    judged = list(read_mentions(valid, images, problems))
    taught = None if teacher is None else read_teacher(teacher, problems)
    hashes = {f"{what} sha256": file_hash(file) for what, file in files.items()}
    if is_first() and (lister.run.fitted_on or {}).get("train sha256") in hashes.values():
        err.print(
            "the lists' retriever was trained on these mentions; --lists zeroshot gives harder lists", style="dim"
        )
    fitted_on = {**{what: str(file) for what, file in files.items()}, **hashes}
    fitted_on |= {"file": str(valid), "sha256": file_hash(valid)}
    try:
        if network is not None:
            saved = refit(linker, judged, output, network, recipe, fitted_on)
        else:
            saved = work(linker, (samples, judged), output, recipe, lister, taught, fitted_on, resume, cpu)
    except KeyboardInterrupt:
        if not (output / "checkpoint").is_dir():
            raise  # nothing was begun: the same command begins again
        if is_first():
            err.print(f"stopped; the same command with --resume goes on from {output}/checkpoint")
        raise typer.Exit(INTERRUPTED) from None
    if not is_first():
        return
    if json:
        write_json({"reranker": str(output), "blend": saved.blend.weights, "metrics": saved.metrics})
    else:
        err.print("\n".join(f"{name}: {value}" for name, value in saved.metrics.items() if name != "history"))
        err.print(f"wrote {output}; use it with --rerank cross-encoder:{output}")
    report(problems)


def _training(train: list[Path] | None, network: Path | None, asked: dict[str, Any]) -> list[Path]:
    """Return the training files; none where a network is there already, and then nothing that speaks of training."""
    from melink.errors import ConfigError

    if network is None and not train:
        raise ConfigError("nothing to train on", "name training mentions with --train, or a trained --network")
    given = {"--train": train or None, **asked}
    idle = [name for name, value in given.items() if value is not None and value is not False]  # 0 is a seed
    if network is not None and idle:
        raise ConfigError(f"--network trains nothing, and {', '.join(idle)} speaks of training", "leave one out")
    return train or []


def _recipe(
    candidates: str | None,
    encoder: str | None,
    seed: int | None,
    config: Path | None,
    overrides: list[str] | None,
    network: Path | None,
) -> Recipe:
    from melink.config import load_over
    from melink.errors import ConfigError, InputError
    from melink.rerank.cross_encoder import read_saved
    from melink.train.reranker import Recipe

    if candidates not in (None, "full"):
        raise InputError(f"--candidates {candidates!r}", "write 'full', or leave it out")
    given: dict[str, Any] = {
        **({"candidates": "full"} if candidates else {}),
        **({"settings": {"encoder": None if encoder == "none" else encoder}} if encoder else {}),
        **({} if seed is None else {"train": {"seed": seed}}),
    }
    if network is None:
        return load_over(Recipe(), config, given, overrides or ())
    saved = read_saved(network)
    before = Recipe.model_validate({"settings": saved.settings, "scope": saved.scope})
    recipe = load_over(before, config, given, overrides or ())
    if recipe.model_copy(update={"scope": before.scope, "candidates": before.candidates}) != before:
        raise ConfigError("--network trains nothing: all but scope.… and candidates is settled", "leave it out")
    return recipe


def _retriever(name: str, store: KnowledgeBase, given: Path | None, problems: Problems) -> Linker:
    from melink.linker import assemble
    from melink.runs import read_run

    return assemble(read_run(name).model_copy(update={"rerank": None}), store, given, problems)
