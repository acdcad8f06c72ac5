"""How long the small commands take, against an empty Python, click's own floor and the peers' start."""

import importlib.metadata

from benchmarks.measure import Command, interleaved, median, ratios
from benchmarks.peers import PEERS, available, ours, python
from benchmarks.result import Ratio, Result, Row, result

FLOOR = "python -c pass"
CLICK = "import click; click.Group('x').main(['--help'], standalone_mode=False)"
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


def run(runs: int) -> Result:
    """Every command in turn; ratios to `python -c pass` and of `install --dry-run` to env-doctor's answer."""
    commands = [
        python("-c", "pass", label=FLOOR),
        python("-c", CLICK, label="click --help"),
        ours("--version"),
        ours("--help"),
        ours("doctor", "--no-torch"),
        ours("doctor", "--no-torch", "--format", "json"),
        ours("explain", "EC206"),
        ours("install", "--dry-run"),
    ]
    peers, absent = available(PEER_COMMANDS)
    commands += peers
    samples = interleaved(commands, runs=runs)
    rows = [
        Row(name=one.name, figures={"wall s": median(samples[one.name]), "cpu s": median(samples[one.name], "cpu")})
        for one in commands
    ]
    found = [
        _ratio(one, samples, FLOOR, BARS.get(one.name))
        for one in commands
        if one.name.startswith(("envcheck", "click"))
    ]
    found += [
        _ratio(one, samples, peer.name, 0.15)
        for one in commands
        for peer in commands
        if one.name == "envcheck install --dry-run" and peer.name == "env-doctor install torch"
    ]
    versions = {name: peer.requirement.partition("==")[2] for name, peer in PEERS.items()}
    versions["click"] = importlib.metadata.version("click")
    return result("startup", rows, ratios=found, versions=versions, notes=absent)


def _ratio(one: Command, samples: dict[str, list], floor: str, bar: float | None) -> Ratio:  # type: ignore[type-arg]
    middle, least, greatest = ratios(samples[one.name], samples[floor])
    return Ratio(name=f"{one.name} / {floor}", median=middle, least=least, greatest=greatest, bar=bar)
