"""envcheck: why PyTorch does not train here, and the commands that mend it."""

__version__ = "0.1.0"
