"""Builds fakegpu.c once per content and variant, safely from several test processes at once."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent / "fakegpu.c"
VARIANTS = {"": (), "old": ("-DOLD",), "empty": ("-DEMPTY",)}


@cache
def library(variant: str = "") -> Path:
    """The shared library: `""`, `old` (a driver of 2017) or `empty` (a library without a single symbol)."""
    flags = ("-shared", "-fPIC", "-O1", *VARIANTS[variant])
    digest = hashlib.sha256(SOURCE.read_bytes() + repr(flags).encode()).hexdigest()[:16]
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"envcheck-fakegpu-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{digest}{variant}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as making:
            made = Path(making) / "made.so"
            subprocess.run([compiler(), *flags, "-o", str(made), str(SOURCE), "-ldl"], check=True, timeout=60)
            made.replace(built)  # atomic: another process sees the whole file or none
    return built


def compiler() -> str:
    """gcc, or whatever the system calls its C compiler."""
    named = os.environ.get("CC", "")
    found = next((path for name in (named, "gcc", "cc", "clang") if name and (path := shutil.which(name))), None)
    assert found, "these tests build a small shared library: install gcc (README, 'Tests')"
    return found
