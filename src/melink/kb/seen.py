"""A set of ids that stays small when there are very many."""

from __future__ import annotations

from typing import Final

_LARGEST: Final = 2**28


class Seen:
    """Ids that were met. Those like ``Q42`` take one bit up to the largest number, others a place in a set."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._others: set[str] = set()

    def add(self, id: str) -> bool:
        """Add an id; return whether it is new."""
        if id in self:
            return False
        number = _number(id)
        if number is None:
            self._others.add(id)
            return True
        if number // 8 >= len(self._bits):
            self._bits.extend(bytes(max(number // 8 + 1 - len(self._bits), len(self._bits) // 2)))
        self._bits[number // 8] |= 1 << number % 8
        return True

    def __contains__(self, id: object) -> bool:
        number = _number(id) if isinstance(id, str) else None
        if number is None:
            return id in self._others
        return number // 8 < len(self._bits) and bool(self._bits[number // 8] & 1 << number % 8)


def _number(id: str) -> int | None:
    digits = id[1:]
    if id[:1] != "Q" or not digits.isascii() or not digits.isdigit() or digits[0] == "0" or len(digits) > 9:
        return None
    number = int(digits)
    return number if number < _LARGEST else None
