"""pip.conf with another index, all else as it was."""

from envcheck.probes.configfiles import Entry, ini, lines_of
from envcheck.probes.rewrite import Edit, append, checked, close_last, line_end, readable, values

_SECTIONS = ("global", "install")


def pip_index(url: str) -> Edit:
    """Set `index-url`: where it stands already ([install] before [global], as pip weighs them), else in [global]."""
    block = ("[global]", f"index-url = {url}")

    def rewrite(text: str) -> str:
        old = readable(ini(text), "pip")
        lines = lines_of(text)
        places = [entry for entry in old if entry.key == "index-url" and entry.section in _SECTIONS]
        place = max(places, key=lambda entry: _SECTIONS.index(entry.section), default=None)
        header = _header(lines, "global")
        if place is not None:
            _set_option(lines, place, url)
        elif header is not None:
            close_last(lines)
            lines.insert(header + 1, block[1] + line_end(lines))
        else:
            append(lines, block, gap=True)
        new = "".join(lines)
        section = place.section if place else "global"
        return checked(new, ini(new), values(old), {(section, "index-url"): [url]})

    return Edit(block, rewrite)


def _header(lines: list[str], section: str) -> int | None:
    return next((number for number, line in enumerate(lines) if line.strip().startswith(f"[{section}]")), None)


def _set_option(lines: list[str], entry: Entry, value: str) -> None:
    """Replace an option's value, and drop the lines that went on with the old one; comments between them stay."""
    first = entry.line - 1
    raw = lines[first]
    body = raw.rstrip("\r\n")
    cut = min(place for place in (body.find("="), body.find(":")) if place >= 0) + 1
    rest = body[cut:]
    blank = rest[: len(rest) - len(rest.lstrip())] if rest.strip() else ""
    lines[first] = body[:cut] + (blank or " ") + value + raw[len(body) :]
    depth = _depth(raw)
    number = first + 1
    while number < len(lines):
        stripped = lines[number].strip()
        if not stripped or stripped[0] in "#;":
            number += 1
        elif _depth(lines[number]) > depth:
            del lines[number]
        else:
            break


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
