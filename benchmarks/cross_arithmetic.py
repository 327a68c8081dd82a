"""The reading of a trained cross-encoder in other numbers: how fast, and what becomes of the order of candidates.

    python benchmarks/cross_arithmetic.py KB --run RUN --reranker CROSS --mentions valid.jsonl --json arithmetic.json

Each way reads the same candidates, the retriever's first 16 of the whole knowledge base, of mentions that it is not
sure of. ``fp32`` and ``bf16`` are melink's own; ``int8`` is PyTorch's dynamic quantisation of linear layers, one scale
for each row of weights; ``onnx`` is ONNX Runtime in 32 bits and ``onnx int8`` its dynamic quantisation, for which
``pip install onnx`` as well. ``readings`` is the correlation with fp32 of what a candidate's reading differs from the
mean of its list by; ``first`` how many lists keep their first candidate. Speed is of the reading alone, tokenised
before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from common import machine
from melink.datasets.mentions import read_mentions
from melink.kb.store import KnowledgeBase
from melink.linker import assemble
from melink.rerank.base import Case
from melink.rerank.cross_encoder import CrossEncoder
from melink.runs import read_run
from melink.train.cross_lists import retrieved

READ = 16
OPSET = 17


class Exported(torch.nn.Module):
    """An encoder in ONNX Runtime, called as the network calls a model.

    Args:
        model: The encoder.
        folder: Where its graph is written.
        bits8: Quantise its weights.
    """

    def __init__(self, model: Any, folder: Path, bits8: bool) -> None:
        import onnxruntime

        super().__init__()
        file = folder / "encoder.onnx"
        names = ["input_ids", "attention_mask", "token_type_ids"]
        example = tuple(torch.ones(2, 8, dtype=torch.long) for _ in names)
        torch.onnx.export(
            _Hidden(model), example, str(file), input_names=names, output_names=["hidden"], opset_version=OPSET,
            dynamic_axes={name: {0: "n", 1: "l"} for name in (*names, "hidden")}, dynamo=False,
        )  # fmt: skip
        if bits8:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(file, folder / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8)
            file = folder / "int8.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def forward(self, **given: torch.Tensor) -> Any:
        """Return what the model would: the last hidden states."""
        (hidden,) = self._session.run(["hidden"], {name: tensor.numpy() for name, tensor in given.items()})
        return SimpleNamespace(last_hidden_state=torch.from_numpy(hidden))


class _Hidden(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state


def ways(model: Any, folder: Path) -> dict[str, Callable[[], Any]]:
    """Return what reads, by name; each is made when it is its turn."""

    def quantised() -> Any:
        from torch.ao.quantization import PerChannelMinMaxObserver, QConfig, default_dynamic_quant_observer
        from torch.ao.quantization import quantize_dynamic as quantise

        weight = PerChannelMinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_channel_symmetric)
        return quantise(model, {torch.nn.Linear: QConfig(activation=default_dynamic_quant_observer, weight=weight)})

    return {
        "fp32": lambda: model,
        "bf16": lambda: model,
        "int8": quantised,
        "onnx": lambda: Exported(model, folder, False),
        "onnx int8": lambda: Exported(model, folder, True),
    }


def cases_of(linker: Any, looks: CrossEncoder, samples: Sequence[Any], most: int, folder: Path) -> Iterator[Any]:
    """Yield case and place of gold, −1 where it is not listed, of mentions that would be looked at."""
    for sample, link in zip(samples, retrieved(linker, samples, READ, True, folder), strict=True):
        if looks.scope.passed_over(link) is not None or most == 0:
            continue
        most -= 1
        ids = [candidate.id for candidate in link.candidates]
        view = linker.kb.take(ids)
        case = Case(link.mention, link.candidates, tuple(view.entity(row) for row in range(len(view))))
        yield case, ids.index(sample.gold) if sample.gold in ids else -1


def measure(looks: Any, cases: Sequence[Case], gold: np.ndarray, folder: Path) -> dict[str, Any]:
    """Return, by arithmetic, speed and what became of the order."""
    reader, weights = looks._reader, looks.saved.blend.weights
    net = reader.net
    pairs = [pair for case in cases for pair in reader.tokenize(case)]
    ends = np.cumsum([len(case.candidates) for case in cases])[:-1]
    figures = [reader.figures(case) for case in cases]
    own = np.split(reader.head(np.concatenate([reader.own(each) for each in figures])), ends)
    found: dict[str, Any] = {}
    before: list[np.ndarray] = []
    plain = net.model
    for name, make in ways(plain, folder).items():
        try:
            net.model = make()
        except ImportError as error:
            found[name] = {"left out": str(error)}
            continue
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
            net.read(pairs[:64])
            began = time.perf_counter()
            values = net.read(pairs).float().numpy()
            took = time.perf_counter() - began
        readings = np.split(values, ends)
        before = before or readings
        logits = [
            weights.get("score", 0.0) * each[:, 0] + weights.get("own", 0.0) * o + weights.get("reading", 1.0) * r
            for each, o, r in zip(figures, own, readings, strict=True)
        ]
        first = np.array([int(np.argmax(each)) for each in logits])
        kept = first if name == "fp32" else kept
        centred = [np.concatenate([each - each.mean() for each in lists]) for lists in (before, readings)]
        found[name] = {
            "mentions per second": round(len(cases) / took, 2),
            "readings": round(float(np.corrcoef(*centred)[0, 1]), 5),
            "first": round(float((first == kept).mean()), 4),
            "hits@1": round(float((first == gold).mean()), 4),
        }
    net.model = plain
    return found


def main() -> None:
    """Measure, write, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kb", type=Path, help="knowledge base")
    parser.add_argument("--run", required=True, help="retriever")
    parser.add_argument("--reranker", type=Path, required=True, help="folder of a trained cross-encoder that reads")
    parser.add_argument("--mentions", type=Path, required=True, help="labelled mentions")
    parser.add_argument("--most", type=int, default=200, help="mentions read")
    parser.add_argument("--lists", type=Path, help="folder of retrieved lists, as the study keeps them")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    about = machine() | {"threads": torch.get_num_threads()}
    kb = KnowledgeBase.open(asked.kb)
    linker = assemble(read_run(asked.run).model_copy(update={"generators": ("names",)}), kb)
    looks = CrossEncoder.build(SimpleNamespace(kb=kb), {"path": str(asked.reranker), "device": "cpu"})  # type: ignore[arg-type]
    if not looks._reader.net.reads:
        raise SystemExit(f"{asked.reranker} reads nothing: train it with an encoder")
    with tempfile.TemporaryDirectory() as folder:
        lists = asked.lists or Path(folder)
        found = list(cases_of(linker, looks, list(read_mentions(asked.mentions)), asked.most, lists))
        gold = np.array([place for _, place in found])
        result = measure(looks, [case for case, _ in found], gold, Path(folder))
    answer = {"machine": about, "mentions": len(found), "candidates": READ, "arithmetic": result}
    if asked.json:
        asked.json.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
