"""A method's own tensors in a run directory: ``model.safetensors``, never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from melink.datasets.files import replacing
from melink.errors import InputError, NotFound

FILE: Final = "model.safetensors"


def write_tensors(module: nn.Module, folder: Path) -> None:
    """Write every tensor of a module by rename.

    Raises:
        StoreError: The folder cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    with replacing(folder / FILE) as out:
        out.write(save(tensors))


def read_tensors(module: nn.Module, folder: Path) -> None:
    """Read what :func:`write_tensors` wrote.

    Raises:
        NotFound: The folder has no tensors: the run was not trained to its end.
        InputError: The file is damaged, or belongs to other settings.
    """
    file = folder / FILE
    if not file.is_file():
        raise NotFound(f"{folder} has no {FILE}", "finish the training: the same command with --resume")
    try:
        module.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{file}: {str(error).splitlines()[0]}", "it is damaged or made with other settings; train again"
        ) from error


def fingerprint(module: nn.Module, encoders: Sequence[str], settings: Any) -> str:
    """Hash what a network makes of entities: its tensors, the fingerprints of its encoders, its settings."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    digest.update(json.dumps([list(encoders), settings], sort_keys=True).encode())
    return digest.hexdigest()
