"""The one gate between untrusted text and a terminal.

GPU names, tool output, paths and index pages may hold escape sequences, C1 controls, bidirectional overrides
and lone surrogates. Neither rich nor click takes them out, so everything that comes from facts passes here.
"""

from envcheck.model.patterns import regex

_SPACES = regex(r"[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")


def clean(text: str) -> str:
    """One printable line: line breaks and tabs become a space, every other unprintable character its escape.

    Unprintable is what Python's `str.isprintable` says: C0, C1, format and bidi characters, surrogates,
    private use and unassigned code points. Cleaning twice changes nothing.
    """
    if text.isprintable():
        return text
    return "".join(map(_visible, _SPACES.sub(" ", text)))


def clean_lines(text: str) -> list[str]:
    """The lines of `text`, each cleaned."""
    return [clean(line.expandtabs(4)) for line in text.splitlines()]


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    if char.isspace():
        return " "
    point = ord(char)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
