"""Languages: every message has its Chinese, and the compiled file is current."""

import gettext

import pytest
from helpers.tool import tool

from envcheck.diagnosis.checks import CHECKS
from envcheck.locale import choose, language_of, paragraphs, spoken_by_libraries, translations
from envcheck.model.text import Text, say
from envcheck.render.voice import Voice

messages = tool("messages")


def test_every_message_has_chinese_and_no_fragment_holds_another() -> None:
    assert messages.problems(messages.merged()) == []


def test_the_compiled_file_is_up_to_date() -> None:
    assert messages.up_to_date(messages.merged()), "run tools/messages.py"


def test_extraction_sees_calls_pages_and_help() -> None:
    used = messages.used()
    assert "not selected" in used
    assert "Show this message and exit." in used
    assert all(text in used for check in CHECKS for text in paragraphs(check.page))


def test_fields_of_a_message() -> None:
    assert messages.fields("{code} explains {other}, {{literal}}") == {"code", "other"}


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("zh_CN.UTF-8", "zh"),
        ("zh-Hans", "zh"),
        ("ZH", "zh"),
        ("Chinese (Simplified)_China.936", "zh"),
        ("English_United States.1252", "en"),
        ("en", "en"),
        ("C.UTF-8", None),
        ("POSIX", None),
        ("fr_FR", None),
        ("", None),
    ],
)
def test_language_of(tag: str, language: str | None) -> None:
    assert language_of(tag) == language


def test_the_first_variable_that_is_set_decides() -> None:
    assert choose((None,), {"LC_ALL": "fr_FR", "LANG": "zh_CN"}.get) == "en"
    assert choose((None, "zh"), {"LC_ALL": "fr_FR"}.get) == "zh"


def test_values_are_data_and_never_translated_or_filled_again() -> None:
    spoken = Voice("zh")(say("{code} makes it moot", code="{code} Driver"))
    assert spoken == "已有 {code} Driver，无须再查"


def test_a_field_without_a_value_stays() -> None:
    assert Voice("en")(Text(msgid="{code} makes it moot")) == "{code} makes it moot"


def test_a_message_without_chinese_is_said_in_english() -> None:
    assert Voice("zh").translate("no such message") == "no such message"
    assert Voice("zh").translate("") == ""


def test_libraries_speak_our_language_only_meanwhile() -> None:
    assert gettext.gettext("Usage:") == "Usage:"
    with spoken_by_libraries("zh"):
        assert gettext.gettext("Usage:") == "用法:"
        assert gettext.ngettext("Takes {nargs} values but 1 was given.", "x", 1).startswith("需要")
        assert gettext.gettext("unheard of") == "unheard of"
        assert gettext.gettext("") == ""
    assert gettext.gettext("Usage:") == "Usage:"


def test_english_needs_no_file() -> None:
    assert type(translations("en")) is gettext.NullTranslations


def test_paragraphs() -> None:
    text = """Title.

    One paragraph
    on two lines.

    - a point
      and its rest
    - another
    """
    assert paragraphs(text) == ["Title.", "One paragraph on two lines.", "- a point and its rest", "- another"]
