"""The limits of the random layer. Frozen; docs/gradients.md says on which seeds, and how they did on fresh ones."""

ELEMENT = {"float32": 32.0, "bfloat16": 16.0, "float16": 16.0}
"""The largest error of one number, in roundoffs times the condition of the computation."""
SLOPE = {"float32": 20.0, "bfloat16": 12.0, "float16": 12.0}
"""The largest systematic part of an error, in standard deviations of what rounding alone would leave."""
REFERENCE = 1e-7
"""How far the float64 reference's derivative may be from its numeric one, relative."""
INEXACT = 2.0**-6
"""How far an integer may be off before it is no longer called the work of an inexact algorithm."""
SUM_BITS = 21
"""Bits of a running sum below which float32 accumulation is not believed: tensor cores align and cut (V100: 23)."""
