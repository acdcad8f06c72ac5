"""Pages of text on a terminal: what `envcheck explain` shows."""

from collections.abc import Iterable, Sequence

from envcheck.render.layout import cells, pad, wrap
from envcheck.render.terminal import Terminal

READABLE = 80


def page(head: str, title: str, paragraphs: Iterable[str], terminal: Terminal) -> str:
    """A page: head and title, then paragraphs with an empty line between them."""
    width = min(terminal.width, READABLE)
    lines = [terminal.style(head, fg="cyan", bold=True)]
    lines += [terminal.style(line, bold=True) for line in wrap(title, width)]
    for paragraph in paragraphs:
        hang = "  " if paragraph.startswith(("- ", "* ")) else ""
        first, *others = wrap(paragraph, width - len(hang))
        lines += ["", first, *(hang + line for line in others)]
    return "\n".join(lines) + "\n"


def listing(rows: Sequence[tuple[str, str, str]], terminal: Terminal) -> str:
    """Code, slug and title of each row; the title goes below where the line is too short for it."""
    slug_width = max((cells(slug) for _, slug, _ in rows), default=0)
    lines: list[str] = []
    for code, slug, title in rows:
        head = f"{terminal.style(code, fg='cyan')}  {pad(slug, slug_width)}  "
        indent = len(code) + slug_width + 4
        if indent + cells(title) <= terminal.width:
            lines.append(head + title)
        else:
            lines += [head.rstrip(), *("       " + line for line in wrap(title, terminal.width - 7))]
    return "\n".join(lines) + "\n"
