"""What programs that pass a text on put around its lines, taken off: services, ranks, times, boxes, JSON. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from envcheck.model.patterns import regex

Told = list[tuple[int, str]]
"""Lines, each with its number in what was pasted: several of one number where one held them all."""

_ANSI = regex(r"\x1b\[[0-9;?]{0,32}[ -/]{0,4}[@-~]|\x1b\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|\x1b[@-_]")
_QUOTE = regex(r"^(?:\s{0,3}(?:> ){1,8}|\s{0,3}>$)")
_COMPOSED = regex(r"[\s>]{0,12}(?P<service>[a-z][\w.-]{0,60}?)(?P<number>[-_]\d{1,2})?\s{1,30}\| ")
_CLOCK = r"\d{2}:\d{2}:\d{2}(?:[.,-]\d{1,9})?"
_LEVEL = r"(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SUCCESS)"
_PLACE = r"\[?[\w./]{1,80}:\d{1,6}\]?"
_TAG = regex(
    r"\s{0,4}(?:"
    r"\[(?:rank|default|worker)\d{1,4}\]: ?"  # torchrun
    r"|\[\d{1,4},\d{1,4}\]<std(?:err|out)>: ?"  # mpirun
    r"|\[?std(?:err|out)\]?\s?[:|>] ?"
    r"|\((?:\w{1,40} ){1,3}pid=\d{1,8}(?:, ip=[\d.]{7,15})?\) ?"  # Ray and vLLM
    r"|\[pod/[\w.-]{1,80}/[\w.-]{1,80}\] "  # kubectl logs --prefix
    rf"|\d{{4}}-\d\d-\d\dT{_CLOCK}(?:Z|[+-]\d\d:?\d\d)(?: std(?:err|out) [FP])? "  # GitHub Actions, kubectl, CRI
    r"|##\[(?:error|warning|command|debug|group)\]"  # GitHub Actions, Azure
    rf"|\[\d{{4}}-\d\d-\d\d, {_CLOCK} UTC\] \{{[\w./]{{1,80}}:\d{{1,6}}\}} {_LEVEL} - "  # Airflow
    rf"|(?:[A-Z][a-z]{{2}} [ \d]\d |\d{{4}}-\d\d-\d\dT){_CLOCK}\S{{0,6}} [\w.-]{{1,64}} "
    r"(?!nv|kernel|docker|containerd|kubelet|slurm|systemd)[\w.@/()-]{1,64}\[\d{1,8}\]: "  # journalctl
    rf"|\[?(?:(?:\d{{4}}[-/])?\d{{2}}[-/]\d{{2}}[ T])?{_CLOCK}(?: [A-Z]{{2,3}}\d)?\]?"  # loggers: the time first
    rf"(?:(?: - [\w.]{{1,40}})? - {_LEVEL} - | \| {_LEVEL} {{0,5}}\| (?:[\w.<>:]{{1,120}} - )?"
    rf"| \[{_LEVEL}\]:? (?:[a-z][\w.]{{0,40}}: )?| {_LEVEL}:? {_PLACE}:? "
    r"| (?:ERROR {4}|WARNING {2}|INFO {5}|DEBUG {4}|CRITICAL )"
    rf"| {_LEVEL}:? | ?)"
    rf"|{_LEVEL} \d{{2}}-\d{{2}} {_CLOCK} (?:\[[\w./]{{1,80}}:\d{{1,6}}\] )?"  # vLLM
    rf"|[DIWEF]\d{{4}} {_CLOCK}\s{{1,8}}\d{{1,8}} [\w./-]{{1,80}}:\d{{1,6}}\] "  # glog
    rf"|\[{_LEVEL}\] |{_LEVEL}:[\w.]{{1,60}}: ?"
    r")"
)
"""What stands before one line for itself."""
_SHAPES = (
    regex(r"\s{0,12}(?P<shape>#|//) (?!\s{0,4}\Z)"),
    regex(r"(?P<shape>[\w.-]{0,40}\d[\w.-]{0,40}: |\d{1,4}: |\[(?!pip|conda)[^\]\n]{0,40}\d[^\]\n]{0,40}\]:? )"),
)
"""What says nothing where it stands before every line."""
_NUMBERED = regex(r"\s{0,8}(?P<number>\d{1,5})(?:: | ?\| |\t|  ?)")
_BOX = regex(r"\s{0,8}[│┃║] ?(?P<inside>[^│┃║\n]*?)\s*[│┃║]\s*\Z")
_ITEM = regex(r'\s{0,40}"(?P<text>(?:[^"\\\n]|\\.){0,4000})\\n",?\s*\Z')
"""A line out of a list of lines, as notebooks keep them."""
_ESCAPED = regex(r"\\n(?=[\s\"'A-Z\[{(+|=*-]|\\|\Z)")
_DRIVE = regex(r"\b[A-Za-z]:\\(?!\\)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE = regex(r"\\(?:(?P<char>[ntr\"'\\])|u(?P<code>[0-9a-fA-F]{4}))")
_TAGS = regex(r"</?(?:pre|code|p|br|div|span|details|summary|blockquote|li|ul|td|tr)\b[^<>\n]{0,80}>", re.IGNORECASE)
_STRING = regex(r"""(?<![\w'"\\])b?(?P<quote>['"])(?=(?:\\(?!n).|(?!(?P=quote))[^\\\n]){0,4000}\\n)""")
_CURLY = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_ASIDE = frozenset(("stream", "time", "timestamp", "ts", "level", "severity", "logger", "attrs"))
"""What a line of a log in JSON says beside its message."""
_SIGNS = (("`", "`", 1), ("**", "**", 1), ("- ", "", 4), ("* ", "", 4))
"""Markdown's signs around each line: what opens it, what closes it, and how many such lines are no chance."""
_PAIR = regex(r"[-*] [\w`(][\w `().-]{1,60}:\s")
_TWICE, _FEW, _SEVERAL = 2, 3, 5
"""Lines from which on something that stands before all of them is no chance."""
_TAGS_BEFORE = 3
"""What stands before one line at most: the time of a runner, a service, a rank."""
_DEEP, _LEFT = 3, 2
"""Columns from which on lines stand deep, and those that stay then: some readers tell a list by them."""
_LINE_FEEDS = 2
"""Escaped ones that make a line without quotes a text."""
_LONGEST = 60_000


class Unwrapped:
    """The lines of a text. `composed`: number of the first that docker compose logged, if it logged any."""

    def __init__(self, told: Sequence[tuple[int, str]]) -> None:
        lines = [(number, raw if raw.isascii() else raw.translate(_CURLY)) for number, raw in told]
        lines = [(number, _QUOTE.sub("", _ANSI.sub("", raw) if "\x1b" in raw else raw)) for number, raw in lines]
        lines = _unmarked(lines)
        lines = [(number, text) for number, raw in _single_spaced(lines) for text in _untagged(raw)]
        services = _services(lines)
        self.composed = lines[min(services)][0] if services else None
        for at, end in services.items():
            number, text = lines[at]
            lines[at] = number, next(_untagged(text[end:]))
        self.told: Told = list(_dedented(_bare(paragraph) for paragraph in _paragraphs(lines)))


def _unmarked(lines: Told) -> Told:
    """The lines, where every one stands as code, in bold or as an item of a list, without those signs."""
    said = [text.strip() for _, text in lines if text and not text.isspace()]
    for sign, closing, few in _SIGNS:
        if len(said) >= few and all(
            one.startswith(sign) and one.endswith(closing) and len(one) > len(sign) + len(closing) for one in said
        ):
            cut = len(closing)
            if not cut and 2 * sum(_PAIR.match(one) is not None for one in said) > len(said):
                return lines  # reports have such items themselves, and their readers know them
            return [
                (number, bare[len(sign) : len(bare) - cut] if (bare := text.strip()) else text)
                for number, text in lines
            ]
    return lines


def _single_spaced(lines: Told) -> Told:
    """The lines, where somebody's editor put a blank one after every line, without those."""
    blank = [not text or text.isspace() for _, text in lines]
    double = sum(blank) >= _FEW and all(before or after for before, after in pairwise(blank))
    return [line for line, empty in zip(lines, blank, strict=True) if not empty] if double else lines


def _services(lines: Told) -> dict[int, int]:
    """Of each line that docker compose logged the length of its prefix: one that comes twice, or thrice unnumbered."""
    found = {at: match for at, (_, text) in enumerate(lines) if "| " in text and (match := _COMPOSED.match(text))}
    names = Counter((match["service"], match["number"]) for match in found.values())
    return {
        at: match.end()
        for at, match in found.items()
        if names[match["service"], match["number"]] >= (_TWICE if match["number"] else _FEW)
    }


def _untagged(raw: str) -> Iterator[str]:
    """One line without what stands before or around it; its lines, where it is a text that was written as one."""
    text = raw
    for _ in range(_TAGS_BEFORE):
        match = _TAG.match(text)
        if not match:
            break
        text = text[match.end() :]
    if "\\n" in text and len(text) < _LONGEST:
        parts = _spread(text)
        if parts is not None:
            yield from parts
            return
    if "</" in text or "<p" in text or "<br" in text or "<code" in text:
        text = _TAGS.sub("", text)
    box = _BOX.match(text) if text.lstrip()[:1] in ("│", "┃", "║") else None
    yield box["inside"] if box else text


def _spread(text: str) -> list[str] | None:
    """The lines that a string of JSON or of Python holds, line feeds written out."""
    item = _ITEM.match(text)
    if item:
        return [_unescaped(item["text"])]
    if text.lstrip()[:1] in ("{", "["):
        import json

        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return list(_strings(value))
    opened = _STRING.search(text)
    if (opened is None or _DRIVE.search(text)) and len(_ESCAPED.findall(text)) < _LINE_FEEDS:
        return None
    if opened is None:
        return _unescaped(text).split("\n")
    rest = text[opened.end() :]
    closed = re.search(rf"(?<!\\){opened['quote']}", rest)
    end = closed.start() if closed else len(rest)
    parts = [text[: opened.start()], *_unescaped(rest[:end]).split("\n"), rest[end + 1 :]]
    return [part for part in parts if part.strip("'\" ,)]}")] or None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPES[found["char"]] if found["char"] else chr(int(found["code"], 16)), text)


