"""Reproducible choices: the same seed and name always draw the same, on every machine and Python version."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A stream of choices that follows from its seed and name alone; 64 bytes of them."""

    def __init__(self, seed: int, *name: object) -> None:
        text = "/".join(map(str, (seed, *name)))
        self._left = int.from_bytes(hashlib.blake2b(text.encode()).digest())

    def below(self, bound: int) -> int:
        """A number from 0 to bound − 1."""
        self._left, value = divmod(self._left, bound)
        return value

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.below(len(choices))]

    def chance(self, probability: float) -> bool:
        """True that often."""
        return self.below(1 << 53) < probability * (1 << 53)

    def hex(self, digits: int) -> str:
        """So many hexadecimal digits."""
        return f"{self.below(16**digits):0{digits}x}"

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All of them in another order, by sorting on drawn keys; for up to a few hundred items."""
        salt = self.hex(32)
        order = sorted(
            range(len(items)), key=lambda i: hashlib.blake2b(f"{salt}/{i}".encode(), digest_size=8).digest()
        )
        return [items[i] for i in order]
