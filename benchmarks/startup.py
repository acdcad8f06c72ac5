"""How long the small commands take, against an empty Python, click's own floor and the peers' start."""

import importlib.metadata
import socket
import tempfile
from pathlib import Path

import msgspec

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
        slow, more = _on_a_silent_network([*commands, *peers], runs)
    found = [_ratio(one, samples, FLOOR, BARS.get(one.name)) for one in commands[1:]]
    found += [_seconds(name, samples[name], bar) for name, bar in SECONDS.items()]
    found += [_ratio(one, samples, ANSWER, 0.15) for one in commands if one.name == INSTALL and ANSWER in samples]
    rows, found = rows + slow, found + more
    versions = {
        name: peer.requirement.partition("==")[2] for name, peer in PEERS.items() if name in dict(PEER_COMMANDS)
    }
    versions["click"] = importlib.metadata.version("click")
    return result("startup", rows, ratios=found, versions=versions, notes=absent)


def _on_a_silent_network(commands: list[Command], runs: int) -> tuple[list[Row], list[Ratio]]:
    """The two that advise on an install where packets vanish, as behind a firewall: a proxy that never answers.

    env-doctor asks for new data at every start until it has once got some, and waits 1.5 s for them.
    """
    pair = [one for one in commands if one.name in (INSTALL, ANSWER)]
    if len(pair) < 2:
        return [], []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy)
        named = [msgspec.structs.replace(one, name=f"{one.name} (silent network)", env=env) for one in pair]
        samples = interleaved(named, runs=min(runs, 7))
    ours_there, theirs = named
    return [_row(one, samples[one.name]) for one in named], [_ratio(ours_there, samples, theirs.name, 0.15)]


def _row(one: Command, samples: list[Sample]) -> Row:
    return Row(name=one.name, figures={"wall s": median(samples), "cpu s": median(samples, "cpu")})


def _ratio(one: Command, samples: dict[str, list[Sample]], floor: str, bar: float | None) -> Ratio:
    middle, least, greatest = ratios(samples[one.name], samples[floor])
    return Ratio(name=f"{one.name} / {floor}", median=middle, least=least, greatest=greatest, bar=bar)


def _seconds(name: str, samples: list[Sample], bar: float) -> Ratio:
    walls = [sample.wall for sample in samples]
    return Ratio(name=f"{name}, seconds", median=median(samples), least=min(walls), greatest=max(walls), bar=bar)
