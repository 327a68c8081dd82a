"""Run files: layers, overrides, and refusals that name what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from melink.config import Config, load, load_over, parse, save
from melink.errors import ConfigError
from melink.methods.names import NamesSettings
from melink.methods.zeroshot import Weights, ZeroShotSettings
from melink.runs import Run


class Inner(Config):
    a: int = 1
    b: float = 2.0


class Outer(Config):
    name: str = "x"
    inner: Inner = Inner()
    free: dict[str, float] | None = None


def test_defaults_file_and_overrides(tmp_path: Path) -> None:
    assert load(Outer) == Outer()
    file = tmp_path / "run.yaml"
    file.write_text("name: y\ninner: {b: 3}\n")
    assert load(Outer, file) == Outer(name="y", inner=Inner(b=3.0))
    assert load(Outer, file, ["inner.a=5", "name=z"]) == Outer(name="z", inner=Inner(a=5, b=3.0))
    file.write_text("")
    assert load(Outer, file) == Outer()


def test_one_key_of_a_nested_default_leaves_the_others() -> None:
    class Own(Config):
        inner: Inner = Inner(a=5, b=6.0)

    assert parse(Own, {"inner": {"b": 7}}) == Own(inner=Inner(a=5, b=7.0))
    assert load(Own, None, ["inner.a=8"]) == Own(inner=Inner(a=8, b=6.0))
    with pytest.raises(ConfigError, match=r"inner\.c"):
        parse(Own, {"inner": {"c": 1}})
    names = parse(NamesSettings, {"confidence": {"nil": 0.9}})
    assert names.confidence == NamesSettings().confidence.model_copy(update={"nil": 0.9})


def test_layers_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("inner:\n  a: 7\n")
    base = Outer(name="base", inner=Inner(a=1, b=9.0))
    assert load_over(base, file, {"name": "option"}, ["inner.b=4"]) == Outer(name="option", inner=Inner(a=7, b=4.0))
    assert load_over(base, file, {}) == Outer(name="base", inner=Inner(a=7, b=9.0))
    assert base.inner.a == 1
    assert load_over(base, None, {}) == base


def test_an_override_reaches_into_what_is_unset() -> None:
    assert load_over(Outer(), None, {}, ["free.text=0.25"]).free == {"text": 0.25}
    run = load_over(Run(), None, {}, ["settings.weights.name=2"])
    settings = parse(ZeroShotSettings, run.settings)
    assert settings.weights == Weights(name=2.0)  # the other weights keep their defaults
    fitted = Run(settings=ZeroShotSettings(neutral={"text": 0.3, "image": 0.1}).model_dump(mode="json"))
    again = load_over(fitted, None, {}, ["settings.neutral.text=0.5", "settings.weights.text=0"])
    assert again.settings["neutral"] == {"text": 0.5, "image": 0.1}
    assert again.settings["weights"] == {**Weights().model_dump(), "text": 0}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("nmae=1", "nmae"),
        ("inner.c=1", r"inner\.c"),
        ("inner.a=many", r"inner\.a"),
        ("name", "expected key=value"),
        ("=1", "expected key=value"),
        ("name.x=1", "'name' holds a value"),
        ("name=[", "not YAML"),
        ("inner=3", "inner"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as wrong:
        load_over(Outer(), None, {}, [override])
    assert wrong.value.remedy
    with pytest.raises(ConfigError):
        load(Outer, None, [override])


@pytest.mark.parametrize("content", [b"- a\n- b\n", b"a: [", b"\xff\xfe", b"just text"])
def test_wrong_files(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load(Outer, file)
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load(Outer, tmp_path / "absent.yaml")


def test_a_file_of_objects_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"name: !!python/object/apply:pathlib.Path.touch ['{tmp_path / 'touched'}']\n")
    with pytest.raises(ConfigError):
        load(Outer, file)
    assert not (tmp_path / "touched").exists()


def test_a_saved_config_is_read_back(tmp_path: Path) -> None:
    config = Outer(name="ä: #", inner=Inner(a=3), free={"x": 0.5})
    save(config, tmp_path / "run.yaml")
    assert load(Outer, tmp_path / "run.yaml") == config
    assert list(yaml.safe_load((tmp_path / "run.yaml").read_text())) == ["name", "inner", "free"]
