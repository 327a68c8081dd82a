"""From a retriever and two splits to a trained cross-encoder: lists, lessons, training, the last word, a folder.

FOLDER/reranker.json, encoder/, model.safetensors    as melink.rerank.cross_encoder reads them
FOLDER/README.md     card          FOLDER/steps.csv    a row per step
FOLDER/leaks.json    what validation shares with training
FOLDER/lists/        what the retriever found: other seeds and ``--resume`` need not ask it again
FOLDER/checkpoint/   for ``--resume``

The network sees figures that no training on these mentions has touched. The retriever's scores, which may have been
trained on them, enter only through the blend, which is fitted on validation: nobody learns to trust what is too good.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import torch
from pydantic import Field

from melink import progress
from melink.config import Config, parse
from melink.datasets.files import replacing
from melink.datasets.leaks import leak_report
from melink.errors import InputError
from melink.kb.disk import write_json
from melink.kb.store import KnowledgeBase
from melink.linker import Linker, states
from melink.methods.tensors import FILE, write_tensors
from melink.records import NIL, Entity, Labelled, Link, Scored
from melink.rerank.base import Case, Scope
from melink.rerank.cross_blend import Blend, choose, table
from melink.rerank.cross_encoder import NAME, CrossEncoder, Reader, Saved
from melink.rerank.cross_model import CrossNet, CrossSettings
from melink.rerank.cross_text import read_entity
from melink.train.answers import numbered, sentence
from melink.train.cross_head import fit_head
from melink.train.cross_lessons import Lesson, Lessons
from melink.train.cross_lists import Shares, in_turn, is_first, retrieved, seen
from melink.train.loop import Trained, refuse_leftovers, train
from melink.train.plan import Plan

PLAN: Final[dict[str, Any]] = {
    **{"epochs": 2, "batch": 16, "lr": 1e-4, "head_lr": 1e-3, "validations": 2, "patience": 3},
    **{"valid_mentions": 300, "checkpoint_every": 25},
}
"""What differs from the trainer's defaults."""


class Recipe(Config):
    """How a cross-encoder is trained.

    Attributes:
        settings: What is read, and by what.
        scope: Whom it will look at; validation lists outside of it stay as the retrieval ranks them.
        candidates: Where lists come from: the retriever's ``generators``, or the ``full`` knowledge base.
        negatives: Rivals in each list while it is trained.
        unsure: Training mentions are easy when the first candidate is gold and has at least this probability.
        easy: Share of the easy ones that an epoch meets.
        teacher: Share that a teacher's choice has in the target, where gold is known, too.
        train: What differs from :data:`PLAN`, for :class:`melink.train.plan.Plan`.
    """

    settings: CrossSettings = CrossSettings()
    scope: Scope = Scope(k=16, probability=0.98)
    candidates: Literal["generators", "full"] = "generators"
    negatives: int = Field(default=4, ge=1)
    unsure: float = Field(default=0.95, ge=0, le=1)
    easy: float = Field(default=0.05, ge=0, le=1)
    teacher: float = Field(default=0.5, ge=0, le=1)
    train: dict[str, Any] = Field(default_factory=dict)

    def plan(self) -> Plan:
        """Return the trainer's plan.

        Raises:
            ConfigError: It cannot be used.
        """
        return parse(Plan, {**PLAN, **self.train}, "train")


