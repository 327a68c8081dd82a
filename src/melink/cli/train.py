"""``melink train``: fit a method on your mentions; validation decides, test data is never seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from melink.linker import Linker
    from melink.methods.confidence import Confidence


@verb
def train(
    method: Annotated[str, typer.Argument(help="Method to fit; see 'melink methods'.", show_default=False)],
    kb: options.KB,
    valid: Annotated[Path, typer.Option("--valid", help="Validation mentions with gold.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run directory to write.", show_default=False)],
    train: Annotated[
        Path | None, typer.Option("--train", help="Training mentions; the methods so far fit on validation alone.")
    ] = None,
    images: options.Images = None,
    generator: options.Generators = None,
    text_encoder: options.TextEncoder = None,
    image_encoder: options.ImageEncoder = None,
    encoder: options.DualEncoder = None,
    config: options.Config = None,
    set_: options.Set = None,
    json: options.Json = False,
    strict: options.Strict = False,
) -> None:
    """Fit weights, confidence and the NIL threshold; write a run directory that link and evaluate read.

    Examples:

        melink train zeroshot KB --valid valid.jsonl -o runs/zeroshot

        melink evaluate KB other.jsonl --model runs/zeroshot
    """
    from melink.datasets.mentions import read_mentions
    from melink.errors import Problems
    from melink.evaluate.protocol import file_hash
    from melink.kb.store import KnowledgeBase
    from melink.runs import write_run

    if train is not None:
        err.print(f"{method} has no tensors to train: {train} is not read, weights are fitted on {valid}")
    problems = Problems(strict=strict)
    store = KnowledgeBase.open(kb)
    samples = list(read_mentions(valid, images, problems))
    encoders = {"text_encoder": text_encoder, "image_encoder": image_encoder, "encoder": encoder}
    linker = options.make_linker(
        store, method, generators=generator, **encoders, config=config, overrides=set_, problems=problems
    )
    settings, metrics = fit(linker, samples)
    fitted_on = {"file": str(valid), "sha256": file_hash(valid)}
    run = linker.run.model_copy(update={"settings": settings, "metrics": metrics, "fitted_on": fitted_on})
    write_run(run, output, linker.method.paper)
    if json:
        write_json({"run": str(output), "settings": settings, "metrics": metrics})
    else:
        err.print("\n".join(f"{name}: {value}" for name, value in metrics.items()))
        err.print(f"wrote {output}")
    report(problems)


def fit(linker: Linker, samples: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit a linker's weights (where its method has any) and confidence; return settings and figures."""
    import numpy as np

    from melink.linker import assemble
    from melink.train.fit import collect, confidence, cross_validated, fit_weights, hits_at_1

    settings = linker.method.settings()
    weights: dict[str, float] = settings.get("weights", {"name": 1.0})
    if "weights" in settings:
        raw = {**settings, "weights": dict.fromkeys(weights, 1.0), "neutral": {}}
        linker = assemble(linker.run.model_copy(update={"settings": raw}), linker.kb)
    lists, lost = collect(linker, samples, list(weights))
    exists = np.any([own.exists.any(axis=0) for own in lists], axis=0) if lists else np.ones(len(weights), bool)
    start = np.asarray([value if seen else 0.0 for value, seen in zip(weights.values(), exists, strict=True)])
    neutral = np.zeros(len(weights))
    fitted, shifts, folds = start, neutral, hits_at_1(lists, start, neutral)
    before = folds
    if "weights" in settings:
        fitted, shifts = fit_weights(lists, start, neutral)
        folds = cross_validated(lists, start, neutral)
        settings["weights"] = {name: round(float(w), 5) for name, w in zip(weights, fitted, strict=True)}
        settings["neutral"] = {name: round(float(n), 5) for name, n in zip(weights, shifts, strict=True)}
    sure: Confidence = confidence(lists, fitted, shifts, linker.method.confidence)
    settings |= {"temperature": round(sure.temperature, 6), "nil": round(sure.nil, 6), "fitted": True}
    figures = {
        "validation mentions used": len(lists),
        "left out, gold not a candidate": lost,
        "hits@1 among candidates, before": round(before, 4),
        "hits@1 among candidates, fitted": round(hits_at_1(lists, fitted, shifts), 4),
        "hits@1 among candidates, 5-fold cross-validated": round(folds, 4),
    }
    return settings, figures
