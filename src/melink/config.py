"""A run file: load, override, refuse unknown keys, write back resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from melink.errors import ConfigError


class Config(BaseModel):
    """Base of every run file: frozen, an unknown key is an error, and errors show no values (one may be a secret)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _over_defaults(cls, data: Any) -> Any:
        """Lay a nested table over the field's own default, so that changing one key keeps the others."""
        if not isinstance(data, Mapping):
            return data
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return {
            name: {**defaults[name].model_dump(), **value}
            if isinstance(defaults.get(name), BaseModel) and isinstance(value, Mapping)
            else value
            for name, value in data.items()
        }


C = TypeVar("C", bound=Config)


def load(kind: type[C], path: str | Path | None = None, overrides: Iterable[str] = ()) -> C:
    """Read a YAML run file and apply ``key=value`` overrides (dots reach inside).

    Args:
        kind: The config class.
        path: A YAML file, or None for the defaults.
        overrides: Strings such as ``weights.name=2.5``; values are parsed as YAML.

    Returns:
        The resolved config.

    Raises:
        ConfigError: Unreadable file, unknown key, or a value of the wrong type; names each.
    """
    data = _read(path) if path is not None else {}
    for override in overrides:
        _apply(data, override)
    return parse(kind, data, str(path or "settings"))


def parse(kind: type[C], data: Mapping[str, Any], source: str = "settings") -> C:
    """Check plain values against a config class.

    Raises:
        ConfigError: Unknown key or a value of the wrong type; names each, and ``source``.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        wrong = "; ".join(": ".join((*filter(None, [".".join(map(str, e["loc"]))]), e["msg"])) for e in error.errors())
        raise ConfigError(f"{source}: {wrong}", f"known keys are: {', '.join(kind.model_fields)}") from error


def load_over(base: C, path: str | Path | None, values: Mapping[str, Any], overrides: Iterable[str] = ()) -> C:
    """Lay a YAML file, then plain values, then ``key=value`` overrides over a config; nested keys are merged.

    Raises:
        ConfigError: As :func:`load`.
    """
    data = base.model_dump(mode="json")
    for layer in (_read(path) if path is not None else {}, values):
        _merge(data, layer)
    for override in overrides:
        _apply(data, override)
    return parse(type(base), data, str(path or "settings"))


def save(config: Config, path: str | Path) -> None:
    """Write the resolved config as YAML."""
    Path(path).write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def _read(path: str | Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}", "check that the file exists and is YAML") from error
    if not isinstance(data, dict | None):
        raise ConfigError(f"{path}: expected keys and values at the top", "write lines such as 'seed: 0'")
    return data or {}


def _merge(data: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(data.get(key), dict):
            _merge(data[key], value)
        else:
            data[key] = value


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override!r}: expected key=value", "write for example --set seed=1")
    *parents, last = key.split(".")
    for parent in parents:
        if data.get(parent) is None:
            data[parent] = {}
        data = data[parent]
        if not isinstance(data, dict):
            raise ConfigError(f"--set {override!r}: {parent!r} holds a value, not keys", "shorten the key")
    try:
        data[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: the value is not YAML", "put it into quotes") from error
