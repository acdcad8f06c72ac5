"""uv.toml with another default index, all else as it was."""

from envcheck.model.patterns import regex
from envcheck.probes.configfiles import Entry, lines_of, toml
from envcheck.probes.rewrite import Edit, append, checked, readable, refuse, values

_STRING = regex(r"""[^#"']*=\s*(?:"[^"\\\r\n]*"|'[^'\r\n]*')""")


def uv_index(url: str) -> Edit:
    """Make `url` the default index: in place of the one that is there, else as a new [[index]] at the end."""
    block = ("[[index]]", f'url = "{url}"', "default = true")

    def rewrite(text: str) -> str:
        old = readable(toml(text), "uv")
        lines = lines_of(text)
        place = _default(old)
        if place is not None:
            _set_string(lines, place, url)
            wanted = {(place.section, place.key): [url]}
        else:
            append(lines, block, gap=True)
            table = f"index[{len({entry.section for entry in old if entry.section.startswith('index[')})}]"
            wanted = {(table, "url"): [url], (table, "default"): ["true"]}
        new = "".join(lines)
        return checked(new, toml(new), values(old), wanted)

    return Edit(block, rewrite)


def _default(entries: tuple[Entry, ...]) -> Entry | None:
    """The address of the default index; an [[index]] with `default` is stronger than `index-url`."""
    tables = [entry.section for entry in entries if (entry.key, entry.value) == ("default", "true")]
    for section, key in (*((table, "url") for table in tables if table.startswith("index[")), ("", "index-url")):
        for entry in entries:
            if (entry.section, entry.key) == (section, key):
                return entry
    return None


def _set_string(lines: list[str], entry: Entry, value: str) -> None:
    """Replace the string that holds the entry's value; it must be the only one, since TOML readers give no lines."""
    holding = [number for number, line in enumerate(lines) if entry.value and entry.value in line]
    match = _STRING.match(lines[holding[0]]) if len(holding) == 1 else None
    if match is None or not match[0][:-1].endswith(entry.value):
        refuse()
    line = lines[holding[0]]
    opening = match.end() - len(entry.value) - 2
    lines[holding[0]] = f'{line[:opening]}"{value}"{line[match.end() :]}'