def _strings(value: object, key: str = "") -> Iterator[str]:
    """The lines of all that a JSON value holds."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _ASIDE:
                yield from _strings(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str) and "\n" in value:
        yield from value.rstrip("\n").split("\n")
    else:
        yield f"{key}: {value}" if key else str(value)


def _paragraphs(lines: Told) -> Iterator[Told]:
    """Lines up to the next blank one, and that one."""
    paragraph: Told = []
    for number, text in lines:
        paragraph.append((number, text))
        if not text or text.isspace():
            yield paragraph
            paragraph = []
    yield paragraph


def _bare(paragraph: Told) -> Told:
    """A paragraph without what stands before every line of it: a sign, a host, numbers."""
    said = [text for _, text in paragraph if text and not text.isspace()]
    pattern = _before_all(said) if len(said) >= _FEW else None
    if pattern is None:
        return paragraph
    cut = [(number, match.end() if (match := pattern.match(text)) else 0, text) for number, text in paragraph]
    return [(number, text[end:]) for number, end, text in cut]


def _before_all(said: Sequence[str]) -> re.Pattern[str] | None:
    for pattern in _SHAPES:
        first = pattern.match(said[0])
        if first and all((match := pattern.match(text)) and match["shape"] == first["shape"] for text in said):
            return pattern
    if len(said) >= (_FEW if "\t" in said[0][:8] else _SEVERAL) and said[0].lstrip()[:1].isdigit():
        numbers = [int(match["number"]) if (match := _NUMBERED.match(text)) else -1 for text in said]
        if all(0 < after - before < _FEW for before, after in pairwise(numbers)):
            return _NUMBERED
    return None


def _dedented(paragraphs: Iterable[Told]) -> Iterator[tuple[int, str]]:
    """Paragraphs that stand far in, moved near the margin: those that follow each other as one."""
    deep: Told = []
    depth = 0
    for paragraph in paragraphs:
        own = min((len(text) - len(text.lstrip()) for _, text in paragraph if text and not text.isspace()), default=0)
        if own >= _DEEP:
            depth = min(depth or own, own - _LEFT)
            deep += paragraph
        else:
            yield from ((number, text[depth:]) for number, text in deep)
            yield from paragraph
            deep, depth = [], 0
    yield from ((number, text[depth:]) for number, text in deep)
