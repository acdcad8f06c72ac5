"""Write `tests/golden/*.txt` and README's screens anew from the recorded machines. Look at the difference afterwards.

python tools/golden.py
"""

import re
import shlex
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent


def readme(text: str, folder: Path) -> str:
    """README with its table of commands and its screens as the program shows them; commands are run in `folder`."""
    from helpers.cli import invoke

    def screen(found: re.Match[str]) -> str:
        words = [str(folder / word) if "/" in word else word for word in shlex.split(found[1])[1:]]
        return f"<!-- {found[1]} -->\n```text\n$ {found[1]}\n{invoke(*words).out}```\n"

    from envcheck.cli import COMMANDS, cli

    there = cli.list_commands(click.Context(cli))
    rows = "".join(f"| `envcheck {name}` | {COMMANDS[name].help} |\n" for name in there)
    table = f"<!-- commands -->\n| | |\n|---|---|\n{rows}\n"
    text = re.sub(r"<!-- commands -->\n(?:\|[^\n]*\n)*\n", table, text)
    return re.sub(r"<!-- (envcheck [^\n]*) -->\n```text\n.*?```\n", screen, text, flags=re.DOTALL)


def main() -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from helpers.golden import FOLDER, screens

    wanted = list(screens())
    for path in set(FOLDER.glob("*.txt")) - {screen.path for screen in wanted}:
        path.unlink()
    for screen in wanted:
        screen.path.write_text(screen.shown(), "utf-8", newline="\n")
    page = ROOT / "README.md"
    page.write_text(readme(page.read_text("utf-8"), ROOT), "utf-8", newline="\n")
    print(f"{len(wanted)} screens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
