"""A published MIMIC checkpoint, converted: it scores as the published equations say, padding included.

The checkpoint has the layout of the published code and made-up values. Expected scores are computed here from its own
tensors, by its own names, through the encoder as the published code calls it.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import orjson
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer
from typer.testing import CliRunner

from melink import Linker
from melink.candidates.base import Candidates
from melink.cli.main import app
from melink.datasets.mentions import write_mentions
from melink.kb.store import KnowledgeBase
from melink.records import Entity, Labelled, Mention

SCRIPT = Path(__file__).parents[2] / "tools" / "convert_mimic.py"
D, TEXT, HIDDEN = 8, 16, 32
"""Widths of the units, of CLIP's joint space and of its hidden states."""
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's pixels."""
FACTS = ("occupation: singer. genre: folk.", "", "height: 12 m", "country: Norway. " * 12, "colour: red", "born: 1901")
State = dict[str, Tensor]


# A checkpoint.


def linear(name: str, rows: int, columns: int) -> State:
    return {f"{name}.weight": torch.randn(rows, columns) / math.sqrt(columns), f"{name}.bias": torch.randn(rows) / 2}


def norm(name: str, width: int) -> State:
    return {f"{name}.weight": 0.6 + torch.randn(width) / 6, f"{name}.bias": torch.randn(width) / 6}


def published() -> State:
    state = linear("encoder.image_cls_fc", D, TEXT) | linear("encoder.image_tokens_fc", D, HIDDEN)
    state |= norm("matcher.text_cls_layernorm", TEXT) | norm("matcher.text_tokens_layernorm", HIDDEN)
    state |= norm("matcher.image_cls_layernorm", D) | norm("matcher.image_tokens_layernorm", D)
    for name in ("query", "key", "value"):
        state |= linear(f"matcher.tglu.fc_{name}", D, HIDDEN)
    state |= linear("matcher.tglu.fc_cls", D, TEXT) | norm("matcher.tglu.layer_norm", D)
    for name in ("matcher.vdlu.dual_ent2men", "matcher.vdlu.dual_men2ent"):
        state |= linear(f"{name}.cls_fc", D, D) | linear(f"{name}.tokens_fc", D, D) | linear(f"{name}.fc", D, D)
        state |= linear(f"{name}.gate_fc", 1, D) | norm(f"{name}.add_layer_norm", D) | norm(f"{name}.layer_norm", D)
    state |= linear("matcher.cmfu.text_fc", D, TEXT) | linear("matcher.cmfu.image_fc", D, D)
    state |= linear("matcher.cmfu.gate_fc", 1, D) | norm("matcher.cmfu.gate_layer_norm", D)
    return state | norm("matcher.cmfu.context_layer_norm", D)


@dataclass
class Published:
    """A checkpoint as a file, what is in it, and the CLIP that it was trained from."""

    file: Path
    matcher: State
    clip: CLIPModel
    before: Path