def train_reranker(
    linker: Linker,
    samples: tuple[Sequence[Labelled], Sequence[Labelled]],
    folder: Path,
    recipe: Recipe,
    lister: Linker | None = None,
    teacher: Mapping[str, Shares] | None = None,
    fitted_on: Mapping[str, str] | None = None,
    resume: bool = False,
    cpu: bool = False,
    lists: Path | None = None,
) -> Saved:
    """Train a cross-encoder for a retriever and write its folder.

    Of several processes (torchrun) all train, and the first alone retrieves, fits the last word and writes.

    Args:
        linker: The retriever that it will look again for; without a reranker.
        samples: Training and validation mentions. Nothing is chosen or fitted on others.
        folder: Where to write.
        recipe: How.
        lister: Retriever of the training lists; ``linker`` when None.
        teacher: Mention id → share of each entity (:func:`~melink.train.cross_lists.read_teacher`).
        fitted_on: What the folder says about the files.
        resume: Go on from its checkpoint.
        cpu: Leave an accelerator alone.
        lists: Where retrieved lists are kept; in the folder when None.

    Returns:
        What was written; in the other ones of several processes the settings alone.

    Raises:
        ConfigError: A recipe that cannot be used; a folder that holds another training.
        InputError: Nothing to train on or to validate with; one file for both; a teacher who teaches nobody.
        Interrupted: Ctrl-C; ``resume`` goes on.
    """
    refuse_leftovers(folder, resume)
    _refuse_both(fitted_on or {})
    if recipe.settings.encoder is None and not is_first():
        return Saved(settings=recipe.settings)  # figures are fitted by one process
    plan, began = recipe.plan(), time.perf_counter()
    torch.manual_seed(plan.seed)
    kept, k = lists or folder / "lists", recipe.scope.k
    samples = samples[0], [sample for sample in samples[1] if linker.kb.view().row(sample.gold or "") is not None]
    with in_turn(cpu) if recipe.settings.encoder is not None else nullcontext():
        found = [
            retrieved(source, own, k, recipe.candidates == "full", kept)
            for source, own in zip((lister or linker, linker), samples, strict=True)
        ]
    parts = sorted({part for link in found[1] for candidate in link.candidates for part in candidate.parts})
    net = CrossNet(recipe.settings)
    net.unfreeze()
    school = School(linker.kb, Reader(net, linker.kb, parts), recipe, teacher)
    lessons, left_out = school.lessons(samples[0], found[0])
    judged = school.judged(samples[1], found[1])
    fit_head(net.heads.own, lessons, plan.seed)
    sharp = 1 / linker.method.confidence.temperature
    asked = [lesson for lesson, own in zip(judged, found[1], strict=True) if recipe.scope.passed_over(own) is None]
    some = np.random.default_rng([plan.seed, 977]).permutation(len(asked))[: plan.valid_mentions or None]
    key = _key(recipe, [found[0], found[1]], samples, teacher or {})
    done = None
    if net.reads:
        course = Lessons(
            school.reader, lessons, [asked[at] for at in sorted(some)], plan, recipe.negatives, recipe.easy, sharp, key
        )
        done = train(cast(Any, course), cast(Any, course), plan, folder, resume, cpu)  # both shapes in one object
        if not done.main:
            return Saved(settings=recipe.settings)
    saved = school.closed(judged, found[1], sharp)
    if "reading" not in saved.blend.weights:
        net = net.without_reading()
    leaks = leak_report(*samples).to_dict()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "leaks.json", leaks)
    figures = {
        **_figures(done, lessons, left_out, time.perf_counter() - began),
        **school.taught(samples[0], found[0], lessons),
        "validation mentions that share anything with training": leaks["shared_any"],
    }
    saved = saved.model_copy(
        update={
            "settings": net.settings,
            "retriever": states(linker),
            "fitted_on": dict(fitted_on or {}),
            "metrics": {**figures, **saved.metrics},
        }
    )
    return write(net, saved, folder)


