"""How long the small commands take, against an empty Python, click's own floor and the peers' start."""

import importlib.metadata
import tempfile
from pathlib import Path

from benchmarks.corpus import pasted
from benchmarks.measure import Command, Sample, interleaved, median, ratios
from benchmarks.peers import PEERS, available, ours, python
from benchmarks.result import Ratio, Result, Row, result

FLOOR = "python -c pass"
CLICK = "import click; click.Group('x').main(['--help'], standalone_mode=False)"
INSTALL, ANSWER = "envcheck install --dry-run", "env-doctor install torch"
FROM = "envcheck doctor --from (200 lines)"
PEER_COMMANDS = (
    ("torchruntime", ("--help",)),
    ("env-doctor", ("--help",)),
    ("env-doctor", ("install", "torch")),
    ("light-the-torch", ("--help",)),
    ("uv", ("--version",)),
)
BARS = {
    "envcheck --version": 4.6,
    "envcheck --help": 4.6,
    "envcheck doctor --no-torch": 8.0,
    "envcheck doctor --no-torch --format json": 5.0,
}
SECONDS = {INSTALL: 0.30, FROM: 0.25}


def run(runs: int) -> Result:
    """Every command in turn; ratios to `python -c pass`, seconds where the bar is in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "pasted.txt"
        page.write_text(pasted(200), encoding="utf-8")
        commands = [
            python("-c", "pass", label=FLOOR),
            python("-c", CLICK, label="click --help"),
            ours("--version"),
            ours("--help"),
            ours("doctor", "--no-torch"),
            ours("doctor", "--no-torch", "--format", "json"),
            ours("doctor", "--from", str(page), label=FROM),
            ours("explain", "EC206"),
            ours("install", "--dry-run"),
        ]
        peers, absent = available(PEER_COMMANDS)
        samples = interleaved([*commands, *peers], runs=runs)
    rows = [_row(one, samples[one.name]) for one in (*commands, *peers)]
    found = [_ratio(one, samples, FLOOR, BARS.get(one.name)) for one in commands[1:]]
    found += [_seconds(name, samples[name], bar) for name, bar in SECONDS.items()]
    found += [_ratio(one, samples, ANSWER, 0.15) for one in commands if one.name == INSTALL and ANSWER in samples]
    versions = {
        name: peer.requirement.partition("==")[2] for name, peer in PEERS.items() if name in dict(PEER_COMMANDS)
    }
    versions["click"] = importlib.metadata.version("click")
    return result("startup", rows, ratios=found, versions=versions, notes=absent)


def _row(one: Command, samples: list[Sample]) -> Row:
    return Row(name=one.name, figures={"wall s": median(samples), "cpu s": median(samples, "cpu")})


def _ratio(one: Command, samples: dict[str, list[Sample]], floor: str, bar: float | None) -> Ratio:
    middle, least, greatest = ratios(samples[one.name], samples[floor])
    return Ratio(name=f"{one.name} / {floor}", median=middle, least=least, greatest=greatest, bar=bar)


def _seconds(name: str, samples: list[Sample], bar: float) -> Ratio:
    walls = [sample.wall for sample in samples]
    return Ratio(name=f"{name}, seconds", median=median(samples), least=min(walls), greatest=max(walls), bar=bar)
