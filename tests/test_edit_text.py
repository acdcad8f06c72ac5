"""Texts of pip.conf, uv.toml and .condarc: what was asked for is in, everything else is as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.model.errors import EnvcheckError
from envcheck.probes.configfiles import ini, toml, yaml
from envcheck.probes.rewrite import Edit, values
from envcheck.probes.rewrite_conda import conda_channels
from envcheck.probes.rewrite_pip import pip_index
from envcheck.probes.rewrite_uv import uv_index

URL = "https://m.example/simple"
CLOUD = "https://m.example/cloud"
MAIN = "https://m.example/pkgs/main"
PIP = pip_index(URL)
UV = uv_index(URL)
CONDA = conda_channels({"conda-forge": CLOUD, "pytorch": CLOUD}, [MAIN])
NAMES = f"custom_channels:\n  conda-forge: {CLOUD}\n  pytorch: {CLOUD}\n"
DEFAULTS = f"default_channels:\n  - {MAIN}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"[global]\nindex-url = {URL}\n"),
        ("[global]", f"[global]\nindex-url = {URL}\n"),
        ("# mine\r\n[global]\r\nretries=3\r\n", f"# mine\r\n[global]\r\nindex-url = {URL}\r\nretries=3\r\n"),
        ("[list]\nformat = columns", f"[list]\nformat = columns\n\n[global]\nindex-url = {URL}\n"),
        ("[global]\nIndex_URL:https://old\n; keep", f"[global]\nIndex_URL: {URL}\n; keep"),
        # [install] is what pip obeys, so that one is set
        ("[install]\nindex-url = a\n[global]\nindex-url=b\n", f"[install]\nindex-url = {URL}\n[global]\nindex-url=b\n"),
        (
            "[global]\nindex-url =\n  old\n# keep\n  more\n\nno-index = 0\n",
            f"[global]\nindex-url = {URL}\n# keep\n\nno-index = 0\n",
        ),
        ("[global]\nextra-index-url =\n  a\n  b\n", f"[global]\nindex-url = {URL}\nextra-index-url =\n  a\n  b\n"),
    ],
)
def test_pip(before: str, after: str) -> None:
    assert PIP.rewrite(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f'[[index]]\nurl = "{URL}"\ndefault = true\n'),
        ("offline = true # why\n", f'offline = true # why\n\n[[index]]\nurl = "{URL}"\ndefault = true\n'),
        ("index-url = 'https://old'  # mine\r\n", f'index-url = "{URL}"  # mine\r\n'),
        (
            '[[index]]\nname = "a"\nurl="https://old"\ndefault = true\n\n[[index]]\nurl = "https://b"\n',
            f'[[index]]\nname = "a"\nurl="{URL}"\ndefault = true\n\n[[index]]\nurl = "https://b"\n',
        ),
        ('index = [{url = "https://a", default = true}]\n', f'index = [{{url = "{URL}", default = true}}]\n'),
        ("[pip]\nstrict = true", f'[pip]\nstrict = true\n\n[[index]]\nurl = "{URL}"\ndefault = true\n'),
        ("\ufeffoffline = true\n", f'\ufeffoffline = true\n\n[[index]]\nurl = "{URL}"\ndefault = true\n'),
    ],
)
def test_uv(before: str, after: str) -> None:
    assert UV.rewrite(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", NAMES + DEFAULTS),
        ("# only a comment\n", "# only a comment\n" + NAMES + DEFAULTS),
        (
            "channels:\n  - defaults # x\nssl_verify: true",
            "channels:\n  - defaults # x\nssl_verify: true\n" + NAMES + DEFAULTS,
        ),
        (
            "custom_channels:\n    pytorch: https://old # why\n    mine: https://k\nx: 1\n",
            f"custom_channels:\n    conda-forge: {CLOUD}\n    pytorch: {CLOUD} # why\n    mine: https://k\nx: 1\n"
            + DEFAULTS,
        ),
        (
            "default_channels:\n- https://old/main\n# why\n- https://old/r   # r\nchannels: [defaults]\n",
            f"default_channels:\n- {MAIN}\n# - https://old/main\n# why\n# - https://old/r   # r\nchannels: [defaults]\n"
            + NAMES,
        ),
        (
            "custom_channels: {mine: k}\ndefault_channels: [a, b] # c\n",
            f"custom_channels: {{conda-forge: {CLOUD}, pytorch: {CLOUD}, mine: k}}\ndefault_channels: [{MAIN}] # c\n",
        ),
        (
            "custom_channels: {}\ndefault_channels: []\n",
            f"custom_channels: {{conda-forge: {CLOUD}, pytorch: {CLOUD}}}\ndefault_channels: [{MAIN}]\n",
        ),
        ("custom_channels:\ndefault_channels:\nx: 1", NAMES + DEFAULTS + "x: 1\n"),
        (
            "  channels:\n    - a\n",
            "  channels:\n    - a\n" + "".join(f"  {line}\n" for line in (NAMES + DEFAULTS).splitlines()),
        ),
        ("\ufeffx: 1\r\n", "\ufeffx: 1\r\n" + (NAMES + DEFAULTS).replace("\n", "\r\n")),
    ],
)
def test_conda(before: str, after: str) -> None:
    assert CONDA.rewrite(before) == after


def test_conda_without_default_channels() -> None:
    assert conda_channels({"nvidia": CLOUD}, []).rewrite("") == f"custom_channels:\n  nvidia: {CLOUD}\n"


@pytest.mark.parametrize("edit", [PIP, UV, CONDA])
def test_lines_to_put_in_by_hand_are_the_edit_of_an_empty_file(edit: Edit) -> None:
    assert "\n".join(edit.lines) + "\n" == edit.rewrite("")
    assert edit.rewrite(edit.rewrite("")) == edit.rewrite("")


@pytest.mark.parametrize(
    ("edit", "text", "reason"),
    [
        (PIP, "[global]\nindex-url = a\nindex_url = b\n", "twice"),
        (PIP, "\ufeff[global]\n", "byte order mark"),
        (PIP, "index-url = a\n", "before the first"),
        (UV, "index = [\n", "cannot read"),
        (UV, 'index = [{url = "https://a"}]\n', "too unusual"),
        (UV, 'index-url = "https://a"\nextra-index-url = ["https://a/b"]\n', "too unusual"),
        (UV, 'index-url = """https://a"""\n', "too unusual"),
        (CONDA, "channels: [a\n", "cannot read"),
        (CONDA, "channels: [a]\nchannels: [b]\n", "twice"),
        (CONDA, "{channels: [a]}\n", "too unusual"),
        (CONDA, "---\nchannels: [a]\n...\n", "too unusual"),
        (CONDA, "default_channels: word\n", "too unusual"),
        (CONDA, "custom_channels: [a]\n", "too unusual"),
        (CONDA, "a: &x [b]\ndefault_channels: *x\n", "too unusual"),
        (CONDA, "default_channels:\n  - &x https://o\nz: *x\n", "cannot read|too unusual"),
    ],
)
def test_refused(edit: Edit, text: str, reason: str) -> None:
    with pytest.raises(EnvcheckError, match=reason) as caught:
        edit.rewrite(text)
    assert caught.value.mend is not None


