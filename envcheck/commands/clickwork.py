"""click, made to speak our languages: commands, options and choices whose help is translated when it is shown."""

import gettext
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from envcheck.commands.world import World
from envcheck.locale import LANGUAGES, paragraphs
from envcheck.render.layout import cells, pad, wrap
from envcheck.render.terminal import DEFAULT_WIDTH

Function = TypeVar("Function", bound=Callable[..., Any])


class Formatter(click.HelpFormatter):
    """Lays out help in terminal cells: click counts characters, and Chinese ones are two cells wide."""

    def write_text(self, text: str) -> None:
        """A paragraph, wrapped."""
        for line in wrap(text, self.width - self.current_indent):
            self.write(f"{'':{self.current_indent}}{line}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """A list of names and what they mean, in two columns; a long name has its line for itself."""
        listed = list(rows)
        indent = self.current_indent
        column = min(max(cells(name) for name, _ in listed), col_max) + col_spacing
        for name, meaning in listed:
            lines = wrap(meaning, max(self.width - indent - column, 10))
            if cells(name) + col_spacing <= column:
                self.write(" " * indent + pad(name, column) + lines.pop(0) + "\n")
            else:
                self.write(" " * indent + name + "\n")
            self.write("".join(" " * (indent + column) + line + "\n" for line in lines))


class Context(click.Context):
    """A context whose help is laid out by our formatter."""

    formatter_class = Formatter

    def make_formatter(self) -> click.HelpFormatter:
        """As click's; the width of our terminal, so that click does not import `shutil` to ask for it."""
        widest = min(self.ensure_object(World).terminal.width, self.max_content_width or DEFAULT_WIDTH)
        return Formatter(width=max(widest - 2, 50))


class Option(click.Option):
    """An option whose `help` is a message id: one line, which click need not tidy."""

    def __init__(self, *declarations: Any, **settings: Any) -> None:
        message = settings.pop("help", None)
        super().__init__(*declarations, **settings)
        self.help = message

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The row in `--help`, translated."""
        message, self.help = self.help, self.help and gettext.gettext(self.help)
        try:
            return super().get_help_record(ctx)
        finally:
            self.help = message


class Command(click.Command):
    """A command whose docstring is translated paragraph by paragraph."""

    context_class = Context

    def format_help_text(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The docstring in `--help`, translated."""
        for paragraph in paragraphs(self.help or ""):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(gettext.gettext(paragraph))


class Group(Command, click.Group):
    """A group whose table of subcommands is translated."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of subcommands: the first paragraph of each one's help."""
        names = self.list_commands(ctx)
        helps = ((name, (one.help or "") if (one := self.get_command(ctx, name)) else "") for name in names)
        with formatter.section(gettext.gettext("Commands")):
            formatter.write_dl([(name, gettext.gettext(next(iter(paragraphs(text)), ""))) for name, text in helps])


def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """`click.option` with translated help."""
    return click.option(*names, cls=Option, **settings)


def common_options() -> list[click.Parameter]:
    """What every command has last: `--lang` and `--help`."""
    languages = click.Choice(LANGUAGES)
    told = "Language: English or Simplified Chinese."
    lang = Option(["--lang"], type=languages, expose_value=False, help=told)
    shown = "Show this message and exit."
    wanted = Option(["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, callback=_show_help, help=shown)
    return [lang, wanted]


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """`click.command` with the common options and a translated docstring."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        made = click.command(name, cls=Command, add_help_option=False)(function)
        made.params += common_options()
        return made

    return decorate


def _show_help(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.ensure_object(World).write(ctx.get_help() + "\n")
        ctx.exit()
