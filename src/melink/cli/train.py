"""``melink train``: fit a method on your mentions; validation decides, test data is never seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json


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
    from melink.linker import assemble
    from melink.runs import write_run
    from melink.train.fit import fit

    if train is not None:
        err.print(f"{method} has no tensors to train: {train} is not read, weights are fitted on {valid}")
    problems = Problems(strict=strict)
    store = KnowledgeBase.open(kb)
    samples = list(read_mentions(valid, images, problems))
    run = options.resolve(method, generator, text_encoder, image_encoder, encoder, config, set_)
    linker = assemble(run, store, problems=problems)
    found = fit(linker, samples)
    made = {"settings": found.settings, "metrics": found.metrics}
    fitted_on = {"file": str(valid), "sha256": file_hash(valid)}
    write_run(linker.run.model_copy(update={**made, "fitted_on": fitted_on}), output, linker.method.paper)
    if json:
        write_json({"run": str(output), **made})
    else:
        err.print("\n".join(f"{name}: {value}" for name, value in found.metrics.items()))
        err.print(f"wrote {output}")
    report(problems)
