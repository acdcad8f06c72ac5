"""Translations: gettext, English message ids, one folder a language."""
