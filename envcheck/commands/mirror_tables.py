"""What `envcheck mirrors` prints: the overview, one mirror's page, and the answers of a test."""

from collections.abc import Iterable, Iterator, Sequence

from envcheck.catalogue.mirrors import Mirror, Record
from envcheck.model.base import Plain
from envcheck.model.text import Text, say
from envcheck.render.table import hanging, table
from envcheck.render.terminal import Terminal
from envcheck.render.voice import Voice

_SHOWN = ("pypi", "torch_wheels", "conda_forge", "pytorch_channel", "nvidia_channel")


class Answer(Plain, frozen=True):
    """One address that was asked: which mirror and what of it, and how it went."""

    mirror: str
    what: Text
    url: str
    ok: bool
    latency_ms: float | None = None
    bytes_per_s: float | None = None
    notes: tuple[Text, ...] = ()


def kind_name(kind: str) -> Text:
    """What a kind of record is called."""
    names = {
        "pypi": say("Python packages"),
        "torch_wheels": say("PyTorch with CUDA"),
        "nvidia_wheels": say("NVIDIA's Python packages"),
    }
    channel = kind.replace("pkgs_", "pkgs/").removesuffix("_channel").replace("_", "-")
    return names.get(kind) or say("channel {name}", name=channel)


def overview(known: Iterable[Mirror], voice: Voice, terminal: Terminal) -> list[str]:
    """A row for each mirror, a column for each kind of thing."""
    head = [voice(say("mirror")), "PyPI", "torch", "conda-forge", "pytorch", "nvidia", voice(say("who"))]
    rows = [
        [one.name, *(_mark(one.records.get(kind), terminal) for kind in _SHOWN), voice(Text(msgid=one.title))]
        for one in known
    ]
    marks = say(
        "{ok} has it   {doubt} perhaps, or frozen   {no} dead or wrong   {nothing} has it not",
        ok=terminal.marks.ok,
        doubt=terminal.marks.unknown,
        no=terminal.marks.error,
        nothing=terminal.marks.skipped,
    )
    more = say("`envcheck mirrors list NAME` shows addresses, dates and sources; nothing was asked over the network.")
    return [*table(head, rows, terminal.width), "", *hanging(voice(marks), terminal.width, rest=""), voice(more)]


def _mark(record: Record | None, terminal: Terminal) -> str:
    marks = terminal.marks
    if record is None or record.status == "none":
        return marks.skipped
    if record.status in ("live", "listed", "redirects"):
        return marks.ok
    return marks.error if record.status in ("broken", "dropped", "fake", "dead") else marks.unknown


def one_page(one: Mirror, voice: Voice, terminal: Terminal) -> list[str]:
    """All that is known of one mirror, with sources."""
    title = voice(Text(msgid=one.title))
    lines = [terminal.style(f"{one.name}  {title}", bold=True)]
    lines += [] if one.ours else [voice(say("from your own folder, not one of ours"))]
    for note in one.notes:
        lines += hanging(voice(Text(msgid=note)), terminal.width, "  ")
    if one.pair:
        lines += hanging(
            voice(say("for PyTorch with CUDA pair it with: {names}", names=", ".join(one.pair))), terminal.width, "  "
        )
    for kind, record in one.records.items():
        lines += ["", *_record(kind, record, voice, terminal)]
    return lines


def _record(kind: str, record: Record, voice: Voice, terminal: Terminal) -> Iterator[str]:
    yield f"{terminal.style(voice(kind_name(kind)), fg='cyan')}: {voice(_status(record))}"
    if record.url:
        yield f"  {record.url}"
    if record.index == "flat":
        yield from hanging(voice(say("a list of files: --find-links, not --index-url")), terminal.width, "  ")
    for limit in record.limits:
        yield from hanging(voice(Text(msgid=limit)), terminal.width, "  - ", "    ")
    if record.platforms:
        yield f"  {' '.join(record.platforms)}"
    if record.variants:
        yield f"  {' '.join(record.variants)}"
    said = voice(say("seen {date}: {source}", date=record.date, source=record.source))
    yield from hanging(said, terminal.width, "  ", "    ")


def _status(record: Record) -> Text:
    return {
        "live": say("live"),
        "listed": say("listed by others"),
        "frozen": say("served, but its source has ended"),
        "redirects": say("redirects to another mirror"),
        "unverified": say("seen in configurations only"),
        "broken": say("reported broken"),
        "dropped": say("no longer updated"),
        "fake": say("answers, but not with packages"),
        "dead": say("dead"),
        "none": say("not there"),
        "unknown": say("unknown"),
    }[record.status]


def results(answers: Sequence[Answer], voice: Voice, terminal: Terminal) -> list[str]:
    """The answers of a test, those that serve first and the fastest of them foremost."""
    ordered = sorted(answers, key=lambda one: (not one.ok, -(one.bytes_per_s or 0.0)))
    head = ["", voice(say("mirror")), voice(say("what")), voice(say("answers in")), voice(say("speed")), ""]
    rows = [
        [
            terminal.marks.ok if one.ok else terminal.marks.error,
            one.mirror,
            voice(one.what),
            "" if one.latency_ms is None or not one.ok else f"{one.latency_ms:.0f} ms",
            "" if one.bytes_per_s is None else f"{one.bytes_per_s / 1e6:.1f} MB/s",
            "; ".join(voice(note) for note in one.notes),
        ]
        for one in ordered
    ]
    return table(head, rows, terminal.width)
