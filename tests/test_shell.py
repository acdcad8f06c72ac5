"""Commands can be pasted: the shell gives back what was meant, also for redacted paths."""

import re
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envcheck.model.shell import join

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
TRICKY = st.lists(
    st.sampled_from(["~", "/", "$USER", "a", " ", "'", '"', "$", "`", "\\", "é", ";", "*", "\n"]), max_size=6
)


@given(st.lists(WORDS | TRICKY.map("".join), min_size=1, max_size=4))
def test_shlex_gives_the_words_back(argv: list[str]) -> None:
    assert shlex.split(join(argv)) == argv


@settings(max_examples=60, deadline=None)
@given(TRICKY.map("".join))
def test_a_real_shell_expands_home_and_user_and_nothing_else(word: str) -> None:
    env = {"HOME": "/home/a b", "USER": "a b", "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        ["sh", "-c", f"printf '%s' {join([word])}"], env=env, capture_output=True, text=True, check=True
    )
    expected = re.sub(r"\$USER(?![A-Za-z0-9_])", "a b", re.sub(r"\A~(?=\Z|/)", "/home/a b", word))
    assert ran.stdout == expected


@pytest.mark.parametrize(
    ("word", "sh", "cmd", "powershell"),
    [
        (
            "~/v env/bin/python",
            "~/'v env/bin/python'",
            '"%USERPROFILE%/v env/bin/python"',
            '& "$HOME/v env/bin/python"',
        ),
        (
            "~\\env\\python.exe",
            "'~\\env\\python.exe'",
            '"%USERPROFILE%\\env\\python.exe"',
            '& "$HOME\\env\\python.exe"',
        ),
        ("~\\$USER", "'~\\'\"$USER\"", '"%USERPROFILE%\\%USERNAME%"', '& "$HOME\\${env:USERNAME}"'),
        ("/data/$USER/x", '/data/"$USER"/x', '"/data/%USERNAME%/x"', '& "/data/${env:USERNAME}/x"'),
        ("torch>=2", "'torch>=2'", '"torch>=2"', "& 'torch>=2'"),
        ("a~b", "'a~b'", "a~b", "a~b"),
        ("", "''", '""', "& ''"),
    ],
)
def test_three_shells(word: str, sh: str, cmd: str, powershell: str) -> None:
    assert (join([word]), join([word], "cmd"), join([word], "powershell")) == (sh, cmd, powershell)
