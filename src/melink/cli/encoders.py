"""``melink encoders``: what turns text and pictures into vectors, and what each can and cannot see."""

from __future__ import annotations

from dataclasses import asdict

from melink.cli import options
from melink.cli.common import verb, write_json


@verb
def encoders(json: options.Json = False) -> None:
    """List the encoders: modality, width, what each sees and does not see, whether it is installed.

    Any Hugging Face model can be named too, by hub name or by folder.

    Examples:

        melink encoders

        melink encoders --json
    """
    from melink.features.catalogue import CARDS

    if json:
        write_json([{**asdict(card), "installed": card.installed} for card in CARDS])
        return
    from rich.console import Console
    from rich.markup import escape

    out = Console(highlight=False)
    for card in CARDS:
        width = f"{card.dim} wide, tokens {card.token_dim}" if card.dim else "as wide as the model"
        status = "installed" if card.installed else f"not installed: pip install 'melink[{card.extra}]'"
        out.print(f"[bold]{card.name}[/]  {card.modality}, {width}; {escape(status)}")
        out.print(f"    sees: {escape(card.sees)}")
        out.print(f"    does not see: {escape(card.blind)}")
