"""Ranking a whole knowledge base by MIMIC's matcher, exact, certified and by shortlist, and the straightforward form.

One run, briefly trained weights, one process; 100,000 synthetic entities of 40 tokens and 50 patches, d = 96.
The straightforward form (``straightforward_mimic.py``) scores 20 mentions with chunks of 6,000 entities; with
``--plain-chunks`` only some of the chunks are timed, and scaled linearly. CPU seconds are those of all threads of the
process. Making the synthetic features is not part of any figure.

    python benchmarks/ranking.py --json ranking.json [--plot ranking.svg] [--device cuda] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from common import machine, peak_mb
from melink.methods.matcher import Read
from melink.ranking.certified import Ranking, certified
from melink.ranking.kept import Kept
from melink.ranking.shortlist import shortlisted
from melink.records import Mention
from mimic_training import briefly_trained, clocked, straightforward
from plot import cost
from straightforward_mimic import ENTITIES, MENTIONS, Features, StraightforwardMimic
from synthetic import CHUNK, PATCHES, TEXT, TOKEN, TOKENS, D, World
from synthetic_mimic import Repeated, Rows, SyntheticMimic, drawn_rows, joined

TOP, SHORTLIST = 16, 256
GOLD_CHUNKS = 8
"""Chunks that mentions' entities come from."""


class Plan(NamedTuple):
    """How much is measured."""

    entities: int = 100_000
    mentions: int = 256
    exact: int = 100
    steps: int = 40
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    plain_chunks: int = 0


QUICK = Plan(1_000, 24, 20, 2, (500, 1_000, 2_000))


