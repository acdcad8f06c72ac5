"""Write `tests/golden/*.txt` anew: the screens of the recorded machines there. Look at the difference afterwards.

python tools/golden.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from helpers.golden import FOLDER, screens

    wanted = list(screens())
    for path in set(FOLDER.glob("*.txt")) - {screen.path for screen in wanted}:
        path.unlink()
    for screen in wanted:
        screen.path.write_text(screen.shown(), "utf-8", newline="\n")
    print(f"{len(wanted)} screens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
