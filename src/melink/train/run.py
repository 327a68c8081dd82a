"""From a run and two splits to a run directory: train, choose by validation, calibrate, write what was done.

RUN/config.json          resolved run: method, settings, plan, hashes of the data, figures
RUN/README.md            model card
RUN/model.safetensors    the method's tensors          RUN/encoder/   its tuned encoder, if any
RUN/epochs.csv           a row per validation          RUN/steps.csv  a row per step
RUN/leaks.json           what validation shares with training
RUN/reliability.svg      how far confidence can be believed
RUN/checkpoint/          for --resume
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from melink import registry
from melink.candidates.load import CHEAP, load_generators
from melink.datasets.files import replacing
from melink.datasets.leaks import leak_report
from melink.errors import Problems
from melink.kb.disk import write_json
from melink.kb.store import KnowledgeBase
from melink.linker import assemble, context_of
from melink.records import Labelled
from melink.runs import Run, read_run, write_run
from melink.train.course import Course
from melink.train.fit import fit
from melink.train.loop import Trained, refuse_leftovers
from melink.train.loop import train as train_loop
from melink.train.plan import Plan


def train_run(
    run: Run,
    kb: KnowledgeBase,
    train: Sequence[Labelled],
    valid: Sequence[Labelled],
    folder: Path,
    resume: bool = False,
    cpu: bool = False,
    problems: Problems | None = None,
) -> Run:
    """Train a method that has tensors and write its run directory.

    Args:
        run: What to train; ``run.train`` is the plan.
        kb: Over which knowledge base.
        train: Training mentions with gold.
        valid: Validation mentions with gold: checkpoints, early stopping, confidence and NIL depend on them.
        folder: Run directory.
        resume: Go on from its checkpoint.
        cpu: Leave an accelerator alone.
        problems: Receives pictures that cannot be read.

    Returns:
        The run as written.

    Raises:
        ConfigError: A plan or settings that cannot be used; a folder that holds another training.
        InputError: No mention to train on.
        Interrupted: Ctrl-C; ``resume`` goes on.
    """
    refuse_leftovers(folder, resume)
    plan = Plan.of(run)
    began = time.perf_counter()
    # trained on from another run: its encoders lie there
    named = {key: getattr(run, key) for key in ("text_encoder", "image_encoder", "encoder")}
    run = run.model_copy(update={key: run.located(name) for key, name in named.items() if name is not None})
    context = context_of(run, kb, problems)
    kb = context.kb
    torch.manual_seed(plan.seed)  # before the method draws its first weights
    method = registry.load("method", run.method).build(context, run.settings)
    method.start_training()
    wanted, lists = plan.negatives.generators, plan.negatives.given
    pooled = load_generators(wanted, kb, context.store, context.text, given=lists) if wanted else []
    judges = load_generators(run.generators if "given" in run.generators else CHEAP, kb, context.store, given=lists)
    course = Course(method, kb, pooled, judges, train, valid, plan)
    found = train_loop(method, course, plan, folder, resume, cpu)
    if not found.main:
        return run
    leaks = leak_report(train, valid).to_dict()
    write_json(folder / "leaks.json", leaks)
    _epochs(found.history, folder)
    made = run.model_copy(
        update={
            **method.save(folder),
            "settings": method.settings(),
            "train": plan.model_dump(mode="json"),
            "kb": str(kb.path),
            "kb_hash": kb.content_hash(),
            "metrics": _figures(found, course, leaks, time.perf_counter() - began),
        }
    )
    write_run(made, folder, method.paper)
    return finish(folder, kb, valid, problems, method.paper, lists)


def finish(
    folder: Path,
    kb: KnowledgeBase,
    valid: Sequence[Labelled],
    problems: Problems | None,
    paper: str,
    given: str | Path | None = None,
) -> Run:
    """Fit weights of parts, confidence and NIL of the run as it is read back, and write it again.

    Args:
        folder: Of the run.
        kb: Over which knowledge base.
        valid: Validation mentions with gold.
        problems: Receives pictures that cannot be read.
        paper: For the model card.
        given: File of lists, for a run whose candidates are ``given``.
    """
    began = time.perf_counter()
    linker = assemble(read_run(folder), kb, given, problems)
    linker.method.warm(kb.view())
    encoded = time.perf_counter() - began
    found = fit(linker, valid)
    seconds = {
        "seconds encoding the knowledge base": round(encoded, 1),
        "seconds of fitting": round(time.perf_counter() - began - encoded, 1),
    }
    metrics = {**(linker.run.metrics or {}), **seconds, **found.metrics}
    run = linker.run.model_copy(update={"settings": found.settings, "metrics": metrics})
    write_run(run, folder, paper)
    if found.reliability:
        with replacing(folder / "reliability.svg") as out:
            out.write(found.reliability.encode())
    return run


def _figures(found: Trained, course: Course, leaks: dict[str, Any], seconds: float) -> dict[str, Any]:
    best = found.best
    return {
        "training mentions": len(course.pools.gold),
        **{f"left out of training, {why}": n for why, n in sorted(course.left_out.items())},
        "steps": found.steps,
        "best epoch": best["epoch"] + 1,
        "validation MRR among candidates": round(best["mrr"], 4),
        "validation Hits@1 among candidates": round(best["hits@1"], 4),
        "validation mentions that share anything with training": leaks["shared_any"],
        "validation mentions": leaks["mentions"],
        "seconds of training": round(seconds, 1),
    }


def _epochs(history: Sequence[dict[str, Any]], folder: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    with replacing(folder / "epochs.csv") as out:
        out.write(text.getvalue().encode())
