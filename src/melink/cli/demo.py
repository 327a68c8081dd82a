"""``melink demo``: the bundled example, offline, in one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melink.cli import options
from melink.cli.common import err, verb, write_json

if TYPE_CHECKING:
    from melink.demo.run import Demo


@verb
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Directory for the knowledge base and the page.")
    ] = Path("melink-demo"),
    json: options.Json = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Link the bundled mentions over the bundled knowledge base; print a table and write a page with pictures.

    Examples:

        melink demo

        melink demo -o /tmp/demo --open
    """
    from melink.datasets.files import replacing
    from melink.demo.run import run

    done = run(output)
    page = output / "index.html"
    with replacing(page) as out:
        out.write(done.html().encode())
    if json:
        score = {kind: {"right": right, "mentions": n} for kind, (right, n) in done.score().items()}
        write_json({"page": str(page), "knowledge_base": str(output / "kb"), "score": score})
    else:
        _print(done)
    err.print(f"\nSee [bold]{page}[/] for pictures and reasons. The knowledge base is in {output / 'kb'}: try")
    err.print(f'  melink link {output / "kb"} --text "The moons of Mars" --mention Mars', highlight=False)
    if open_:
        typer.launch(str(page.resolve()))


def _print(done: Demo) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from melink.evaluate.decide import decide

    table = Table("", "mention", "text", "image", "linked to", "confidence", "decided by")
    for outcome in done.outcomes:
        mention, link = outcome.mention, outcome.link
        best = (
            "[dim]NIL: not in the knowledge base[/]"
            if link.nil
            else f"{escape(link.candidates[0].label)} [dim]{escape(link.id)}[/]"
        )
        mark = "[green]✓[/]" if outcome.correct else "[red]✗[/]"
        sure = f"{link.probability:.2f}" if link.probability is not None else ""
        image = "▣" if mention.image else ""
        table.add_row(mark, escape(mention.surface), escape(mention.text[:60]), image, best, sure, decide(link).kind)
    console = Console()
    console.print(table)
    for kind, (right, n) in done.score().items():
        console.print(f"decided by {kind}: {right} of {n} right")
    total = sum(right for right, _ in done.score().values())
    console.print(f"[bold]{total} of {len(done.outcomes)} right[/]")
