"""Text for people: an English message with its values, translated by a face and by nothing before it."""

from envcheck.model.base import Value


class Text(Value, frozen=True, kw_only=True):
    """A message id (the English text, `{name}` fields) and the values that fill it.

    Values are data and are never translated: versions, paths, names.
    """

    msgid: str
    values: dict[str, str] = {}

    def english(self) -> str:
        """The English sentence with its values filled in."""
        return self.msgid.format_map(self.values)


def say(msgid: str, /, **values: object) -> Text:
    """Mark `msgid` for translation and bind its values; Babel extracts calls of this name."""
    return Text(msgid=msgid, values={key: str(value) for key, value in values.items()})
