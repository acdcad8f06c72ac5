"""Small integers from a generator of our own: the same on every machine, in every version of everything."""

from collections.abc import Sequence
from zlib import crc32

_MULTIPLIER = 6364136223846793005
_INCREMENT = 1442695040888963407
_MASK = (1 << 64) - 1


class Draw:
    """A 64-bit linear congruential generator (Knuth's MMIX constants); its upper bits are what is drawn."""

    def __init__(self, seed: int, name: str) -> None:
        self._state = (seed * 2654435761 + crc32(name.encode())) & _MASK
        for _ in range(4):
            self.below(2)

    def below(self, bound: int) -> int:
        """An integer in [0, bound); bound is at most 2**31."""
        self._state = (self._state * _MULTIPLIER + _INCREMENT) & _MASK
        return (self._state >> 33) * bound >> 31

    def choices(self, palette: Sequence[int], count: int) -> list[int]:
        """`count` members of `palette`."""
        return [palette[self.below(len(palette))] for _ in range(count)]

    def shuffled(self, items: Sequence[int]) -> list[int]:
        """All of `items` in a drawn order."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in items]