def main() -> None:
    """Measure, write, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", nargs="?", type=Path, help="folder for the entity terms; a temporary one by default")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--plot", type=Path, help="write cost against size here; beside --json by default")
    parser.add_argument("--device", default="cpu", help="cpu, the default, or cuda")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 1,000 entities")
    parser.add_argument("--entities", type=int, help="how many; 100,000 by default")
    parser.add_argument("--plain-chunks", type=int, default=0, help="chunks that the straightforward form is timed on")
    arguments = parser.parse_args()
    plan = (QUICK if arguments.quick else Plan())._replace(plain_chunks=arguments.plain_chunks)
    if arguments.entities:
        plan = plan._replace(entities=arguments.entities)
    with tempfile.TemporaryDirectory() as temporary:
        result = measure(plan, arguments.device, arguments.scratch or Path(temporary))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if plot := arguments.plot or (arguments.json and arguments.json.with_suffix(".svg")):
        curves = {way: [(size["entities"], size[way]) for size in result["sizes"]] for way in LINES}
        plot.write_text(cost({LINES[way]: curve for way, curve in curves.items()}, "entities", AXIS), encoding="utf-8")
    print(json.dumps(result))


AXIS = "milliseconds per mention"
LINES = {
    "straightforward": "straightforward",
    "exact": "exact",
    "certified_top16": "certified top 16",
    "shortlist256": "shortlist of 256",
}


def measure(plan: Plan, device: str, scratch: Path) -> dict[str, Any]:
    """Return everything that is measured."""
    result: dict[str, Any] = {"machine": machine() | roofline(device), "device": device}
    world = World(device=device)
    method, gold = trained(world, plan)
    told("preparing entities")
    kept = Kept(method, Rows(0, plan.entities), scratch)
    everyone = [Mention(str(n), str(n), "") for n in range(plan.mentions)]
    result["setting"] = {
        "entities": plan.entities, "tokens": TOKENS, "patches": PATCHES, "d": D, "text": TEXT, "token": TOKEN,
        "mentions": {"straightforward": MENTIONS, "exact": plan.exact, "certified and shortlist": plan.mentions},
        "training_steps": plan.steps, "top": TOP, "without_picture": world.without_picture,
    }  # fmt: skip
    bench = Bench(method, kept, everyone, plan, device)
    told("straightforward")
    plain = bench.straightforward(straightforward(method.module.matcher))
    ways = bench.ways()
    result["seconds_per_mention"] = {"straightforward": plain["per_mention"]} | {w: ways[w][1] for w in ways}
    for kind in ("cpu", "wall"):
        ratios = {way: plain["per_mention"][kind] / found[kind] for way, (_, found) in ways.items()}
        result["speedup" if kind == "cpu" else "speedup_wall"] = {way: round(r, 1) for way, r in ratios.items()}
    exact, pruned, short = (ways[way][0] for way in ways)
    result["recall"] = float(np.mean(short.rows[: plan.exact, 0] == exact.rows[:, 0]))
    result["cache_bytes"] = kept.bytes_each
    result["straightforward"] = {k: v for k, v in plain.items() if k != "scores"}
    result["agreement"] = bench.agreement(plain["scores"], exact, pruned)
    result["hits_at_1"] = float(np.mean(exact.rows[:, 0] == gold[: plan.exact]))
    result["certified_scored"] = survivors(pruned)
    result["share_of_machine"] = shares(result, kept, plan, device)
    result["mentions_without_picture"] = bench.blind()
    result["adversarial"] = bench.adversarial()
    result["sizes"] = bench.sizes(plain["per_mention"]["cpu" if device == "cpu" else "wall"])
    return result | {"peak_mb": peak_mb()}


def trained(world: World, plan: Plan) -> tuple[SyntheticMimic, np.ndarray]:
    """Return the method after a few steps, over mentions whose gold rows are returned."""
    told("training")
    with torch.enable_grad():
        matcher = briefly_trained(world, plan.steps)
    chunks = max(1, plan.entities // CHUNK)
    places = torch.Generator().manual_seed(1)
    own, gold = [], []
    for each in range(GOLD_CHUNKS):
        chunk, count = each * chunks // GOLD_CHUNKS, -(-plan.mentions // GOLD_CHUNKS)
        rows = torch.randint(min(CHUNK, plan.entities), (count,), generator=places)
        own.append(world.mentions(chunk, rows, noise=NOISE))
        gold.append(chunk * CHUNK + rows.numpy())
    mixed = torch.randperm(sum(len(each) for each in gold), generator=places)[: plan.mentions]
    return SyntheticMimic(matcher, world, joined(own).part(mixed.to(world.device))), np.concatenate(gold)[mixed.numpy()]


NOISE = 2.0
"""Added to whole texts and images of mentions: most find their entity, not all."""


class Bench:
    """The ways to rank, over the same mentions and entities."""

    def __init__(self, method: SyntheticMimic, kept: Kept, mentions: list[Mention], plan: Plan, device: str) -> None:
        self.method, self.kept, self.mentions, self.plan, self.device = method, kept, mentions, plan, device

    def full(self, count: int, kept: Kept | None = None, prune: bool = False) -> Ranking:
        """Rank some mentions, by default with everything."""
        kept = kept or self.kept
        return certified(kept_method(kept), kept, self.mentions[:count], np.full(count, -1), TOP, prune=prune)

    def short(self, count: int, kept: Kept | None = None) -> Ranking:
        """Rank some mentions by shortlist."""
        kept, none = kept or self.kept, np.full(count, -1)
        return shortlisted(self.method, kept, self.mentions[:count], none, TOP, SHORTLIST, sample=0)

    def ways(self) -> dict[str, tuple[Ranking, dict[str, float]]]:
        """Return what each way finds and takes for a mention, after a warm-up."""
        many, few = self.plan.mentions, self.plan.exact
        return {
            "exact": self.taking(lambda: self.full(few), few, warm=lambda: self.full(1)),
            "certified_top16": self.taking(lambda: self.full(many, prune=True), many),
            "shortlist256": self.taking(lambda: self.short(many), many),
        }

    def taking(
        self, work: Callable[[], Ranking], count: int, warm: Callable[[], Any] | None = None
    ) -> tuple[Ranking, dict[str, float]]:
        """Return what some work finds and how many seconds a mention takes."""
        (warm or work)()
        found, seconds = clocked(work, self.device)
        return found, {"wall": seconds.wall / count, "cpu": seconds.cpu / count}

    @torch.inference_mode()
    def straightforward(self, plain: StraightforwardMimic) -> dict[str, Any]:
        """Time the published evaluation on one batch of mentions; its scores are kept for comparison."""
        method, plan = self.method, self.plan
        own = plain.features(*method.own.part(slice(MENTIONS)))
        scores, wall, cpu, system = [], 0.0, 0.0, 0.0
        for place, chunk in enumerate(self.cached(plain)):
            if plan.plain_chunks and place == plan.plain_chunks:
                break

            score = partial(plain.moved, own, chunk)
            if not scores:
                score()  # warm-up
            before = os.times().system
            found, seconds = clocked(score, self.device)
            wall, cpu, system = wall + seconds.wall, cpu + seconds.cpu, system + os.times().system - before
            scores.append(found.total.cpu())
        timed = sum(part.shape[1] for part in scores)
        scale = plan.entities / timed / MENTIONS
        return {
            "scores": torch.cat(scores, 1),
            "per_mention": {"wall": wall * scale, "cpu": cpu * scale},
            "entities_timed": timed,
            "scaled_linearly": timed < plan.entities,
            "microseconds_per_pair_cpu": cpu / timed / MENTIONS * 1e6,
            "of_which_memory_management": system / cpu,
            "cache_bytes": 4 * (TEXT + TOKENS * TOKEN + D + PATCHES * D),
        }

    def cached(self, plain: StraightforwardMimic) -> Iterator[Features]:
        """Yield the published evaluation's cache of features, in main memory, a chunk at a time."""
        for start in range(0, self.plan.entities, ENTITIES):
            rows = Rows(start, min(start + ENTITIES, self.plan.entities))
            drawn = [plain.features(*sides) for sides in drawn_rows(self.method.world, rows)]
            yield Features(*(torch.cat(parts).cpu() for parts in zip(*drawn, strict=True)))

    @torch.inference_mode()
    def agreement(self, plain: torch.Tensor, exact: Ranking, pruned: Ranking) -> dict[str, Any]:
        """Compare with the straightforward form's scores, and certified with exact."""
        few, count = self.plan.exact, min(MENTIONS, self.plan.exact)
        result: dict[str, Any] = {
            "certified_same_rows_in_order": bool((pruned.rows[:few] == exact.rows).all()),
            "certified_score_difference": float(np.abs(pruned.scores[:few] - exact.scores).max()),
        }
        method, timed = self.method, plain.shape[1]
        if timed == self.plan.entities:
            best = plain[:count].topk(TOP)
            rows, sets = best.indices.numpy(), [set(each) for each in best.indices.tolist()]
            same = [len(sets[m] & set(exact.rows[m].tolist())) / TOP for m in range(count)]
            at = plain[:count].gather(1, torch.from_numpy(exact.rows[:count])).numpy()
            result |= {
                "straightforward_same_top1": float(np.mean(rows[:, 0] == exact.rows[:count, 0])),
                "straightforward_shared_top16": float(np.mean(same)),
                "score_difference_16_bit_cache": float(np.abs(at - exact.scores[:count]).max()),
            }
        matcher = method.module.matcher
        drawn = next(drawn_rows(method.world, Rows(0, min(1_000, timed))))
        own = matcher.mention(Read(*method.own.part(slice(MENTIONS))))
        found = matcher.combine(matcher(own, matcher.entity(Read(*drawn)))).cpu()
        apart = (found - plain[:, : found.shape[1]]).abs()
        return result | {"score_difference_32_bit": float(apart.max()), "largest_score": float(plain.abs().max())}

    def blind(self) -> dict[str, Any]:
        """Measure mentions without a picture, whose score is the text's alone: the bound is three times as wide."""
        told("mentions without picture")
        own, count = self.method.own, min(64, self.plan.mentions)
        self.method.own = own._replace(seen=torch.zeros_like(own.seen))
        pruned, seconds = self.taking(lambda: self.full(count, prune=True), count)
        self.method.own = own
        return {"certified_seconds_per_mention": seconds} | survivors(pruned)

    def adversarial(self) -> dict[str, Any]:
        """Widen the bound sixteenfold, so that it rules nothing out, and compare with the exact pass."""
        told("adversarial weights")
        count = min(MENTIONS, self.plan.mentions)
        norm = self.method.module.matcher.tglu.norm
        with torch.no_grad():
            norm.weight *= 16
            exact, slow = self.taking(lambda: self.full(count), count, warm=lambda: self.full(1))
            pruned, own = self.taking(lambda: self.full(count, prune=True), count, warm=lambda: self.full(1))
            norm.weight /= 16
        same = bool((exact.rows == pruned.rows).all())
        ratios = {f"fallback_ratio_{kind}": round(own[kind] / slow[kind], 3) for kind in own}
        return ratios | {"mentions": count, "same_rows": same, "fell_back": pruned.dense} | survivors(pruned)

    def sizes(self, plain: float) -> list[dict[str, Any]]:
        """Return milliseconds per mention against size; terms are repeated beyond what there is."""
        kind, found = "cpu" if self.device == "cpu" else "wall", []
        for size in self.plan.sizes:
            told(f"{size:,} entities")
            kept = Repeated(self.kept, size)
            many, few = min(64, self.plan.mentions), max(2, min(MENTIONS, 2_000_000 // size))
            seconds = {
                "exact": self.taking(partial(self.full, few, kept), few, warm=partial(self.full, 1, kept))[1],
                "certified_top16": self.taking(partial(self.full, many, kept, prune=True), many)[1],
                "shortlist256": self.taking(partial(self.short, many, kept), many)[1],
            }
            own = {way: round(1e3 * each[kind], 4) for way, each in seconds.items()}
            scaled = round(1e3 * plain * size / self.plan.entities, 3)
            found.append({"entities": size, "mentions": many, "straightforward": scaled} | own)
        return found


def kept_method(kept: Kept) -> SyntheticMimic:
    """Return the method that terms belong to."""
    method: Any = kept.method
    return method  # type: ignore[no-any-return]


def survivors(found: Ranking) -> dict[str, Any]:
    """Say how many entities were scored in full."""
    counts = np.asarray(found.scored)
    return {"scored_mean": float(counts.mean()), "scored_max": int(counts.max()), "fell_back": found.dense}


def roofline(device: str) -> dict[str, Any]:
    """Measure multiplication of large matrices and reading of memory, at the threads that are set."""
    a, b = torch.randn(4096, 1024, device=device), torch.randn(1024, 4096, device=device)
    x = torch.randn(100_000_000, device=device)
    multiply = min(clocked(lambda: a @ b, device)[1].wall for _ in range(5))
    read = min(clocked(lambda: x.sum(), device)[1].wall for _ in range(5))
    rate, speed = 2 * 4096 * 4096 * 1024 / multiply / 1e9, 4 * len(x) / read / 1e9
    return {"threads": torch.get_num_threads(), "sgemm_gflops": round(rate, 1), "read_gb_per_s": round(speed, 1)}


def shares(result: dict[str, Any], kept: Kept, plan: Plan, device: str) -> dict[str, Any]:
    """Return the share of the measured multiplication rate, or of the read bandwidth, that each way reaches.

    Counted are the operations that a way cannot do without, and, for the ways that stream, the bytes of the light terms
    once for each block of mentions and 4 bytes for each pair written and read.
    """
    attention, vectors = 2 * TOKENS * TOKENS * D, 2 * (TEXT + D)
    cheap = vectors + 2 * 5 * 2 * D
    entity = 2 * (TOKENS * TOKEN * D + TEXT * D + 2 * PATCHES * D * D) / MENTIONS
    flops = {
        "straightforward": 2 * attention + 2 * 4 * D * D + entity,
        "exact": attention + 2 * TOKENS * TOKENS + cheap,
        "certified_top16": cheap,
        "shortlist256": vectors,
    }
    light = kept.bytes_each - 2 * TOKENS * D
    rate, speed = result["machine"]["sgemm_gflops"] * 1e9, result["machine"]["read_gb_per_s"] * 1e9
    found = {}
    for way, each in flops.items():
        seconds = result["seconds_per_mention"][way]["wall"]
        own: dict[str, float] = {
            "flop_per_pair": round(each),
            "of_sgemm": round(each * plan.entities / seconds / rate, 4),
        }
        if way in ("certified_top16", "shortlist256"):
            moved = plan.entities * (light / plan.mentions + 8)
            own["of_read_bandwidth"] = round(moved / seconds / speed, 4)
        found[way] = own
    return found


def told(what: str) -> None:
    """Say on stderr what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
