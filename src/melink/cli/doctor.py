"""``melink doctor``: is this machine ready, and what to do where it is not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from melink.cli import options
from melink.cli.common import verb, write_json

Status = Literal["ok", "warn", "fail"]
CORE: Final = ("numpy", "pyarrow", "lancedb", "tantivy", "rapidfuzz", "orjson", "pillow", "pydantic", "scipy")
LOW_DISK: Final = 2 * 2**30
LOW_MEMORY: Final = 4 * 2**30
_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; ``remedy`` says what to do when it is not ``ok``."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


@verb
def doctor(
    json: options.Json = False,
    at: Annotated[Path, typer.Option("--at", help="Folder whose disk space counts.")] = Path(),
) -> None:
    """Check Python, packages, models, memory and disk; exit with status 1 when something cannot work.

    Examples:

        melink doctor

        melink doctor --json --at /data
    """
    checks = [check for look in CHECKS for check in look()] + [disk(at)]
    if json:
        write_json([asdict(check) for check in checks])
    else:
        _show(checks)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _show(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape

    out = Console(highlight=False, soft_wrap=True)
    for check in checks:
        out.print(f"[{_COLOURS[check.status]}]{check.status:4}[/] {check.name}: {escape(check.detail)}")
        if check.remedy:
            out.print(f"     try: {escape(check.remedy)}")


def python() -> Iterator[Check]:
    """Check the interpreter."""
    version = platform.python_version()
    old = sys.version_info < (3, 11)
    yield Check("python", "fail" if old else "ok", version, "install Python 3.11 or later" if old else "")


def packages() -> Iterator[Check]:
    """Check that the core packages are installed, with their versions."""
    for package in CORE:
        try:
            yield Check(package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Check(package, "fail", "not installed", "pip install melink")


def torch() -> Iterator[Check]:
    """Check torch, its threads and accelerators."""
    missing = [package for package in ("torch", "transformers") if find_spec(package) is None]
    if missing:
        detail = f"{' and '.join(missing)} not installed: only the names method and classical pictures work"
        yield Check("models", "warn", detail, "pip install 'melink[minilm]'")
        return
    import torch as library

    yield Check("torch", "ok", f"{library.__version__}, {library.get_num_threads()} thread(s)")
    yield Check("transformers", "ok", metadata.version("transformers"))
    if library.cuda.is_available():
        yield Check("accelerator", "ok", library.cuda.get_device_name(0))
    else:
        yield Check("accelerator", "ok", "none; models run on the CPU in 32 bits")


def minilm() -> Iterator[Check]:
    """Check that the embedded text encoder encodes."""
    from melink.errors import MelinkError
    from melink.features.load import load_text

    try:
        length = float((load_text("minilm").encode(["melink"]).vectors ** 2).sum())
    except MelinkError as error:
        yield Check("minilm", "warn", error.message, error.remedy)
        return
    works = abs(length - 1) < 1e-3
    remedy = "" if works else "pip install --force-reinstall 'melink[minilm]'"
    yield Check("minilm", "ok" if works else "fail", "encodes offline" if works else "gives wrong vectors", remedy)


def pictures() -> Iterator[Check]:
    """Check that every allowed picture format can be read."""
    from PIL import features

    from melink.features.images import FORMATS

    codecs = {"JPEG": "jpg", "PNG": "zlib", "WEBP": "webp"}
    lacking = [name for name in FORMATS if name in codecs and not features.check(codecs[name])]
    remedy = "pip install --force-reinstall pillow" if lacking else ""
    detail = f"cannot read {', '.join(lacking)}" if lacking else f"reads {', '.join(FORMATS)}"
    yield Check("pictures", "fail" if lacking else "ok", detail, remedy)


def hub() -> Iterator[Check]:
    """Say whether the model hub may be asked."""
    offline = next((name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if _on(name)), None)
    if offline:
        yield Check("model hub", "ok", f"not asked ({offline} is set); models by folder, minilm and classical work")
    else:
        yield Check("model hub", "ok", "asked when a model is named that is not on this machine")


def threads() -> Iterator[Check]:
    """Compare the threads asked for with the cores there are."""
    from melink.features.encoder import cores

    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > here:
        detail = f"OMP_NUM_THREADS={asked} but only {here} core(s): threads would wait for each other"
        yield Check("cores", "warn", detail, f"export OMP_NUM_THREADS={here}")
    else:
        yield Check("cores", "ok", f"{cores()} used of {here}")


def memory() -> Iterator[Check]:
    """Check physical memory."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        yield Check("memory", "ok", "unknown on this system")
        return
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    low = total < LOW_MEMORY
    remedy = "link with a smaller knowledge base, or on a machine with 4 GiB" if low else ""
    yield Check("memory", "warn" if low else "ok", f"{total / 2**30:.1f} GiB", remedy)


def disk(at: Path) -> Check:
    """Check the free space of the disk that holds a folder."""
    try:
        free = shutil.disk_usage(at).free
    except OSError as error:
        return Check("disk", "fail", f"{at}: {error.strerror}", "name a folder that exists: --at FOLDER")
    low = free < LOW_DISK
    remedy = "free some space: features of 100,000 entities take about 1 GiB with tokens" if low else ""
    return Check("disk", "warn" if low else "ok", f"{free / 2**30:.1f} GiB free at {at.resolve()}", remedy)


def pitfalls() -> Iterator[Check]:
    """Look for settings that are known to do harm."""
    if sys.flags.optimize > 1:
        yield Check("python -OO", "warn", "drops the help texts of the command line", "run without -OO")
    if sys.prefix == sys.base_prefix:
        yield Check("environment", "warn", "not a virtual environment", "python -m venv .venv && . .venv/bin/activate")


def _on(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


CHECKS: Final[tuple[Callable[[], Iterator[Check]], ...]] = (
    python, packages, torch, minilm, pictures, hub, threads, memory, pitfalls,
)  # fmt: skip
