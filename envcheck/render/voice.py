"""A language to speak: texts translated, their values cleaned."""

from envcheck.locale import translations
from envcheck.model.text import Text
from envcheck.render.clean import clean


class Voice:
    """Turns `Text` into a sentence of one language that is safe to show."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._translate = translations(language).gettext

    def __call__(self, text: Text) -> str:
        """The sentence, with every value cleaned; a field without a value stays as it is written."""
        values = _Fields({name: clean(value) for name, value in text.values.items()})
        return self._translate(text.msgid).format_map(values)

    def translate(self, message: str) -> str:
        """A bare message, such as a paragraph of a check's page; it has no fields."""
        return self._translate(message) if message else ""


class _Fields(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"
