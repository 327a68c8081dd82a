"""``melink``: the table of verbs."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Final

import typer

from melink import __version__

app = typer.Typer(
    name="melink",
    help="Multimodal entity linking: which entry of a knowledge base does this name mean, and why?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

VERBS: Final[dict[str, str]] = {
    "demo": "melink.cli.demo",
    "link": "melink.cli.link",
    "evaluate": "melink.cli.evaluate",
    "compare": "melink.cli.compare",
    "candidates": "melink.cli.candidates",
    "encode": "melink.cli.encode",
    "train": "melink.cli.train",
    "train-reranker": "melink.cli.train_reranker",
    "curve": "melink.cli.curve",
    "reproduce": "melink.cli.reproduce",
    "methods": "melink.cli.methods",
    "encoders": "melink.cli.encoders",
    "doctor": "melink.cli.doctor",
}
GROUPS: Final[dict[str, str]] = {
    "kb": "melink.cli.kb",
    "datasets": "melink.cli.datasets",
    "enrich": "melink.cli.enrich",
}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Multimodal entity linking: which entry of a knowledge base does this name mean, and why?"""


for _name, _module in VERBS.items():
    app.command(_name)(getattr(import_module(_module), _name.replace("-", "_")))
for _name, _module in GROUPS.items():
    app.add_typer(import_module(_module).app, name=_name)
