"""Trains a method on growing shares of its training mentions, and evaluates each training on validation.

DIR/share-005-seed0/      run directory, with point.json (how far it is) and result.json (as ``evaluate --json``)
DIR/reference-zeroshot/   the same of a system that is not trained

A point that is finished is not done again; a training that was interrupted goes on from its checkpoint. When only the
way of judging changed, what was trained is evaluated again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from melink import registry
from melink.datasets.files import load_json
from melink.errors import ConfigError, InputError, Problems
from melink.evaluate.curves import Curve, Point, times_seen
from melink.evaluate.protocol import file_hash
from melink.evaluate.result import build_result
from melink.evaluate.run import Ranked, outcomes, rank_candidates, rank_full
from melink.evaluate.slices import Slice
from melink.evaluate.stated import stated
from melink.kb.disk import read_json, storing, write_json
from melink.kb.store import KnowledgeBase
from melink.linker import Linker, assemble
from melink.records import Labelled
from melink.runs import Run, read_run
from melink.train.plan import Plan
from melink.train.run import train_run
from melink.train.shares import By, Share, draw, linkable

REFERENCES: Final = ("zeroshot", "names")
"""Systems that need no training mentions."""
STAMP, RESULT = "point.json", "result.json"


@dataclass(frozen=True)
class Study:
    """What a curve is drawn of, and how its points are judged.

    Attributes:
        run: What is trained; the seed of its plan is replaced by each point's.
        kb: Over which knowledge base.
        train: Training mentions.
        valid: Validation mentions: checkpoints are chosen, and points judged, by them.
        train_file: Where the training mentions come from.
        valid_file: Likewise.
        folder: Where everything is written.
        by: What shares are made of.
        candidates: ``full``, or how many candidates each mention is ranked among.
        equal_steps: Train smaller shares for as many more epochs, without stopping early, so that every point makes
            about as many steps; the checkpoint is still chosen by validation.
        slices: Slices of validation mentions.
        cpu: Leave an accelerator alone.
        problems: Receives pictures that cannot be read.
    """

    run: Run
    kb: KnowledgeBase
    train: Sequence[Labelled]
    valid: Sequence[Labelled]
    train_file: Path
    valid_file: Path
    folder: Path
    by: By = "sentence"
    candidates: str | int = "full"
    equal_steps: bool = False
    slices: Mapping[str, Slice] = field(default_factory=dict)
    cpu: bool = False
    problems: Problems = field(default_factory=Problems)


@dataclass(frozen=True)
class Exam:
    """What is evaluated, and what its result says of it.

    Attributes:
        run: What is evaluated.
        name: Its run directory or method.
        seed: That it was trained with.
        leaks: What the split shares with its training.
        golds: Gold ids of its training mentions; None when it saw none.
        classes: Validation mentions by how often gold is among them.
    """

    run: Run
    name: str
    seed: int = 0
    leaks: str | Mapping[str, Any] = "not trained"
    golds: frozenset[str] | None = None
    classes: Mapping[str, Slice] = field(default_factory=dict)


def refuse_untrained(method: str) -> None:
    """Return when a method learns from training mentions.

    Raises:
        NotFound: No such method.
        ConfigError: It learns nothing from them.
    """
    if not registry.load("method", method).trains:
        how = "fits its few weights on validation mentions alone" if method == "zeroshot" else "has nothing to train"
        raise ConfigError(
            f"{method} needs no training mentions, so there is no curve to draw: it {how}",
            f"evaluate it with: melink evaluate KB F --model {method}; it is a reference in the curves of others",
        )


def draw_curve(
    study: Study,
    shares: Sequence[float],
    seeds: Sequence[int],
    references: Sequence[str] = REFERENCES,
    tell: Callable[[str], None] = lambda words: None,
    keep: Callable[[Curve], None] = lambda curve: None,
) -> Curve:
    """Do every point that is not done yet.

    Args:
        study: What is trained and how it is judged.
        shares: Per cent of the training mentions.
        seeds: One training of each share for each.
        references: Methods that are evaluated as they are.
        tell: Receives what happens, for a person.
        keep: Receives the curve so far after each point.

    Raises:
        ConfigError: A method that is not trained; a folder that holds points of another curve.
        InputError: No shares or seeds; no mention with gold in the knowledge base.
        Interrupted: Ctrl-C; the same call goes on.
    """
    refuse_untrained(study.run.method)
    if not shares or not seeds:
        raise InputError("no share or no seed", "give at least one of each")
    usable = linkable(study.train, study.kb.view())
    wanted = [(share, seed) for seed in dict.fromkeys(seeds) for share in sorted(set(shares))]
    drawn = {own: draw(usable, *own, study.by) for own in wanted}  # refuse before any work
    base = _identity(study)
    judged = {name: reference(study, name, tell) for name in references}
    points: list[Point] = []
    for place, (share, seed) in enumerate(wanted, start=1):
        own = drawn[share, seed]
        words = f"point {place} of {len(wanted)}: {share:g}% ({len(own.samples):,} mentions), seed {seed}"
        points.append(point(study, base, share, seed, own, lambda say, words=words: tell(f"{words}: {say}")))  # type: ignore[misc]
        slices, done = tuple(study.slices), tuple(points)
        curve = Curve(study.run.method, study.by, slices, done, judged, len(wanted), study.equal_steps)
        keep(curve)
    return curve


def point(study: Study, base: Any, share: float, seed: int, drawn: Share, tell: Callable[[str], None]) -> Point:
    """Train on one share and evaluate, as far as that is not done yet."""
    folder = study.folder / f"share-{share:03g}-seed{seed}"
    stamp = _begun(folder, _hash([base, share, seed]))
    fits = {"share": share, "seed": seed, "mentions": len(drawn.samples), "sentences": drawn.sentences}
    if not stamp["trained"]:
        tell("training")
        _train(study, folder, share, seed, drawn)
        stamp = _stamp(folder, {**stamp, **fits, "trained": True})
    golds = frozenset(sample.gold for sample in drawn.samples if sample.gold is not None)
    leaks = load_json(folder / "leaks.json", dict)
    told = {"fitted on this split": True, "mentions": leaks["mentions"], "shared_any": leaks["shared_any"]}
    told |= leaks["shared_with_train"]
    exam = Exam(read_run(folder), str(folder), seed, told, golds, times_seen(study.valid, drawn.samples))
    found = _judged(study, folder, stamp, exam, tell)
    return Point(share, seed, len(drawn.samples), drawn.sentences, found, f"{folder.name}/{RESULT}")


def reference(study: Study, name: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Evaluate a method that is not trained, with the encoders and candidates of the run; once."""
    names = ("text_encoder", "image_encoder", "encoder", "generators", "k")
    run = read_run(name).model_copy(update={key: getattr(study.run, key) for key in names})
    folder = study.folder / f"reference-{name}"
    stamp = _begun(folder, _hash(run.model_dump(mode="json", exclude={"melink"})))
    return _judged(study, folder, stamp, Exam(run, name), lambda say: tell(f"{name}: {say}"))


