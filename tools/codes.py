"""Write `docs/codes.md` from the pages of the checks.

python tools/codes.py           write it
python tools/codes.py --check   exit 1 when it is not current
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "codes.md"
TOPICS = {
    "1": "Python and the system",
    "2": "GPU and driver",
    "3": "The torch installation",
    "4": "Run time",
    "5": "Gradients",
    "6": "Install route",
    "7": "CUDA toolkit",
    "8": "Several machines",
    "9": "envcheck's own looks",
}


def text() -> str:
    """The page as it should be."""
    from envcheck.diagnosis.checks import CHECKS
    from envcheck.locale import paragraphs

    lines = [
        "# Codes",
        "",
        "Made by `tools/codes.py` from the docstrings of the checks; `envcheck explain CODE` prints the same.",
    ]
    checks = sorted(CHECKS, key=lambda check: check.code)
    for topic in dict.fromkeys(check.code[2] for check in checks):
        lines += [
            "",
            f"## EC{topic}xx: {TOPICS[topic]}",
            "",
            "| code | name | severity | cause | |",
            "|---|---|---|---|---|",
        ]
        for check in (check for check in checks if check.code[2] == topic):
            title = paragraphs(check.page)[0]
            link = f"[{check.code}](#{check.code.lower()}-{check.slug})"
            lines.append(f"| {link} | {check.slug} | {check.severity} | {check.cause or ''} | {title} |")
        for check in (check for check in checks if check.code[2] == topic):
            title, *rest = paragraphs(check.page)
            lines += ["", f"### {check.code} {check.slug}", "", title]
            for paragraph in rest:
                head, mark, body = paragraph.partition(": ")
                lines += ["", f"**{head}**: {body}" if mark and len(head) < 20 else paragraph]
    return "\n".join(lines) + "\n"


def main() -> int:
    sys.path.insert(0, str(ROOT))
    if "--check" in sys.argv:
        current = PAGE.is_file() and PAGE.read_text("utf-8") == text()
        print("current" if current else f"{PAGE.name} is not current: run tools/codes.py")
        return 0 if current else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
