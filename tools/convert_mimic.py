"""Convert a published MIMIC checkpoint (a Lightning ``.ckpt``) into safetensors, without running anything in it.

    python tools/convert_mimic.py epoch=9.ckpt -o mimic-wikimel --encoder openai/clip-vit-base-patch32
    melink link KB posts.jsonl --model mimic-wikimel

writes a run directory that follows the published equations: ``mimic-wikimel/model.safetensors`` (the matcher) and, when
the checkpoint holds CLIP's weights, ``mimic-wikimel/encoder``, with configuration, tokenizer and processor of the CLIP
that was trained: ``--encoder`` is its name, or a folder. Without ``--encoder`` there are only tensors, CLIP's in
``clip.safetensors``.

A ``.ckpt`` is a pickle, which can name any function to be called. Here every class or function that it names, beside
those that rebuild tensors, is replaced by one that does nothing, and whatever cannot be read so is refused.

Tried on files made in the layout of the published code, not on a published file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor

PREFIX: Final = "matcher."
"""Stands before every name in ``model.safetensors``; what follows is the state dict of ``melink``'s ``Matcher``."""
ENCODER: Final = "encoder"
"""The folder of CLIP in a run directory."""
NEUTRAL: Final = "neutral"
"""Two learned constants of ``Matcher`` that published models lack and never use: zeros."""
CLIP: Final = "encoder.clip."
"""Before the names of CLIP's own weights; what follows is Hugging Face's name."""
BUFFERS: Final = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Counting 0, 1, 2 …: old versions of transformers stored them."""

_DUAL: Final = {
    "cls_fc": ("whole", "d", "d"),
    "tokens_fc": ("patch", "d", "d"),
    "fc": ("mix", "d", "d"),
    "gate_fc": ("gate", "1", "d"),
    "add_layer_norm": ("norm_sum", "d"),
    "layer_norm": ("norm", "d"),
}
LAYERS: Final[dict[str, tuple[str, ...]]] = {
    "encoder.image_cls_fc": ("image_whole", "d", "dv"),
    "encoder.image_tokens_fc": ("image_patch", "d", "dvv"),
    "matcher.text_cls_layernorm": ("norm_text", "dt"),
    "matcher.text_tokens_layernorm": ("norm_token", "dtt"),
    "matcher.image_cls_layernorm": ("norm_image", "d"),
    "matcher.image_tokens_layernorm": ("norm_patch", "d"),
    "matcher.tglu.fc_query": ("tglu.query", "d", "dtt"),
    "matcher.tglu.fc_key": ("tglu.key", "d", "dtt"),
    "matcher.tglu.fc_value": ("tglu.value", "d", "dtt"),
    "matcher.tglu.fc_cls": ("tglu.whole", "d", "dt"),
    "matcher.tglu.layer_norm": ("tglu.norm", "d"),
    **{
        f"matcher.vdlu.{theirs}.{layer}": (f"vdlu.{ours}.{target}", *sizes)
        for theirs, ours in (("dual_ent2men", "to_mention"), ("dual_men2ent", "to_entity"))
        for layer, (target, *sizes) in _DUAL.items()
    },
    "matcher.cmfu.text_fc": ("cmfu.text", "d", "dt"),
    "matcher.cmfu.image_fc": ("cmfu.patch", "d", "d"),
    "matcher.cmfu.gate_fc": ("cmfu.gate", "1", "d"),
    "matcher.cmfu.gate_layer_norm": ("cmfu.norm", "d"),
}
"""Published layer → ours, and the sizes of its weight, rows first; one size for a layer norm."""
SETTINGS: Final[dict[str, Any]] = {
    "mention_template": "{surface} [SEP] {text}",
    "entity_template": "{label} [SEP] {attributes}",
    "tokens": 40,
    "sharpness": None,
    "reference_quirks": True,
}
"""Of the run: what published code reads, and how."""
OPTIONS: Final[dict[str, Any]] = {"max_tokens": 40, "pad": "keep", "resize": "squash"}
"""Of its encoder."""
UNUSED: Final = ("matcher.cmfu.context_layer_norm",)
"""Published layers that take no part in a score: left out."""


class Refused(Exception):
    """A checkpoint that cannot be converted, and why."""


class Inert:
    """Stands for a class or function that a checkpoint names: takes anything, does nothing."""

    def __new__(cls, *args: object, **options: object) -> Inert:
        """Make one from any arguments."""
        return object.__new__(cls)

    def __init__(self, *args: object, **options: object) -> None:
        """Forget the arguments."""

    def __setstate__(self, state: object) -> None:
        """Forget the state."""


class InertDict:
    """The same for a kind of dictionary, which is then filled."""

    def __new__(cls, *args: object, **options: object) -> dict[object, object]:  # type: ignore[misc]
        """Make an empty dictionary from any arguments."""
        return {}


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a Lightning checkpoint's ``state_dict``.

    Raises:
        Refused: It is no such file, damaged, or cannot be read without running what it names.
    """
    if not path.is_file():
        raise Refused(f"{path}: no such file")
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        stand_ins = [(InertDict if name.lower().endswith("dict") else Inert, name) for name in sorted(named)]
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a hostile or damaged file fails in whatever way it likes
        reason = str(error).strip().split("\n")[-1].strip()
        raise Refused(
            f"{path}: damaged, no PyTorch checkpoint, or not readable without running it ({reason})"
        ) from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, Mapping):
        raise Refused(f"{path}: it has no 'state_dict', so it is not a Lightning checkpoint")
    odd = [str(name) for name, value in state.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if odd:
        raise Refused(f"{path}: 'state_dict' holds what is not a tensor: {', '.join(odd[:5])}")
    return dict(state)


def matcher_tensors(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Return the matcher's tensors by our names, and the sizes that were found.

    Raises:
        Refused: One is missing, or its shape does not fit the others.
    """
    lacking = [f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias") if f"{layer}.{part}" not in state]
    if lacking:
        raise Refused(f"not a MIMIC checkpoint, or a part of one: it lacks {len(lacking)} tensors: {few(lacking)}")
    known: dict[str, int] = {"1": 1}
    found: dict[str, Tensor] = {}
    for layer, (target, *sizes) in LAYERS.items():
        for part, symbols in (("weight", sizes), ("bias", sizes[:1])):
            value = state[f"{layer}.{part}"]
            if value.dim() == len(symbols):
                for symbol, size in zip(symbols, value.shape, strict=True):
                    known.setdefault(symbol, size)
            wanted = tuple(known.get(symbol) for symbol in symbols)
            if tuple(value.shape) != wanted:
                raise Refused(f"{layer}.{part} has shape {list(value.shape)}, not {symbols} = {list(wanted)}")
            found[f"{PREFIX}{target}.{part}"] = value
    found[PREFIX + NEUTRAL] = torch.zeros(2)
    return found, {symbol: size for symbol, size in known.items() if symbol != "1"}


def clip_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return CLIP's own tensors by Hugging Face's names; none when the checkpoint lacks them."""
    own = {name.removeprefix(CLIP): value for name, value in state.items() if name.startswith(CLIP)}
    return {name: value for name, value in own.items() if name not in BUFFERS}


def leftover(state: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Return the tensors that are left out on purpose, and those that nobody knows."""
    rest = [name for name in state if name.rpartition(".")[0] not in LAYERS]
    dropped = [n for n in rest if n.rpartition(".")[0] in UNUSED or n.removeprefix(CLIP) in BUFFERS]
    return dropped, [n for n in rest if n not in dropped and not n.startswith(CLIP)]


def convert(path: Path, folder: Path, ignore_unknown: bool = False, encoder: str | None = None) -> list[str]:
    """Convert a checkpoint and return what to tell.

    Args:
        path: The checkpoint.
        folder: What is written.
        ignore_unknown: Leave out tensors that are not MIMIC's.
        encoder: The CLIP that was trained, for a whole run directory; None for tensors alone.

    Raises:
        Refused: See :func:`read_checkpoint`, :func:`matcher_tensors` and :func:`write_encoder`; or it holds unknown
            tensors.
    """
    state = read_checkpoint(path)
    found, sizes = matcher_tensors(state)
    dropped, unknown = leftover(state)
    if unknown and not ignore_unknown:
        raise Refused(f"{len(unknown)} unknown tensors: {few(unknown)}; leave them out with --ignore-unknown")
    clip, said = clip_tensors(state), []
    if encoder is not None:
        said += write_encoder(encoder, clip, sizes, folder)
    folder.mkdir(parents=True, exist_ok=True)
    write(found, folder / "model.safetensors")
    widths = ", ".join(f"{symbol} = {size}" for symbol, size in sizes.items())
    said.insert(0, f"{folder / 'model.safetensors'}: the matcher, {widths}")
    if encoder is not None:
        write_config(encoder, sizes["d"], folder, own=bool(clip))
        said.append(f"{folder}: a run directory; pass it as --model")
    elif clip:
        write(clip, folder / "clip.safetensors")
        said.append(f"{folder / 'clip.safetensors'}: CLIP, {len(clip)} tensors")
    if not clip:
        said.append(f"no CLIP weights ({CLIP}*) in it, though they were trained: scores differ without them")
    said += [f"left out, unused: {name}" for name in dropped]
    return said + [f"left out, unknown: {name}" for name in unknown]


def write_encoder(name: str, clip: Mapping[str, Tensor], sizes: Mapping[str, int], folder: Path) -> list[str]:
    """Write the CLIP that was trained beside the matcher, where its weights are there, and return what to tell.

    Raises:
        Refused: No such model, or not the one that was trained.
    """
    from transformers import AutoConfig, AutoModel

    from melink.errors import MelinkError
    from melink.features.huggingface import hub, load_processor, load_tokenizer

    try:
        with hub(name):
            config = AutoConfig.from_pretrained(name)
        if not (hasattr(config, "text_config") and hasattr(config, "vision_config")):
            raise Refused(f"--encoder {name}: it is no CLIP; name the one that was trained")
        parts = load_tokenizer(name), load_processor(name)
    except MelinkError as error:
        raise Refused(f"--encoder {name}: {error.message}") from error
    widths = {
        "dt": config.projection_dim,
        "dtt": config.text_config.hidden_size,
        "dv": config.projection_dim,
        "dvv": config.vision_config.hidden_size,
    }
    if wrong := [f"{symbol} = {n}, not {sizes[symbol]}" for symbol, n in widths.items() if n != sizes[symbol]]:
        raise Refused(f"--encoder {name} is not the CLIP that was trained: {', '.join(wrong)}")
    if not clip:
        return []
    with torch.device("meta"):
        wanted = {key: value.shape for key, value in AutoModel.from_config(config).state_dict().items()}
    if odd := sorted(key for key in {*wanted, *clip} if key not in clip or wanted.get(key) != clip[key].shape):
        raise Refused(f"--encoder {name} is not the CLIP that was trained: {len(odd)} tensors differ: {few(odd)}")
    own = folder / ENCODER
    own.mkdir(parents=True, exist_ok=True)
    for part in (config, *parts):
        part.save_pretrained(own)
    write(clip, own / "model.safetensors")
    return [f"{own}: CLIP, {len(clip)} tensors"]


def write_config(encoder: str, width: int, folder: Path, own: bool) -> None:
    """Write ``config.json`` and the model card of a run.

    Args:
        encoder: The CLIP that was trained, by name or folder.
        width: Of the units.
        folder: The run directory.
        own: Whether its encoder lies in it.
    """
    from melink.features.load import spec_of
    from melink.methods.mimic import Mimic, MimicSettings
    from melink.runs import OWN, Run, write_run

    settings = MimicSettings(**SETTINGS, width=width).model_dump(mode="json")
    where = OWN + ENCODER if own else str(Path(encoder).resolve()) if Path(encoder).is_dir() else encoder
    run = Run(method="mimic", settings=settings, text_encoder=None, image_encoder=None, encoder=spec_of(where, OPTIONS))
    write_run(run, folder, Mimic.paper)


def write(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors under a temporary name, flush them, and rename."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        plain = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
        save_file(plain, temporary, metadata={"format": "pt"})
        with temporary.open("rb+") as out:
            os.fsync(out.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def few(names: list[str]) -> str:
    """Return the first ten names."""
    return ", ".join(names[:10]) + (" …" if len(names) > 10 else "")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, convert, and say what was written."""
    parser: Any = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="convert_mimic.py"
    )
    parser.add_argument("checkpoint", type=Path, help="the .ckpt file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder to write into")
    parser.add_argument(
        "--encoder", metavar="CLIP", help="the CLIP that was trained: name or folder; makes a whole run"
    )
    parser.add_argument("--ignore-unknown", action="store_true", help="leave out tensors that are not MIMIC's")
    given = parser.parse_args(arguments)
    try:
        print(*convert(given.checkpoint, given.output, given.ignore_unknown, given.encoder), sep="\n")
    except (Refused, OSError) as error:
        sys.exit(f"convert_mimic.py: {error}")


if __name__ == "__main__":
    main()
