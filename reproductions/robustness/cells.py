"""One cell of the study: a method, trained in a setting with a seed, and its ranks on every sheet of mentions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from people import Person, ambiguous, read_people, split, write_people
from sheets import CLEAN, SECOND, Sheets, hash_of, scenes

from melink.candidates.load import CHEAP
from melink.evaluate.run import rank_full
from melink.kb.build import build
from melink.kb.disk import read_json, write_json
from melink.kb.store import KnowledgeBase
from melink.linker import assemble
from melink.runs import NAME, Run, read_run
from melink.train.run import train_run

_SHORT: Final = {"tokens": 24}
"""Captions are shorter, and it saves time."""
METHODS: Final[dict[str, dict[str, Any]]] = {
    "zeroshot": {"method": "zeroshot"},
    "text only": {"method": "mimic", "image_encoder": None, "settings": _SHORT},
    "mimic": {"method": "mimic", "settings": _SHORT},
    "mimic, neutral": {"method": "mimic", "settings": {**_SHORT, "absent": "neutral"}},
    "melov": {"method": "melov", "settings": _SHORT},
    "melov, average": {"method": "melov", "settings": {**_SHORT, "absent": "average"}},
    "melov w/o inter": {"method": "melov", "settings": {**_SHORT, "inter": False}},
    "melov w/o intra": {"method": "melov", "settings": {**_SHORT, "intra": False}},
    "melov w/o τ": {"method": "melov", "settings": {**_SHORT, "threshold": False}},
    "melov filter": {"method": "melov", "settings": {**_SHORT, "filter": 0.0}},
}
"""Name in tables → what of a run differs from the defaults. ``text only`` is MIMIC without an image encoder."""
_ABLATIONS: Final = ("melov", "melov w/o inter", "melov w/o intra", "melov w/o τ", "melov filter")
SETTINGS: Final = {
    "clean": ("zeroshot", "text only", "mimic", *_ABLATIONS),
    "mixed": ("mimic", *_ABLATIONS),
    "patchy": ("zeroshot", "mimic", "mimic, neutral", "melov", "melov, average"),
}
"""What is trained in each setting. ``clean``: on good pictures. ``mixed``: on pictures of all conditions and
severities. ``patchy``: on good ones, and a third of the people have no picture in the knowledge base; elsewhere all
have one, and what stands for a missing one changes no order."""
PLAN: Final = {"epochs": 12, "batch": 64, "patience": 4, "valid_mentions": 0}
QUICK: Final = {**PLAN, "epochs": 2}


@dataclass(frozen=True)
class Cell:
    """What is trained and tested at once."""

    setting: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """For files."""
        words = "".join(
            letter if letter.isascii() and letter.isalnum() else "-"
            for letter in self.method.replace("w/o", "without").replace("τ", "tau")
        )
        return f"{self.setting}-{words}-{self.seed}"


@dataclass(frozen=True)
class Study:
    """Where the study works, and on how much.

    Attributes:
        data: The shared data.
        out: Where everything is written.
        quick: On a seventh of the people, at two severities, with two epochs: to see that it works.
    """

    data: Path
    out: Path
    quick: bool = False

    def people(self) -> list[Person]:
        """Return everybody in the knowledge base."""
        everybody = read_people(self.data)
        if not self.quick:
            return everybody
        groups = ambiguous(everybody)
        few = [name for name, own in groups.items() if len(own) in (4, 5, 6)]
        return [person for name in few for person in groups[name]]

    def sheets(self, seed: int) -> Sheets:
        """Return what a seed draws."""
        people = self.people()
        parts, severities = split(ambiguous(people), seed), (2, 4) if self.quick else (1, 2, 3, 4)
        folder = self.out / "pictures" / f"seed{seed}"
        return Sheets(people, scenes(self.data), parts, folder, seed, 2 if self.quick else 4, severities)

    def result(self, cell: Cell, sheets: Sheets) -> dict[str, Any]:
        """Return a cell's ranks, from its file where it is finished."""
        file = self.out / "cells" / f"{cell.name}.json"
        kb = knowledge_base(self, cell.setting)
        terms = {
            "run": METHODS[cell.method],
            "plan": self.plan(cell.seed),
            "kb": kb.content_hash(),
            "quick": self.quick,
        }
        if file.is_file():
            done: dict[str, Any] = read_json(file)
            if done["terms"] == terms:
                return done
        run = self._trained(cell, sheets, kb, terms)
        linker = assemble(run, kb)
        cases = sheets.test
        blind = run.image_encoder is None  # reads the same captions in all cases but one
        asked = [sample for case in ((CLEAN, SECOND) if blind else cases) for sample in cases[case]]
        known = dict(zip([sample.mention.id for sample in asked], rank_full(linker, asked).ranks, strict=True))
        ranks = {
            case: [
                known[(cases[CLEAN][place] if blind and case != SECOND else sample).mention.id]
                for place, sample in enumerate(samples)
            ]
            for case, samples in cases.items()
        }
        people = {case: [sample.gold for sample in samples] for case, samples in cases.items()}
        found = {"terms": terms, "settings": run.settings, "metrics": run.metrics, "ranks": ranks, "people": people}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, found)
        return found

    def plan(self, seed: int) -> dict[str, Any]:
        """Return how methods are trained."""
        return {**(QUICK if self.quick else PLAN), "seed": seed}

    def _trained(self, cell: Cell, sheets: Sheets, kb: KnowledgeBase, terms: dict[str, Any]) -> Run:
        given = METHODS[cell.method]
        run = read_run(given["method"], untrained=True).model_copy(update={**given, "generators": CHEAP})
        if given["method"] == "zeroshot":
            return run
        key = hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:8]
        folder = self.out / "runs" / f"{cell.name}-{key}"
        if (folder / NAME).is_file() and "seconds of fitting" in (read_run(folder).metrics or {}):
            return read_run(folder)
        train = sheets.lessons("train", mixed=cell.setting == "mixed")
        valid = sheets.lessons("valid", mixed=True)  # on good pictures every method is right after an epoch
        return train_run(run.model_copy(update={"train": terms["plan"]}), kb, train, valid, folder, resume=True)


@cache
def knowledge_base(study: Study, setting: str) -> KnowledgeBase:
    """Build the knowledge base of a setting, or open it."""
    patchy = setting == "patchy"
    people, folder = study.people(), study.out / ("patchy" if patchy else "full")
    without = frozenset(person.id for person in people if patchy and hash_of(f"patch {person.id}") % 3 == 0)
    write_people(people, study.data, folder, without)
    return build(folder / "kb", folder / "entities.jsonl", images=folder / "index.csv").kb
