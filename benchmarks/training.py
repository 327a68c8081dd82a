"""Training steps per second and peak memory, from cached features and end to end, against a straightforward loop.

The straightforward loop sees the same batches in the same run: it tokenises each batch as it comes, pads to the longest
text, keeps nothing, and runs the whole encoder.
"""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common import main, peak_mb
from melink.candidates.load import load_generators
from melink.kb.store import KnowledgeBase
from melink.linker import context_of
from melink.methods.biencoder import BiEncoder
from melink.records import Entity, Labelled, Mention
from melink.runs import Run
from melink.train.course import Course
from melink.train.loop import train
from melink.train.plan import Plan

ENTITIES, MENTIONS, BATCH, STEPS = 600, 400, 16, 12
TUNE: dict[str, int | str] = {"cached": 0, "last_3_blocks": 3, "all_blocks": "all"}
"""What is measured → blocks of the encoder that are trained."""
WORDS = (
    "north", "river", "old", "town", "sea", "red", "band", "novel", "music", "city", "club", "team", "actor", "singer",
    "king", "war", "film", "school", "island", "football", "player", "writer", "member", "history", "church", "award",
)  # fmt: skip


def measure(scratch: Path) -> dict[str, Any]:
    """Measure each way to train, and its straightforward loop, in processes of their own."""
    kb = scratch / "training-kb"
    if not kb.is_dir():
        build(kb)
    result: dict[str, Any] = {"entities": ENTITIES, "batch": BATCH, "steps": STEPS}
    result["plain_frozen"], result["plain_whole"] = alone(plainly, kb, False), alone(plainly, kb, True)
    for name, tune in TUNE.items():
        found = alone(ours, kb, tune, scratch)
        plain = result["plain_whole" if tune else "plain_frozen"]
        found["speed_ratio_to_plain_loop"] = round(found["steps_per_second"] / plain["steps_per_second"], 2)
        found["memory_ratio_to_plain_loop"] = round(found["peak_mb"] / plain["peak_mb"], 2)
        result[name] = found
    return result


def alone(work: Any, *arguments: Any) -> dict[str, Any]:
    """Run a function in a fresh process, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found: dict[str, Any] = pool.submit(work, *arguments).result()
        return found


def build(folder: Path) -> None:
    """Make a knowledge base of people who share surnames, with descriptions of 5 to 60 words."""
    draw = random.Random(0)
    names = [f"{draw.choice('ABCDEFGH')}{n % 40} Name{n % 60}" for n in range(ENTITIES)]
    KnowledgeBase.create(folder).upsert(
        Entity(f"E{n:04}", name, description=" ".join(draw.choices(WORDS, k=draw.choice((5, 10, 20, 60)))))
        for n, name in enumerate(names)
    )


def lessons(kb: KnowledgeBase) -> list[Labelled]:
    """Return mentions by surname, in sentences of 8 to 40 words."""
    draw, view = random.Random(1), kb.view()
    samples = []
    for n in range(MENTIONS):
        row = draw.randrange(len(view))
        surname = view.labels[row].split()[-1]
        text = f"{surname} {' '.join(draw.choices(WORDS, k=draw.choice((8, 15, 40))))}"
        samples.append(Labelled(Mention(str(n), text, surname, 0, len(surname)), view.ids[row]))
    return samples


def prepared(folder: Path, tune: int | str) -> tuple[BiEncoder, Course]:
    """Return the method and what it is trained on; the features of the frozen encoder are made here."""
    kb = KnowledgeBase.open(folder)
    run = Run(method="biencoder", image_encoder=None, settings={"tune": tune})
    context = context_of(run, kb)
    method = BiEncoder.build(context, run.settings)
    method.start_training()
    epochs = 1 if tune else 25  # a step from cached features is too short to time a dozen
    plan = Plan(epochs=epochs, patience=epochs, batch=BATCH, valid_mentions=8, schedule="constant")
    names = load_generators(["names"], kb, context.store)
    samples = lessons(kb)
    return method, Course(method, kb, names, names, samples[: STEPS * BATCH], samples[-8:], plan)


def ours(folder: Path, tune: int | str, scratch: Path) -> dict[str, Any]:
    """Train as the product does; steps are timed from the second one on, validation on 8 mentions between epochs."""
    method, course = prepared(folder, tune)
    run = scratch / f"training-{tune}-{time.time_ns()}"
    train(method, course, course.plan, run, cpu=True)
    with (run / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    seconds = max(float(rows[-1]["seconds"]) - float(rows[0]["seconds"]), 0.01)
    return {"steps_per_second": round((len(rows) - 1) / seconds, 3), "peak_mb": peak_mb()}


def plainly(folder: Path, tunes: bool) -> dict[str, Any]:
    """Train as a first version would, with the same batches."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from melink.features.minilm import weights

    method, course = prepared(folder, 0)
    tokenizer, model = AutoTokenizer.from_pretrained(weights()), AutoModel.from_pretrained(weights())
    model.requires_grad_(tunes).train(tunes)
    heads = torch.nn.ModuleList([torch.nn.Linear(384, 384) for _ in range(2)])
    optimizer = torch.optim.AdamW([*heads.parameters(), *(p for p in model.parameters() if p.requires_grad)], lr=1e-5)
    about = method.read_entities(course.view)
    read = method.read_mentions([s.mention for s in lessons(method.context.kb)[: STEPS * BATCH]])

    def encoded(texts: Sequence[str], head: torch.nn.Module) -> torch.Tensor:
        longest = method.config.max_tokens
        packed = tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        hidden, mask = model(**packed).last_hidden_state, packed["attention_mask"][..., None]
        return torch.nn.functional.normalize(head((hidden * mask).sum(1) / mask.sum(1)), dim=-1)

    times = []
    for batch in course.batches(0):
        began = time.perf_counter()
        mentions = encoded([read[place] for place in batch.mentions], heads[0])
        entities = encoded([about[place] for place in batch.entities], heads[1])
        scores = (20 * mentions @ entities.T).masked_fill(~torch.from_numpy(batch.allowed), -torch.inf)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores, torch.from_numpy(batch.gold)).backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return {"steps_per_second": round((len(times) - 1) / sum(times[1:]), 3), "peak_mb": peak_mb()}


if __name__ == "__main__":
    main(measure)