@pytest.fixture(scope="module")
def checkpoint(small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    torch.manual_seed(0)
    state, clip = published(), CLIPModel.from_pretrained(small_clip).eval()
    with torch.no_grad():
        for value in clip.parameters():
            value += 0.1 * torch.randn_like(value)  # it was trained, too
    file = tmp_path_factory.mktemp("published") / "epoch=9.ckpt"
    own = {f"encoder.clip.{name}": value for name, value in clip.state_dict().items()}
    own["encoder.clip.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    torch.save({"epoch": 9, "state_dict": OrderedDict(state | own), "hyper_parameters": {"seed": 43}}, file)
    return Published(file, state, clip, small_clip)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_mimic", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def converted(tool: ModuleType, checkpoint: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "run"
    tool.main([str(checkpoint.file), "-o", str(folder), "--encoder", str(checkpoint.before)])
    return folder


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """Six entities with texts of all lengths; three have a picture."""
    folder = tmp_path_factory.mktemp("knowledge")
    kb = KnowledgeBase.create(folder / "kb")
    kb.upsert(
        Entity(f"E{n}", f"Ann {n}", attributes=text, images=(drawn(folder / f"{n}.png", n),) if n % 2 else ())
        for n, text in enumerate(FACTS)
    )
    return kb


@pytest.fixture(scope="module")
def mentions(tmp_path_factory: pytest.TempPathFactory) -> list[Mention]:
    """Three mentions: a long text with a picture, a short one with a wide picture, one without."""
    folder = tmp_path_factory.mktemp("asked")
    return [
        Mention("a", "Ann sang " + "la " * 60, "Ann", image=drawn(folder / "a.png", 7)),
        Mention("b", "Ann 4.", "Ann 4", image=drawn(folder / "b.png", 8, (90, 30))),
        Mention("c", "They met Ann in Oslo", "Ann"),
    ]


def drawn(path: Path, seed: int, size: tuple[int, int] = (64, 48)) -> str:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).save(path)
    return str(path)


# The published equations, one pair at a time.


@dataclass
class Item:
    """One mention or entity: what the encoder gives, and after the four layer norms."""

    text: Tensor
    tokens: Tensor
    image: Tensor
    patches: Tensor


class Equations:
    """Scores by the tensors of a checkpoint."""

    def __init__(self, checkpoint: Published) -> None:
        self.state, self.clip = checkpoint.matcher, checkpoint.clip
        self.tokenizer = CLIPTokenizer.from_pretrained(checkpoint.before)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.layer_norm(x, (len(weight),), weight, self.state[f"{name}.bias"])

    def item(self, text: str, picture: str | None) -> Item:
        """All 40 positions, padding among them; zero pixels where there is no picture."""
        read = self.tokenizer(text, padding="max_length", max_length=40, truncation=True, return_tensors="pt")
        pixels = torch.zeros(3, 32, 32)
        if picture is not None:
            squashed = Image.open(picture).convert("RGB").resize((32, 32), Image.Resampling.LANCZOS)
            pixels = torch.from_numpy((np.asarray(squashed) / 255 - MEAN) / SPREAD).permute(2, 0, 1).float()
        out = self.clip(**read, pixel_values=pixels[None])
        tokens, patches = out.text_model_output.last_hidden_state[0], out.vision_model_output.last_hidden_state[0]
        assert tokens.shape == (40, HIDDEN) and patches.shape == (17, HIDDEN)
        return Item(
            self.norm("matcher.text_cls_layernorm", out.text_embeds[0]),
            self.norm("matcher.text_tokens_layernorm", tokens),
            self.norm("matcher.image_cls_layernorm", self.linear("encoder.image_cls_fc", out.image_embeds[0])),
            self.norm("matcher.image_tokens_layernorm", self.linear("encoder.image_tokens_fc", patches)),
        )

    def text(self, mention: Item, entity: Item) -> Tensor:
        query = self.linear("matcher.tglu.fc_query", entity.tokens)
        key, value = (self.linear(f"matcher.tglu.fc_{name}", mention.tokens) for name in ("key", "value"))
        context = torch.softmax(query @ key.T / math.sqrt(D), -1) @ value
        local = self.norm("matcher.tglu.layer_norm", context.mean(0))
        return (mention.text @ entity.text + self.linear("matcher.tglu.fc_cls", entity.text) @ local) / 2

    def dual(self, name: str, query: Item, key: Item) -> Tensor:
        q, k = (self.linear(f"{name}.cls_fc", side.image) for side in (query, key))
        pooled = self.linear(f"{name}.tokens_fc", key.patches).mean(0)
        x = self.linear(f"{name}.fc", self.norm(f"{name}.add_layer_norm", pooled + q))
        gate = torch.tanh(self.linear(f"{name}.gate_fc", x))
        return self.norm(f"{name}.layer_norm", gate * x + k) @ self.norm(f"{name}.layer_norm", q)

    def fused(self, side: Item) -> Tensor:
        h, local = self.linear("matcher.cmfu.text_fc", side.text), self.linear("matcher.cmfu.image_fc", side.patches)
        gathered = torch.softmax(local @ h, 0) @ local
        return self.norm(
            "matcher.cmfu.gate_layer_norm", torch.tanh(self.linear("matcher.cmfu.gate_fc", h)) * h + gathered
        )

    def score(self, mention: Item, entity: Item) -> float:
        image = self.dual("matcher.vdlu.dual_ent2men", entity, mention)
        image = (image + self.dual("matcher.vdlu.dual_men2ent", mention, entity)) / 2
        cross = self.fused(mention) @ self.fused(entity)
        return float((self.text(mention, entity) + image + cross) / 3)

    @torch.no_grad()
    def scores(self, mentions: Sequence[Mention], kb: KnowledgeBase) -> np.ndarray:
        ours = [self.item(f"{mention.surface} [SEP] {mention.text}", mention.image) for mention in mentions]
        entities = [kb.view().entity(row) for row in range(len(kb.view()))]
        texts = [f"{entity.label} [SEP] {entity.attributes}" for entity in entities]
        theirs = [self.item(text, next(iter(e.images), None)) for text, e in zip(texts, entities, strict=True)]
        return np.array([[self.score(mention, entity) for entity in theirs] for mention in ours])


def everything(kb: KnowledgeBase, mentions: Sequence[Mention]) -> Candidates:
    return Candidates(tuple(kb.view().ids for _ in mentions))


def test_scores_and_rankings_are_those_of_the_equations(
    checkpoint: Published, converted: Path, kb: KnowledgeBase, mentions: list[Mention]
) -> None:
    expected, ids = Equations(checkpoint).scores(mentions, kb), kb.view().ids
    assert np.ptp(expected) > 1 and np.diff(np.sort(expected, axis=1), axis=1).min() > 2e-3  # no ties
    linker = Linker.from_pretrained(converted, kb=kb)
    for asked in (range(3), [2], [0]):  # whatever is asked together, and where nobody has a picture
        some = [mentions[m] for m in asked]
        links = linker.rank(some, everything(kb, some), top=6)
        for m, link in zip(asked, links, strict=True):
            found = {candidate.id: candidate.score for candidate in link.candidates}
            np.testing.assert_allclose([found[id] for id in ids], expected[m], atol=1e-3)  # kept in 16 bits
            assert [candidate.id for candidate in link.candidates] == [ids[n] for n in np.argsort(-expected[m])]
            assert all(set(candidate.parts) == {"text", "image", "cross"} for candidate in link.candidates)
    whole = linker.whole(mentions, k=6)
    assert [list(found) for found in whole.ids] == [[ids[n] for n in np.argsort(-row)] for row in expected]


def test_the_run_says_how_it_reads(tool: ModuleType, checkpoint: Published, converted: Path) -> None:
    run = orjson.loads((converted / "config.json").read_bytes())
    assert run["method"] == "mimic" and run["text_encoder"] is None and run["image_encoder"] is None
    assert run["encoder"] == "run:encoder?max_tokens=40&pad=keep&resize=squash"
    settings = {"tokens": 40, "width": D, "sharpness": None, "reference_quirks": True, "names": False, "tune": 0}
    settings |= {"mention_template": "{surface} [SEP] {text}", "entity_template": "{label} [SEP] {attributes}"}
    assert run["settings"].items() >= settings.items()
    kept = load_file(converted / "encoder" / "model.safetensors")
    assert kept.keys() == checkpoint.clip.state_dict().keys()
    assert "MIMIC" in (converted / "README.md").read_text(encoding="utf-8")


def test_it_links_and_evaluates_from_the_command_line(
    converted: Path, kb: KnowledgeBase, mentions: list[Mention], tmp_path: Path
) -> None:
    asked = ["--text", mentions[1].text, "--mention", mentions[1].surface, "--image", mentions[1].image]
    linked = CliRunner().invoke(app, ["link", str(kb.path), "--model", str(converted), *map(str, asked), "--json"])
    assert linked.exit_code == 0, linked.output
    first = orjson.loads(linked.stdout)["candidates"][0]
    assert set(first["features"]) == {"text", "image", "cross"}
    shown = CliRunner().invoke(app, ["link", str(kb.path), "--model", str(converted), *map(str, asked)])
    assert shown.exit_code == 0 and "cross" in shown.stdout
    write_mentions([Labelled(mention, f"E{n}") for n, mention in enumerate(mentions)], tmp_path / "test.jsonl")
    judged = CliRunner().invoke(
        app, ["evaluate", str(kb.path), str(tmp_path / "test.jsonl"), "--model", str(converted), "--json", "-"]
    )
    assert judged.exit_code == 0, judged.output
    assert "mrr" in judged.stdout


def test_without_clip_weights_the_name_is_kept(tool: ModuleType, checkpoint: Published, tmp_path: Path) -> None:
    torch.save({"state_dict": OrderedDict(checkpoint.matcher)}, tmp_path / "bare.ckpt")
    said = tool.convert(tmp_path / "bare.ckpt", tmp_path / "run", encoder=str(checkpoint.before))
    run = orjson.loads((tmp_path / "run" / "config.json").read_bytes())
    assert run["encoder"] == f"{checkpoint.before}?max_tokens=40&pad=keep&resize=squash"
    assert any("no CLIP weights" in line for line in said) and not (tmp_path / "run" / "encoder").exists()


def test_another_encoder_than_the_one_that_was_trained(
    tool: ModuleType, checkpoint: Published, small_bert: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(checkpoint.before, tmp_path / "clip"))
    config = orjson.loads((other / "config.json").read_bytes())
    for changed, words in (({"projection_dim": 12}, "dt = 12, not 16"), ({"text_config": {}}, "dtt = 512, not 32")):
        (other / "config.json").write_bytes(orjson.dumps(config | changed))
        with pytest.raises(tool.Refused, match=words):
            tool.convert(checkpoint.file, tmp_path / "run", encoder=str(other))
    config["vision_config"]["num_hidden_layers"] = 2
    (other / "config.json").write_bytes(orjson.dumps(config))
    with pytest.raises(tool.Refused, match=r"\d+ tensors differ: vision_model"):
        tool.convert(checkpoint.file, tmp_path / "run", encoder=str(other))
    for name, words in ((str(small_bert), "it is no CLIP"), (str(tmp_path / "none"), "could not be loaded")):
        with pytest.raises(tool.Refused, match=words):
            tool.convert(checkpoint.file, tmp_path / "run", encoder=name)
    assert not (tmp_path / "run").exists()
