"""A run directory: what a linker is made of, as ``config.json`` and a model card.

Weights of methods that have tensors lie beside them as safetensors; a run is never a pickle.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import Field

from melink import __version__, registry
from melink.candidates.load import CHEAP, DEFAULT
from melink.config import Config, parse
from melink.datasets.files import replacing
from melink.errors import ConfigError, NotFound
from melink.kb.disk import write_json
from melink.kb.texts import EntityText

NAME = "config.json"
OWN: Final = "run:"
"""Begins the name of an encoder that lies in the run directory itself."""


class Run(Config):
    """Everything that makes a linker, but for the knowledge base itself.

    Attributes:
        method: Registered name.
        settings: The method's own settings.
        text_encoder: Registered encoder name, hub name or path; None for no text.
        image_encoder: Likewise for images.
        encoder: One dual encoder for both sides (CLIP, SigLIP); overrides the two above.
        entity_text: Text that entities are read by: their own, or one of ``melink enrich descriptions``.
        generators: Candidate generators, fused.
        k: Candidates scored for each mention when linking.
        rerank: Name and settings of a reranker (docs/reranking.md); None for none.
        kb: Path of the knowledge base that the run was made with.
        fitted_on: What the settings were fitted on: file name and sha256; None when nothing was fitted.
        kb_hash: Content hash of it at the time.
        train: The plan that it was trained by (:class:`melink.train.plan.Plan`); None for the defaults.
        metrics: Figures of the fit, for the model card.
        melink: Version that wrote the run.
        folder: Where it was read from; not written.
    """

    method: str = "zeroshot"
    settings: dict[str, Any] = Field(default_factory=dict)
    text_encoder: str | None = "minilm"
    image_encoder: str | None = "classical"
    encoder: str | None = None
    entity_text: EntityText = "original"
    generators: tuple[str, ...] = DEFAULT
    k: int = Field(default=100, ge=1)
    rerank: dict[str, Any] | None = None
    kb: str | None = None
    kb_hash: str | None = None
    train: dict[str, Any] | None = None
    fitted_on: dict[str, str] | None = None
    metrics: dict[str, Any] | None = None
    melink: str = __version__
    folder: Path | None = Field(default=None, exclude=True)

    def __eq__(self, other: object) -> bool:
        """Compare what runs are made of, wherever they lie."""
        return isinstance(other, Run) and self.model_dump() == other.model_dump()

    def located(self, encoder: str) -> str:
        """Return an encoder's name, with ``run:`` standing for the run directory."""
        if not encoder.startswith(OWN):
            return encoder
        if self.folder is None:
            raise ConfigError(f"encoder {encoder!r} lies in a run directory", "pass that directory as the model")
        return str(self.folder / encoder.removeprefix(OWN))


def read_run(model: str | Path, untrained: bool = False) -> Run:
    """Return the run of a directory, or the default run of a method name.

    Args:
        model: Run directory or method.
        untrained: Also take a method that has to be trained before it links.

    Raises:
        NotFound: Neither a run directory nor a known method, or one that has to be trained first.
        ConfigError: The directory's ``config.json`` cannot be used.
    """
    file = Path(model) / NAME
    if file.is_file():
        try:
            data = orjson.loads(file.read_bytes())
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{file}: {error}", "restore the file, or train again") from error
        return parse(Run, data, str(file)).model_copy(update={"folder": file.parent})
    if str(model) in registry.names("method"):
        if registry.load("method", str(model)).trains and not untrained:
            raise NotFound(
                f"{model} has to be trained first", f"melink train {model} KB --train F --valid F -o RUN, then pass RUN"
            )
        return Run(method=str(model), generators=DEFAULT if _reads_text(str(model)) else CHEAP)
    if Path(model).is_dir():
        raise NotFound(f"{model} is a directory without {NAME}", "pass a run directory made by 'melink train'")
    raise NotFound.among("model (neither a run directory nor a method)", str(model), registry.names("method"))


def _reads_text(method: str) -> bool:
    return bool(registry.load("method", method).needs & {"text_global", "text_tokens"})


def copy_own(run: Run, path: str | Path) -> None:
    """Copy what a run directory holds beside ``config.json`` and its card: tensors and tuned encoders."""
    folder = Path(path)
    if run.folder is None or (folder.exists() and folder.samefile(run.folder)):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for file in run.folder.glob("*.safetensors"):
        shutil.copyfile(file, folder / file.name)
    for name in ("encoder", "image-encoder"):
        if (run.folder / name).is_dir():
            shutil.copytree(run.folder / name, folder / name, dirs_exist_ok=True)


def write_run(run: Run, path: str | Path, paper: str) -> None:
    """Write ``config.json`` and ``README.md`` (the model card) into a directory, each by rename.

    Args:
        run: What to write.
        path: The directory; made when absent.
        paper: Where the method comes from, for the card.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / NAME, run.model_dump(mode="json"))
    with replacing(folder / "README.md") as out:
        out.write(_card(run, paper).encode())


def _card(run: Run, paper: str) -> str:
    fitted = f"fitted on `{run.fitted_on['file']}`" if run.fitted_on else "default weights, nothing fitted"
    figures = "".join(f"| {name} | {value} |\n" for name, value in (run.metrics or {}).items())
    table = f"\n| figure | value |\n|---|---|\n{figures}" if figures else ""
    return (
        "---\nlibrary_name: melink\ntags: [multimodal-entity-linking]\n---\n"
        f"# {run.method}\n\n{paper}; {fitted}.\n\n"
        f"- text encoder: {run.encoder or run.text_encoder}\n- image encoder: {run.encoder or run.image_encoder}\n"
        f"- entity text: {run.entity_text}\n"
        f"- candidates: {', '.join(run.generators)} (top {run.k})\n- melink {run.melink}\n{table}"
        "\n```python\nimport melink\n\n"
        "linker = melink.Linker.from_pretrained('this directory', kb='knowledge base')\n```\n"
    )
