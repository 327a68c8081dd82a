"""Write docs/cli.md, the reference of the command line, from the program itself.

python tools/cli_reference.py            write it
python tools/cli_reference.py --check    only say whether it is up to date
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from melink.cli.main import app

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
HEAD: Final = """\
# Command line

<!-- made by tools/cli_reference.py from the help texts of the program; do not edit -->

What every verb has in common: `--help` shows examples; results go to standard output or to the file named with `-o`;
progress, warnings and summaries go to standard error; `--json` prints one JSON document for machines.

| exit status | meaning |
|---|---|
| 0 | done; bad rows may have been passed over, and were then counted on standard error |
| 1 | asked to fail on bad rows (`--fail-on-bad-rows`); `doctor` found what cannot work, `reproduce` other figures |
| 2 | an input, an option or a file that cannot be used; the message says what to try |
| 130 | stopped with Ctrl-C; what was finished is kept, and the same command goes on from there |
"""
HIDDEN: Final = ("--help", "--install-completion", "--show-completion")


def main() -> int:
    """Write the page, or compare it with ``--check``."""
    page = render()
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == page else 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


def render() -> str:
    """Return the page."""
    sections = (section(path, command) for path, command in commands(typer.main.get_command(app), ("melink",)))
    return HEAD + "".join(sections)


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command below a group, in the order of ``--help``, with its full name."""
    for name, child in getattr(command, "commands", {}).items():
        if getattr(child, "commands", None):
            yield from commands(child, (*path, name))
        else:
            yield (*path, name), child


def section(path: tuple[str, ...], command: Any) -> str:
    """Return the section of one command: usage, what it does, arguments, options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.opts[0] not in HIDDEN]
    usage = " ".join([*path, *(_usage(argument) for argument in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"\n## {' '.join(path)}\n", f"```text\n{usage}\n```\n", f"{inspect.cleandoc(command.help or '')}\n"]
    if arguments:
        lines.append("| argument | |\n|---|---|")
        lines += [f"| `{_shown(p)}` | {_words(p)} |" for p in arguments]
        lines.append("")
    if options:
        lines.append("| option | |\n|---|---|")
        lines += [
            f"| {', '.join(f'`{name}`' for name in (*p.opts, *p.secondary_opts))} | {_words(p)} |" for p in options
        ]
        lines.append("")
    return "\n".join(lines)


def _shown(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _names(option: Any) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _usage(argument: Any) -> str:
    return _shown(argument) if argument.required else f"[{_shown(argument)}]"


def _words(parameter: Any) -> str:
    """Return help, default and whether it must be given."""
    words = [" ".join((parameter.help or "").split()).replace("|", "\\|")]
    default = parameter.default
    if parameter.required and parameter.param_type_name == "option":
        words.append("Must be given.")
    elif isinstance(default, Path | str | int | float) and default not in (False, "", Path()):
        words.append(f"Default: `{default}`.")
    return " ".join(filter(None, words))


if __name__ == "__main__":
    raise SystemExit(main())
