"""A language to speak: texts translated, their values cleaned."""

from collections.abc import Callable, Mapping

from envcheck.locale import translations
from envcheck.model.text import Text
from envcheck.render.clean import clean

LONGEST = 1000
"""Characters of one value in a sentence."""


class Voice:
    """Turns `Text` into a sentence of one language that is safe to show."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._translate = translations(language).gettext

    def __call__(self, text: Text) -> str:
        """The sentence with its values; a field without a value stays as it is written."""
        return self.fill(self.translate(text.msgid), text.values)

    def translate(self, message: str) -> str:
        """A bare message, such as a paragraph of a check's page; it has no fields."""
        return self._translate(message) if message else ""

    def fill(self, sentence: str, values: Mapping[str, str]) -> str:
        """`sentence` with every value cleaned and put in its field; faces with markup of their own escape it too."""
        return fill(sentence, values, clean)


def fill(sentence: str, values: Mapping[str, str], guard: Callable[[str], str]) -> str:
    """`sentence` with the guarded values in its fields; nobody reads a value of a million characters."""
    shown = {name: guard(value if len(value) <= LONGEST else value[:LONGEST] + "...") for name, value in values.items()}
    return sentence.format_map(_Fields(shown))


class _Fields(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"
