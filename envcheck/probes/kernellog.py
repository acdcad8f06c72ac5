"""The kernel's last words about a GPU, where this user may read them; asked only when something is wrong."""

import re
import time

from envcheck.model.facts import Message, Observation
from envcheck.model.patterns import regex
from envcheck.probes.system import System

LOOK = "kernel"
LIMIT, ENOUGH = 1.0, 0.05
KEPT = 40
_ABOUT = regex(
    r"NVRM|nvidia|nouveau|\bXid\b|amdgpu|\bkfd\b|module verification failed|Key was rejected|Required key not available"
    r"|Loading of (?:unsigned )?module",
    re.IGNORECASE,
)
_COMMANDS = (("dmesg",), ("journalctl", "-k", "-b", "--no-pager", "-q", "-o", "short-monotonic", "-n", "4000"))
CAP = 16 << 20


def look(system: System, limit: float = LIMIT) -> tuple[tuple[Message, ...], Observation]:
    """Lines about GPUs and their modules, the last ones, as one message; `limit` is for both programs together."""
    until = time.monotonic() + min(limit, LIMIT)
    why = "no dmesg and no journalctl here"
    for name, *options in _COMMANDS:
        path = system.which(name) if system.platform == "linux" else None
        if path is None:
            continue
        left = until - time.monotonic()
        if left < ENOUGH:
            why = "no time left"
            break
        ran = system.run([path, *options], limit=left, cap=CAP)
        if ran.state == "ok":
            lines = [line.rstrip()[:400] for line in ran.stdout.splitlines() if _ABOUT.search(line[:400])][-KEPT:]
            text = "\n".join(lines)
            told = (Message(kind="log", text=text, look=LOOK, where=name),) if lines else ()
            return told, Observation(look=LOOK, state="ok", ms=ran.ms)
        why = f"{name}: {(ran.stderr.strip() or ran.detail or ran.state)[:200]}"
    return (), Observation(look=LOOK, state="skipped", detail=why)
