"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from melink.demo.run import Demo
    from melink.kb.store import KnowledgeBase
    from melink.records import Entity

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real benchmark data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MELINK_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "kb" / "entities.jsonl.gz").is_file():
        pytest.skip(f"no benchmark data at {folder}; set MELINK_DATA to a folder that has kb/entities.jsonl.gz")
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The bundled example, built and linked once. Its knowledge base is shared: do not change it."""
    from melink.demo.run import run

    return run(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def demo_copy(demo: Demo, tmp_path: Path) -> KnowledgeBase:
    """A copy of the demo knowledge base, with its features, to change at will."""
    from melink.kb.store import KnowledgeBase

    return KnowledgeBase.open(shutil.copytree(demo.linker.kb.path, tmp_path / "demo-kb"))


@pytest.fixture(scope="session")
def demo_mentions(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's mentions as a file, with gold and the paths of their pictures."""
    from melink.datasets.mentions import write_mentions

    path = tmp_path_factory.mktemp("mentions") / "mentions.jsonl"
    write_mentions(demo.samples, path)
    return path


@pytest.fixture(scope="session")
def lessons(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's mentions cut in two: a folder with ``train.jsonl`` (31 with gold in the demo) and ``valid.jsonl``."""
    from melink.datasets.mentions import write_mentions
    from melink.records import NIL

    folder = tmp_path_factory.mktemp("lessons")
    known = [sample for sample in demo.samples if sample.gold != NIL]
    nil = [sample for sample in demo.samples if sample.gold == NIL]
    write_mentions([*known[:62:2], *nil[::2]], folder / "train.jsonl")
    write_mentions([*known[1:62:2], *nil[1::2]], folder / "valid.jsonl")
    return folder


@pytest.fixture
def make_kb(tmp_path: Path) -> Callable[..., KnowledgeBase]:
    """Make a knowledge base of a few entities in a folder of its own."""
    from melink.kb.store import KnowledgeBase

    def make(*entities: Entity, name: str = "kb") -> KnowledgeBase:
        kb = KnowledgeBase.create(tmp_path / name)
        kb.upsert(entities)
        return kb

    return make


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP of one layer a side over letters, saved as users save theirs."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = tmp_path_factory.mktemp("small-clip")
    letters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    end = len(pieces) - 1
    torch.manual_seed(7)
    side = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    ends = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    text = {**side, **ends, "vocab_size": len(pieces), "max_position_embeddings": 77}
    vision = {**side, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers over letters, saved as users save theirs."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("small-bert")
    letters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + letter for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    torch.manual_seed(5)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(pieces), max_position_embeddings=64, **size)).save_pretrained(folder)
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str, int], str]:
    """Draw a picture that depends on a seed, and return its path."""
    import numpy as np
    from PIL import Image

    def draw(name: str, seed: int) -> str:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BILINEAR).save(tmp_path / name)
        return str(tmp_path / name)

    return draw
