"""Translations: gettext with English message ids, one folder a language.

`zh_CN/*.po` are the sources, one fragment a room; `tools/messages.py` merges them into the one compiled file.
"""

import gettext
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

LANGUAGES = ("en", "zh")
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_FOLDERS = {"zh": "zh_CN"}
_LONG_NAMES = {"chinese": "zh", "english": "en"}


def choose(asked: Iterable[str | None], env: Callable[[str], str | None]) -> str:
    """The first language of ours among `asked` (most wanted first), then the locale's; else English.

    The first locale variable that is set decides, even when it names a language that is not ours.
    """
    for tag in asked:
        if tag and (known := language_of(tag)):
            return known
    locale = next((value for name in VARIABLES if (value := env(name))), None)
    return language_of(_windows_locale() if locale is None else locale) or "en"


def language_of(tag: str) -> str | None:
    """`zh_CN.UTF-8`, `zh-Hans`, `Chinese (Simplified)_China.936` -> `zh`; None for a language that is not ours."""
    head = tag.lower().replace("_", "-").split("-")[0].split(".")[0].split(" ")[0]
    return _LONG_NAMES.get(head, head if head in LANGUAGES else None)


@lru_cache(maxsize=len(LANGUAGES))
def translations(language: str) -> gettext.NullTranslations:
    """The compiled messages of `language`; English answers with the message itself."""
    folder = _FOLDERS.get(language)
    if folder is None:
        return gettext.NullTranslations()
    with io.FileIO(f"{__path__[0]}/{folder}/LC_MESSAGES/envcheck.mo") as file:
        return gettext.GNUTranslations(file)


@contextmanager
def spoken_by_libraries(language: str) -> Iterator[None]:
    """Let click, which asks gettext's global functions and knows only the locale, speak `language` meanwhile."""

    def dgettext(domain: str, message: str) -> str:  # noqa: ARG001 - gettext's signature
        return translations(language).gettext(message) if message else ""

    def dngettext(domain: str, msgid1: str, msgid2: str, n: int) -> str:  # noqa: ARG001 - gettext's signature
        return translations(language).ngettext(msgid1, msgid2, n)

    before = gettext.dgettext, gettext.dngettext
    gettext.dgettext, gettext.dngettext = dgettext, dngettext
    try:
        yield
    finally:
        gettext.dgettext, gettext.dngettext = before


def paragraphs(docstring: str) -> list[str]:
    """The paragraphs of a docstring, each on one line: the units that are translated.

    A line that begins with `- ` or `* ` starts a unit of its own.
    """
    units: list[str] = []
    fresh = True
    for line in map(str.strip, docstring.expandtabs().splitlines()):
        if not line:
            fresh = True
        elif fresh or line.startswith(("- ", "* ")):
            units.append(line)
            fresh = False
        else:
            units[-1] += " " + line
    return units


def _windows_locale() -> str:
    """The user's locale on Windows (Python sets it at start); nothing elsewhere, where variables say it."""
    if sys.platform != "win32":
        return ""
    import locale

    return locale.setlocale(locale.LC_CTYPE)
