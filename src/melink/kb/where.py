"""Which entities to keep: ``--where attributes``, ``--where type=Q5``, ``--where sitelinks>=20``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from melink.errors import ConfigError
from melink.records import Entity

FIELDS: Final = ("aliases", "attributes", "description", "extract", "images", "text", "triples", "types")


@dataclass(frozen=True, slots=True)
class Where:
    """Conditions, all of which must hold.

    Attributes:
        fields: Fields that must not be empty; ``text`` is any of description, attributes and extract.
        types: Class ids of which the entity must be an instance of one; empty for any.
        languages: Languages in which a dump item must have a label (dumps only).
        sitelinks: Least number of sitelinks.
    """

    fields: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()
    languages: tuple[str, ...] = ()
    sitelinks: int = 0

    @classmethod
    def parse(cls, conditions: Iterable[str]) -> Where:
        """Read conditions as the command line takes them.

        Raises:
            ConfigError: A condition of another form.
        """
        fields: list[str] = []
        types: set[str] = set()
        languages: list[str] = []
        sitelinks = 0
        for condition in conditions:
            name, sign, value = re.fullmatch(r"\s*(\w*)\s*(>=|=)?\s*(.*?)\s*", condition, re.DOTALL).groups()  # type: ignore[union-attr]
            if name in FIELDS and not sign and not value:
                fields.append(name)
            elif name == "type" and sign == "=" and value:
                types |= {part.strip() for part in value.split(",")}
            elif name == "language" and sign == "=" and value:
                languages += [part.strip() for part in value.split(",")]
            elif name == "sitelinks" and sign == ">=" and value.isdigit():
                sitelinks = int(value)
            else:
                raise ConfigError(
                    f"--where {condition!r}",
                    f"give a field ({', '.join(FIELDS)}), type=Q5,Q6, language=en or sitelinks>=20",
                )
        return cls(tuple(fields), frozenset(types), tuple(languages), sitelinks)

    def __bool__(self) -> bool:
        return bool(self.fields or self.types or self.languages or self.sitelinks)

    def keeps(self, entity: Entity) -> bool:
        """Return whether an entity meets the conditions on fields, types and sitelinks."""
        if self.sitelinks and not _number(entity.extra.get("sitelinks")) >= self.sitelinks:
            return False
        if self.types:
            classes = {triple.tail for triple in entity.triples if triple.relation == "P31"}
            listed = entity.extra.get("type_qids")
            classes |= {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
            if not self.types & classes.union(entity.types):
                return False
        return all(_filled(entity, name) for name in self.fields)


def _filled(entity: Entity, name: str) -> bool:
    if name == "text":
        return bool(entity.description or entity.attributes or entity.extract)
    return bool(getattr(entity, name))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