class School:
    """Makes lessons of lists, and the last word of what was learnt.

    Args:
        kb: The knowledge base of the candidates.
        reader: Reads with the network as it is.
        recipe: How.
        teacher: Mention id → share of each entity; None without a teacher.
    """

    def __init__(
        self, kb: KnowledgeBase, reader: Reader, recipe: Recipe, teacher: Mapping[str, Shares] | None = None
    ) -> None:
        self.reader, self._kb, self._recipe, self._teacher = reader, kb, recipe, teacher
        self._entities: dict[str, Entity] = {}

    def lessons(self, samples: Sequence[Labelled], links: Sequence[Link]) -> tuple[list[Lesson], Counter[str]]:
        """Return what can be learnt from, and why the rest can't.

        Raises:
            InputError: Nothing can, or nothing from the teacher.
        """
        found, left_out = [], Counter[str]()
        view = self._kb.view()
        with progress.task("preparing lessons", len(samples), "mentions") as advance:
            for sample, link in zip(samples, links, strict=True):
                advance(1)
                ids = [candidate.id for candidate in link.candidates]
                target, taught = self._target(sample, ids)
                if not target.any():
                    left_out[_why(sample, view.row(sample.gold or "") is not None, link, self._recipe.scope.k)] += 1
                elif len(ids) < 2:
                    left_out["only one candidate"] += 1
                else:
                    lesson = self._lesson(link, target, ids.index(sample.gold) if sample.gold in ids else -1)
                    found.append(replace(lesson, taught=taught))
        if self._teacher is not None and not any(lesson.taught for lesson in found):
            named = sum(sample.mention.id in self._teacher for sample in samples)
            listed = named - self._unlisted(samples, links)
            raise InputError(
                f"the teacher taught nobody: it speaks of {named} of {len(samples)} training mentions, and its choice "
                f"is among the first {self._recipe.scope.k} for {listed}",
                "give --teacher rows with the 'id' of the mentions of --train, or raise scope.k or teacher",
            )
        if not found:
            said = ", ".join(f"{count} × {why}" for why, count in left_out.items())
            raise InputError(f"no training mention to learn from ({said})", "check 'qid', or raise scope.k")
        return found, left_out

    def taught(self, samples: Sequence[Labelled], links: Sequence[Link], lessons: Sequence[Lesson]) -> dict[str, int]:
        """Return how many lessons a teacher has a say in, and where its choice is not listed; empty without one."""
        if self._teacher is None:
            return {}
        return {
            "taught by the teacher": sum(lesson.taught for lesson in lessons),
            f"teacher's choice not among the first {self._recipe.scope.k}": self._unlisted(samples, links),
        }

    def judged(self, samples: Sequence[Labelled], links: Sequence[Link]) -> list[Lesson]:
        """Return validation lists, those without gold among them.

        Raises:
            InputError: Gold is listed nowhere.
        """
        found = []
        groups = numbered([sentence(sample) for sample in samples])
        for sample, link, group in zip(samples, links, groups, strict=True):
            ids = [candidate.id for candidate in link.candidates]
            gold = ids.index(sample.gold) if sample.gold in ids else -1
            lesson = self._lesson(link, np.arange(len(ids)) == gold, gold)
            found.append(replace(lesson, group=int(group)))
        if all(lesson.gold < 0 for lesson in found):
            raise InputError("no validation mention has gold among its candidates", "check 'qid', or raise scope.k")
        return found

    def closed(self, lessons: Sequence[Lesson], links: Sequence[Link], sharp: float) -> Saved:
        """Read all validation lists that will be looked at, and fit the last word."""
        scope = self._recipe.scope
        asked = np.array([scope.passed_over(link) is None for link in links])
        read = [lesson for lesson, its in zip(lessons, asked, strict=True) if its]
        parts = self.reader.figures.parts
        columns = [reading.columns(parts) for reading in self.reader([lesson.case for lesson in read])]
        blend, figures = Blend(), dict[str, float]()
        if columns:
            gold, groups = (np.array([getattr(lesson, name) for lesson in read]) for name in ("gold", "group"))
            blend, figures = choose(table(columns), gold, groups, sharp)
        rest = float((np.array([lesson.gold == 0 for lesson in lessons]) & ~asked).mean())
        share = float(asked.mean())
        names = {"retrieval": "retrieval", "own": "+ figures", "reading": "+ reading", "parts": "+ parts"}
        metrics: dict[str, Any] = {"validation mentions": len(lessons), "validation mentions read": int(asked.sum())}
        for name, value in figures.items():
            metrics[f"validation Hits@1, {names[name]}"] = round(rest + share * value, 4)
        metrics["kept"] = "the retriever's order" if blend.keeps else ", ".join(blend.weights)
        explicit = {"k": scope.k, "margin": scope.margin, "probability": scope.probability}
        return Saved(settings=self._recipe.settings, scope=explicit, parts=parts, blend=blend, metrics=metrics)

    def _unlisted(self, samples: Sequence[Labelled], links: Sequence[Link]) -> int:
        teacher = self._teacher or {}
        said = [(teacher.get(sample.mention.id), link) for sample, link in zip(samples, links, strict=True)]
        return sum(own is not None and not any(own.get(c.id) for c in link.candidates) for own, link in said)

    def _target(self, sample: Labelled, ids: Sequence[str]) -> tuple[np.ndarray, bool]:
        """Return the share of the answer that each candidate is, and whether a teacher has one.

        Shares are gold's, a teacher's, or both; 0 when neither.
        """
        said = (self._teacher or {}).get(sample.mention.id, {})
        taught = np.array([said.get(id, 0.0) for id in ids])
        taught = taught / taught.sum() if taught.sum() > 0 else taught
        if sample.gold is None:
            return taught, bool(taught.any())
        gold = np.array([float(id == sample.gold) for id in ids])
        share = self._recipe.teacher if gold.any() and taught.any() else 0.0
        return (1 - share) * gold + share * taught, share > 0

    def _lesson(self, link: Link, target: np.ndarray, gold: int) -> Lesson:
        case = Case(replace(link.mention, id=""), link.candidates, tuple(map(self._entity, link.candidates)))
        texts = [read_entity(entity, frozenset(), self._recipe.settings.statements) for entity in case.entities]
        answers = {text for text, share in zip(texts, target, strict=True) if share > 0}
        allowed = np.array([share > 0 or text not in answers for text, share in zip(texts, target, strict=True)])
        sure = link.candidates[0].probability if link.candidates else None
        easy = gold == 0 and sure is not None and sure >= self._recipe.unsure
        own = self.reader.own(self.reader.figures(case))
        return Lesson(case, own, np.asarray(target, dtype=np.float64), allowed, easy, gold)

    def _entity(self, candidate: Scored) -> Entity:
        if candidate.id not in self._entities:
            view = self._kb.view()
            row = view.row(candidate.id)
            self._entities[candidate.id] = view.entity(cast(int, row))
        return self._entities[candidate.id]


