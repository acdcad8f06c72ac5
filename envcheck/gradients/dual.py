"""Numbers that carry their derivatives: forward-mode differentiation over plain Python numbers.

The truth of the exact layer comes from here: a case writes its forward pass in Python, and the derivatives follow by
the sum and the product rule alone, in another order and by another method than the backward pass that is judged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import product
from operator import add
from typing import Any, Union

Number = Union["Dual", int, float]


class Dual:
    """A value and its derivative with respect to each leaf element that it depends on, `{element: derivative}`."""

    __slots__ = ("slope", "value")

    def __init__(self, value: float, slope: Mapping[int, float]) -> None:
        self.value = value
        self.slope = slope

    def __add__(self, other: Number) -> "Dual":
        if not isinstance(other, Dual):
            return Dual(self.value + other, self.slope)
        return Dual(self.value + other.value, _merged(((1, self.slope), (1, other.slope))))

    def __mul__(self, other: Number) -> "Dual":
        if not isinstance(other, Dual):
            return Dual(self.value * other, {key: slope * other for key, slope in self.slope.items()})
        return Dual(self.value * other.value, _merged(((other.value, self.slope), (self.value, other.slope))))

    def __neg__(self) -> "Dual":
        return self * -1

    def __sub__(self, other: Number) -> "Dual":
        return self + -other

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: float) -> "Dual":
        return -self + other

    def __lt__(self, other: Number) -> bool:
        return self.value < value_of(other)

    def __gt__(self, other: Number) -> bool:
        return self.value > value_of(other)


def _merged(parts: Iterable[tuple[float, Mapping[int, float]]]) -> dict[int, float]:
    merged: dict[int, float] = {}
    for factor, slope in parts:
        for key, each in slope.items():
            merged[key] = merged.get(key, 0) + factor * each
    return merged


_FAST = (Dual, int, float)
"""What `total` and `dot` add up in one go; other kinds of number are added by their own operators."""


def value_of(number: Number) -> float:
    """The value without its derivatives."""
    return number.value if isinstance(number, Dual) else number


def slope_of(number: Number) -> Mapping[int, float]:
    """The derivatives; a plain number has none."""
    return number.slope if isinstance(number, Dual) else {}


def total(numbers: Iterable[Any]) -> Any:
    """Their sum."""
    terms = tuple(numbers)
    if not all(isinstance(term, _FAST) for term in terms):
        return reduce(add, terms)
    value: float = 0
    merged: dict[int, float] = {}
    for number in terms:
        value += value_of(number)
        for key, each in slope_of(number).items():
            merged[key] = merged.get(key, 0) + each
    return Dual(value, merged)


def dot(pairs: Iterable[tuple[Any, Any]]) -> Any:
    """The sum of the products."""
    terms = tuple(pairs)
    if not all(isinstance(left, _FAST) and isinstance(right, _FAST) for left, right in terms):
        return reduce(add, (left * right for left, right in terms))
    value: float = 0
    merged: dict[int, float] = {}
    for left, right in terms:
        left_value, right_value = value_of(left), value_of(right)
        value += left_value * right_value
        for key, each in slope_of(left).items():
            merged[key] = merged.get(key, 0) + each * right_value
        for key, each in slope_of(right).items():
            merged[key] = merged.get(key, 0) + each * left_value
    return Dual(value, merged)


class Grid:
    """A dense array of numbers, row-major: `grid[i, j]`; negative indices are refused like any outside ones."""

    __slots__ = ("_strides", "items", "shape")

    def __init__(self, shape: Sequence[int], items: Sequence[Any]) -> None:
        self.shape = tuple(shape)
        self.items = items
        strides, step = [], 1
        for length in reversed(self.shape):
            strides.append(step)
            step *= length
        self._strides = tuple(reversed(strides))
        if step != len(items):
            raise ValueError(f"{len(items)} numbers do not fill {self.shape}")

    def __getitem__(self, index: int | tuple[int, ...]) -> Any:
        where = (index,) if isinstance(index, int) else index
        for place, length in zip(where, self.shape, strict=True):
            if not 0 <= place < length:
                raise IndexError(f"{where} is outside {self.shape}")
        return self.items[sum(place * stride for place, stride in zip(where, self._strides, strict=True))]

    def rows(self) -> Iterator["Grid"]:
        """Its slices along the first axis."""
        size = len(self.items) // self.shape[0]
        for row in range(self.shape[0]):
            yield Grid(self.shape[1:], self.items[row * size : (row + 1) * size])


def make(shape: Sequence[int], entry: Callable[..., Number]) -> Grid:
    """The grid whose element at `i, j, ...` is `entry(i, j, ...)`."""
    return Grid(shape, [entry(*index) for index in product(*map(range, shape))])