def _train(study: Study, folder: Path, share: float, seed: int, drawn: Share) -> None:
    fitted_on = {
        "train": f"{study.train_file}, {len(drawn.samples)} mentions",
        "train sha256": file_hash(study.train_file),
        "file": str(study.valid_file),
        "sha256": file_hash(study.valid_file),
    }
    plan = {**(study.run.train or {}), "seed": seed}
    if study.equal_steps:
        base = Plan.of(study.run)
        epochs = max(1, round(base.epochs * 100 / share))
        plan |= {"epochs": epochs, "patience": epochs * base.validations}
    run = study.run.model_copy(update={"train": plan, "fitted_on": fitted_on})
    train_run(run, study.kb, drawn.samples, study.valid, folder, resume=True, cpu=study.cpu, problems=study.problems)


def _judged(
    study: Study, folder: Path, stamp: dict[str, Any], exam: Exam, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Return the result of a folder, made now unless it is there."""
    slices = {name: sorted(part.ids) for name, part in study.slices.items()}
    pictures = sum(sample.mention.image is not None for sample in study.valid)
    key = _hash([study.candidates, slices, study.kb.content_hash(), file_hash(study.valid_file), pictures])
    there = read_json(folder / RESULT) if stamp["evaluated"] == key else None
    if isinstance(there, dict):
        tell(f"done before, Hits@1 {there['overall']['hits@1']:.4f}")
        return there
    tell("evaluating")
    began = time.perf_counter()
    given = (exam.run.train or {}).get("negatives", {}).get("given")
    linker = assemble(exam.run, study.kb, given, study.problems)
    found = outcomes(linker, study.valid, _ranked(linker, study))
    protocol = stated(linker, study.valid_file, study.candidates, exam.name, exam.leaks, (exam.seed,))
    timing = {"seconds": round(time.perf_counter() - began, 3)}
    result = build_result(found, protocol, {**exam.classes, **study.slices}, timing, 0, exam.golds)
    write_json(folder / RESULT, result)
    _stamp(folder, {**stamp, "evaluated": key})
    tell(f"Hits@1 {result['overall']['hits@1']:.4f}")
    return result


def _ranked(linker: Linker, study: Study) -> Ranked:
    if study.candidates == "full":
        return rank_full(linker, study.valid)
    return rank_candidates(linker, study.valid, int(study.candidates))


def _identity(study: Study) -> dict[str, Any]:
    """Return what must be the same for a point to be the same, but for share and seed.

    Raises:
        ConfigError: A plan that cannot be used, or one that says a seed.
    """
    if "seed" in (study.run.train or {}):
        raise ConfigError("train.seed is set, but each point has a seed of its own", "leave it out; say --seeds")
    plan = Plan.of(study.run).model_dump(mode="json", exclude={"seed"})
    keys = {"method", "settings", "text_encoder", "image_encoder", "encoder", "generators", "k"}
    pictures = sum(sample.mention.image is not None for sample in (*study.train, *study.valid))
    return {
        "run": study.run.model_dump(mode="json", include=keys),
        "plan": plan,
        "by": study.by,
        "data": [file_hash(study.train_file), file_hash(study.valid_file), pictures],
        "kb": study.kb.content_hash(),
        "equal_steps": study.equal_steps,
    }


def _begun(folder: Path, key: str) -> dict[str, Any]:
    """Return how far a point is, and begin it when it is new.

    Raises:
        ConfigError: The folder holds a point of another curve.
    """
    there = read_json(folder / STAMP)
    if not isinstance(there, dict):
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is in the way: it holds something else", "choose another -o, or remove it")
        return _stamp(folder, {"key": key, "trained": False, "evaluated": None})
    if there.get("key") != key:
        raise ConfigError(
            f"{folder} holds a point of another curve: other settings, plan, data or knowledge base",
            "go on with the command it was begun with, or choose another -o, or remove the folder",
        )
    return there


def _stamp(folder: Path, stamp: dict[str, Any]) -> dict[str, Any]:
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STAMP, stamp)
    return stamp


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