PIECES = {
    "pip": [
        "[global]\n",
        "[install]\n",
        "index-url = https://a\n",
        "index_url: b\n",
        "  more\n",
        "# note\n",
        "\n",
        "retries = 1\r\n",
        "x",
    ],
    "uv": [
        "[[index]]\n",
        'url = "https://a"\n',
        "default = true\n",
        "# note\n",
        "\n",
        "[pip]\n",
        'index-url = "https://b"\n',
        "offline = true\r\n",
    ],
    "conda": [
        "custom_channels:\n",
        "default_channels:\n",
        "  pytorch: https://a # c\n",
        "  - https://b\n",
        "channels: [x, y]\n",
        "# note\n",
        "\n",
        "  mine: https://c\r\n",
        "- d\n",
        "{}\n",
    ],
}


@pytest.mark.parametrize(("name", "edit", "parse"), [("pip", PIP, ini), ("uv", UV, toml), ("conda", CONDA, yaml)])
@given(data=st.data())
def test_no_line_is_lost_and_no_other_value_changes(name: str, edit: Edit, parse: object, data: st.DataObject) -> None:
    text = "".join(data.draw(st.lists(st.sampled_from(PIECES[name]), max_size=9)))
    assert callable(parse)
    try:
        new = edit.rewrite(text)
    except EnvcheckError:
        return
    assert edit.rewrite(new) == new
    before, after = (values(parse(one).entries) for one in (text, new))
    touched = {key for key in after if after.get(key) != before.get(key)}
    assert {key for _, key in touched} <= {
        "index-url",
        "url",
        "default",
        "default_channels",
        "custom_channels.conda-forge",
        "custom_channels.pytorch",
    }
    for comment in ("# note", "# c"):
        assert new.count(comment) >= text.count(comment)
