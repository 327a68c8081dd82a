"""A published MIMIC checkpoint becomes our tensors, and nothing in it is run."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPModel

from melink.methods.matcher import Matcher

SCRIPT = Path(__file__).parents[3] / "tools" / "convert_mimic.py"
D, TEXT, TOKEN, IMAGE, PATCH = 8, 24, 32, 20, 48


def linear(name: str, rows: int, columns: int) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": torch.randn(rows, columns), f"{name}.bias": torch.randn(rows)}


def norm(name: str, width: int) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": torch.randn(width), f"{name}.bias": torch.randn(width)}


def published() -> dict[str, torch.Tensor]:
    """The layers of the published code, with made-up values."""
    torch.manual_seed(0)
    state = linear("encoder.image_cls_fc", D, IMAGE) | linear("encoder.image_tokens_fc", D, PATCH)
    state |= norm("matcher.text_cls_layernorm", TEXT) | norm("matcher.text_tokens_layernorm", TOKEN)
    state |= norm("matcher.image_cls_layernorm", D) | norm("matcher.image_tokens_layernorm", D)
    for name in ("query", "key", "value"):
        state |= linear(f"matcher.tglu.fc_{name}", D, TOKEN)
    state |= linear("matcher.tglu.fc_cls", D, TEXT) | norm("matcher.tglu.layer_norm", D)
    for name in ("matcher.vdlu.dual_ent2men", "matcher.vdlu.dual_men2ent"):
        state |= linear(f"{name}.cls_fc", D, D) | linear(f"{name}.tokens_fc", D, D) | linear(f"{name}.fc", D, D)
        state |= linear(f"{name}.gate_fc", 1, D) | norm(f"{name}.add_layer_norm", D) | norm(f"{name}.layer_norm", D)
    state |= linear("matcher.cmfu.text_fc", D, TEXT) | linear("matcher.cmfu.image_fc", D, D)
    state |= linear("matcher.cmfu.gate_fc", 1, D) | norm("matcher.cmfu.gate_layer_norm", D)
    return state | norm("matcher.cmfu.context_layer_norm", D)


def lightning(path: Path, state: dict[str, torch.Tensor], **extra: Any) -> Path:
    content = {
        "epoch": 9,
        "pytorch-lightning_version": "1.7.7",
        "state_dict": OrderedDict(state),
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-5}]}],
        "hyper_parameters": {"seed": 43},
    }
    torch.save(content | extra, path)
    return path


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_mimic", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: str | Path) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[str | Path, ...]]:
        return self.call


class SettingsDict(dict[str, Any]):
    """A dictionary of its own kind, as some configurations are."""


def test_every_layer_has_its_place(tool: ModuleType, tmp_path: Path) -> None:
    state = published()
    said = tool.convert(lightning(tmp_path / "a.ckpt", state), tmp_path / "out")
    found = load_file(tmp_path / "out" / "model.safetensors")
    matcher = Matcher(TEXT, TOKEN, IMAGE, PATCH, D, quirks=True)
    matcher.load_state_dict({name.removeprefix(tool.PREFIX): value for name, value in found.items()})  # all, no others
    for ours, theirs in {
        "image_whole": "encoder.image_cls_fc",
        "image_patch": "encoder.image_tokens_fc",
        "norm_text": "matcher.text_cls_layernorm",
        "norm_token": "matcher.text_tokens_layernorm",
        "norm_image": "matcher.image_cls_layernorm",
        "norm_patch": "matcher.image_tokens_layernorm",
        "tglu.query": "matcher.tglu.fc_query",
        "tglu.key": "matcher.tglu.fc_key",
        "tglu.value": "matcher.tglu.fc_value",
        "tglu.whole": "matcher.tglu.fc_cls",
        "tglu.norm": "matcher.tglu.layer_norm",
        "vdlu.to_mention.whole": "matcher.vdlu.dual_ent2men.cls_fc",
        "vdlu.to_mention.patch": "matcher.vdlu.dual_ent2men.tokens_fc",
        "vdlu.to_entity.mix": "matcher.vdlu.dual_men2ent.fc",
        "vdlu.to_entity.gate": "matcher.vdlu.dual_men2ent.gate_fc",
        "vdlu.to_entity.norm_sum": "matcher.vdlu.dual_men2ent.add_layer_norm",
        "vdlu.to_entity.norm": "matcher.vdlu.dual_men2ent.layer_norm",
        "cmfu.text": "matcher.cmfu.text_fc",
        "cmfu.patch": "matcher.cmfu.image_fc",
        "cmfu.gate": "matcher.cmfu.gate_fc",
        "cmfu.norm": "matcher.cmfu.gate_layer_norm",
    }.items():
        for part in ("weight", "bias"):
            assert torch.equal(found[f"matcher.{ours}.{part}"], state[f"{theirs}.{part}"]), ours
    assert len(found) == len(state) - 2 + 1 and not found["matcher.neutral"].any()
    assert any("context_layer_norm.weight" in line for line in said) and any("no CLIP weights" in line for line in said)
    assert f"d = {D}" in said[0] and [path.name for path in (tmp_path / "out").iterdir()] == ["model.safetensors"]


def test_clip_can_be_used_again(tool: ModuleType, tmp_path: Path, tiny_clip: Path) -> None:
    clip = CLIPModel.from_pretrained(tiny_clip)
    own = {f"encoder.clip.{name}": value + 1 for name, value in clip.state_dict().items()}
    own["encoder.clip.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    said = tool.convert(lightning(tmp_path / "a.ckpt", published() | own), tmp_path / "out")
    assert any("position_ids" in line for line in said)
    again = Path(shutil.copytree(tiny_clip, tmp_path / "clip"))
    (tmp_path / "out" / "clip.safetensors").replace(again / "model.safetensors")
    loaded, info = CLIPModel.from_pretrained(again, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    torch.testing.assert_close(loaded.text_projection.weight, clip.text_projection.weight + 1)


def test_a_script_that_runs_nothing(tmp_path: Path) -> None:
    """What a hostile file asks for is not done; the tensors beside it are read all the same."""
    trace = tmp_path / "trace"
    own = {
        "call": Calls(eval, f"__import__('os').mkdir({str(trace)!r})"),
        "options": argparse.Namespace(lr=1e-5, name="x"),
        "counts": defaultdict(dict, a={"b": 1}),
        "settings": SettingsDict(a=1),
    }
    path = lightning(tmp_path / "a.ckpt", published(), hyper_parameters=own)
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(path), "-o", str(tmp_path / "out")],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / "model.safetensors").is_file() and "the matcher" in run.stdout
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # the file was hostile indeed


@pytest.mark.parametrize("function", [os.system, Path.mkdir])
def test_what_cannot_be_read_without_running_it(tool: ModuleType, tmp_path: Path, function: Any) -> None:
    trace = tmp_path / "trace"
    call = Calls(function, f"mkdir {trace}" if function is os.system else trace)
    path = lightning(tmp_path / "a.ckpt", published(), hyper_parameters={"call": call})
    with pytest.raises(tool.Refused, match="not readable without running it"):
        tool.convert(path, tmp_path / "out")
    assert not trace.exists() and not (tmp_path / "out").exists()
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_one_stand_in_does_not_outlive_the_reading(tool: ModuleType, tmp_path: Path) -> None:
    path = lightning(tmp_path / "a.ckpt", published(), hyper_parameters=argparse.Namespace(a=1))
    tool.read_checkpoint(path)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)


def test_a_missing_or_misshapen_tensor(tool: ModuleType, tmp_path: Path) -> None:
    state = published()
    del state["matcher.vdlu.dual_men2ent.gate_fc.bias"]
    with pytest.raises(tool.Refused, match=r"lacks 1 tensors: matcher\.vdlu\.dual_men2ent\.gate_fc\.bias"):
        tool.convert(lightning(tmp_path / "a.ckpt", state), tmp_path / "out")
    for shape in ((D, TOKEN + 1), (D,)):
        state = published() | {"matcher.tglu.fc_key.weight": torch.zeros(shape)}
        with pytest.raises(tool.Refused, match=r"fc_key\.weight has shape"):
            tool.convert(lightning(tmp_path / "b.ckpt", state), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_checkpoint(tool: ModuleType, tmp_path: Path) -> None:
    whole = lightning(tmp_path / "a.ckpt", published()).read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(tool.Refused, match="damaged, no PyTorch checkpoint"):
            tool.convert(tmp_path / name, tmp_path / "out")
    torch.save([1, 2], tmp_path / "list")
    torch.save({"state_dict": {"a": 1}}, tmp_path / "number")
    for name, words in (("nowhere", "no such file"), ("list", "no 'state_dict'"), ("number", "not a tensor: a")):
        with pytest.raises(tool.Refused, match=words):
            tool.convert(tmp_path / name, tmp_path / "out")


def test_unknown_tensors(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lightning(tmp_path / "a.ckpt", published() | {"matcher.extra.weight": torch.zeros(2)})
    with pytest.raises(SystemExit, match=r"1 unknown tensors: matcher\.extra\.weight.*--ignore-unknown"):
        tool.main([str(path), "-o", str(tmp_path / "out")])
    tool.main([str(path), "-o", str(tmp_path / "out"), "--ignore-unknown"])
    assert "left out, unknown: matcher.extra.weight" in capsys.readouterr().out