def write(net: CrossNet, saved: Saved, folder: Path) -> Saved:
    """Write the folder of a cross-encoder; ``reranker.json`` last, so that there is one only when all is there.

    Returns:
        What was written, with the hash of the weights.
    """
    write_tensors(net.heads, folder)
    files = [folder / FILE]
    if net.reads:
        net.save(folder / "encoder")
        files.insert(0, folder / "encoder" / "model.safetensors")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    saved = saved.model_copy(update={"digest": digest.hexdigest()})
    with replacing(folder / "README.md") as out:
        out.write(_card(saved).encode())
    write_json(folder / NAME, saved.model_dump(mode="json"))
    return saved


def _refuse_both(fitted_on: Mapping[str, str]) -> None:
    """Refuse validation mentions that are trained on: the last word would trust what the network knows by heart."""
    for what, value in fitted_on.items():
        if what.startswith("train") and value == fitted_on.get("sha256"):
            name = fitted_on.get(what.removesuffix(" sha256"), what)
            raise InputError(
                f"{name} holds the validation mentions, and would be trained on",
                "give --valid mentions that are not in --train",
            )


def _why(sample: Labelled, known: bool, link: Link, k: int) -> str:
    if sample.gold is None:
        return "no gold"
    if sample.gold == NIL:
        return "gold is NIL"
    return f"gold is not among the first {k}" if known else "gold is not in the knowledge base"


def _key(
    recipe: Recipe,
    links: Sequence[Sequence[Link]],
    samples: Sequence[Sequence[Labelled]],
    teacher: Mapping[str, Shares],
) -> str:
    """Hash everything but the plan that must be the same for a training to go on."""
    listed = [[[c.id, c.score] for c in link.candidates] for own in links for link in own]
    read = [[seen(s.mention), s.gold] for own in samples for s in own]
    made_of = [recipe.model_dump(mode="json"), listed, read, teacher]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _figures(
    found: Trained | None, lessons: Sequence[Lesson], left_out: Counter[str], seconds: float
) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "training mentions": len(lessons),
        "of them easy": sum(lesson.easy for lesson in lessons),
        **{f"left out of training, {why}": count for why, count in sorted(left_out.items())},
    }
    if found is not None:
        figures |= {"steps": found.steps, "best epoch": found.best["epoch"] + 1}
        figures |= {"seconds of training": round(found.seconds, 1), "history": found.history}
    return {**figures, "seconds in all": round(seconds, 1)}


def _card(saved: Saved) -> str:
    figures = "".join(f"| {name} | {value} |\n" for name, value in saved.metrics.items() if name != "history")
    fitted = "".join(f"- {what}: `{value}`\n" for what, value in saved.fitted_on.items())
    weights = ", ".join(f"{name} {value:g}" for name, value in saved.blend.weights.items())
    return (
        "---\nlibrary_name: melink\ntags: [multimodal-entity-linking, cross-encoder]\n---\n"
        f"# {saved.reranker}\n\n{CrossEncoder.paper}.\n\n- encoder: {saved.settings.encoder}\n"
        f"- for: {saved.retriever.get('method', 'any retriever')}\n- blend: {weights}\n- melink {saved.melink}\n"
        f"{fitted}"
        f"\n| figure | value |\n|---|---|\n{figures}\n"
        "```bash\nmelink link KB posts.jsonl --model RUN --rerank cross-encoder:THIS_FOLDER\n```\n"
    )
