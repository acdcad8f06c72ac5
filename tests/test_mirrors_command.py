"""`envcheck mirrors` as a person types it, with files and servers of the test's own."""

import io
import re
from pathlib import Path

import pytest
from helpers.web import Page, Site, redirect, serve

from envcheck.catalogue.mirrors import mirrors
from envcheck.cli import run
from envcheck.commands.world import World
from envcheck.model.errors import Exit
from envcheck.probes.measure import SAMPLE
from envcheck.probes.system import System

WHEEL = b"PK\x03\x04" + bytes(SAMPLE)
PIP = b"[global]\r\nindex-url = https://bob:hunter2@old.example/simple\r\n# mine\r\nretries = 5\r\n"
TUNA = "https://pypi.tuna.tsinghua.edu.cn/simple"
CONDARC = b"channels:\n  - defaults\n"


class Typed(io.StringIO):
    """A terminal on which a person answers."""

    def isatty(self) -> bool:
        return True


class Told(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]  # StringIO has none


def say(
    home: Path, *argv: str, answer: str | None = None, environ: dict[str, str] | None = None, root: Path | str = "/"
) -> tuple[int, str, str]:
    out, err = Told(), Told()
    stdin = io.StringIO() if answer is None else Typed(answer)
    seen = {"HOME": str(home), "PATH": "/nowhere", "COLUMNS": "100"} | (environ or {})
    code = run(["mirrors", *argv], World(system=System(root, seen, "linux"), out=out, err=err, stdin=stdin))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    pip = tmp_path / ".config/pip/pip.conf"
    pip.parent.mkdir(parents=True)
    pip.write_bytes(PIP)
    (tmp_path / ".condarc").write_bytes(CONDARC)
    return tmp_path


def files(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_list_has_a_row_for_each_mirror(home: Path) -> None:
    for argv in ([], ["list"]):
        code, out, _ = say(home, *argv)
        assert code == 0
        rows = {line.split()[0]: line.split()[1:6] for line in out.splitlines()[1 : len(mirrors()) + 1]}
        assert list(rows) == list(mirrors())
        assert rows["tuna"] == ["✓", "-", "✓", "?", "-"]
        assert rows["official"] == ["✓", "✓", "✓", "?", "✓"]
        assert rows["douban"] == ["✗", "-", "-", "-", "-"]


@pytest.mark.parametrize("name", list(mirrors()))
@pytest.mark.parametrize("width", ["60", "200"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page(home: Path, name: str, width: str, language: str) -> None:
    code, out, _ = say(home, "list", name, environ={"COLUMNS": width, "ENVCHECK_LANG": language})
    assert code == 0
    for record in mirrors()[name].records.values():
        assert record.url is None or f"  {record.url}\n" in out
        assert record.date in out
    texts = [limit for record in mirrors()[name].records.values() for limit in record.limits]
    assert language == "en" or not [text for text in texts if text[:20] in out]


def test_use_shows_asks_writes_and_restore_brings_back(home: Path) -> None:
    before = files(home)
    code, out, err = say(home, "use", "tuna", "--tool", "pip", "--tool", "uv", "--tool", "conda", answer="y\n")
    assert code == 0
    assert f"+index-url = {TUNA}" in out
    assert "[y/N]" in err
    assert "envcheck install --mirror tuna" in out
    after = files(home)
    assert after[".config/pip/pip.conf"] == PIP.replace(b"https://bob:hunter2@old.example/simple", TUNA.encode())
    assert after[".config/uv/uv.toml"].decode() == f'[[index]]\nurl = "{TUNA}"\ndefault = true\n'
    assert after[".condarc"].startswith(CONDARC)
    assert b"conda-forge: https://mirrors.tuna.tsinghua.edu.cn/anaconda/cloud\n" in after[".condarc"]
    assert b"pkgs/free" not in after[".condarc"]
    assert say(home, "restore", answer="yes\n")[0] == 0
    assert files(home) == before
    assert "Nothing to restore" in say(home, "restore", "--yes")[1]


def test_no_secret_of_the_files_is_shown(home: Path) -> None:
    (home / ".condarc").write_text("custom_channels:\n  pytorch: https://c.example/t/s3cr-et-tok/cloud\n")
    shown = "".join(say(home, "use", "bfsu", "--tool", "pip", "--tool", "conda", "--yes")[1:])
    shown += "".join(say(home, "restore", "--yes")[1:])
    assert "bfsu" in shown
    assert not re.search("hunter2|bob|s3cr", shown)


@pytest.mark.parametrize("how", [["--dry-run"], ["--print"], []])
def test_nothing_is_written_unasked(home: Path, how: list[str]) -> None:
    before = files(home)
    code, out, _ = say(home, "use", "tuna", *how)
    assert (code, files(home)) == (0, before)
    assert f"index-url = {TUNA}" in out
    assert ("--yes" in out) is (how == [])


@pytest.mark.parametrize("answer", ["", "n\n", "\n", "perhaps\n"])
def test_anything_but_yes_is_no(home: Path, answer: str) -> None:
    before = files(home)
    assert say(home, "use", "tuna", answer=answer)[0] == 0
    assert files(home) == before


def test_lines_to_put_in_by_hand_can_be_put_in(home: Path) -> None:
    out = say(home, "use", "nju", "--tool", "uv", "--print")[1]
    head, *lines = out.splitlines()
    assert head == f"# {home}/.config/uv/uv.toml"
    assert lines == ["[[index]]", 'url = "https://mirror.nju.edu.cn/pypi/web/simple"', "default = true"]


def test_tools_that_are_there_are_the_default(home: Path) -> None:
    folder = home / "bin"
    folder.mkdir()
    for name in ("uv", "conda"):
        (folder / name).touch(mode=0o755)
    out = say(home, "use", "tuna", "--dry-run", environ={"PATH": str(folder)})[1]
    assert [line.split(":")[0] for line in out.splitlines() if re.match("(pip|uv|conda):", line)] == [
        "pip",
        "uv",
        "conda",
    ]
    out = say(home, "use", "tuna", "--dry-run")[1]
    assert [line.split(":")[0] for line in out.splitlines() if re.match("(pip|uv|conda):", line)] == ["pip"]


def test_what_hides_the_edit_is_named(home: Path) -> None:
    environ = {"PIP_INDEX_URL": "https://other.example/simple"}
    out = say(home, "use", "tuna", "--tool", "pip", "--yes", environ=environ)[1]
    assert "pip will not use it: PIP_INDEX_URL is stronger" in out
    assert "stronger" not in say(home, "use", "bfsu", "--tool", "pip", "--yes")[1]


@pytest.mark.parametrize(
    ("argv", "says", "hint"),
    [
        (["use", "tnua"], "there is no mirror tnua", "tuna"),
        (["list", "sjtuu"], "there is no mirror sjtuu", "sjtu"),
        (["test", "xyz"], "there is no mirror xyz", "known are"),
        (["use", "official"], "official addresses", "restore"),
        (["use", "sustech", "--tool", "pip"], "sustech has nothing for pip", "list sustech"),
        (["use", "douban"], "douban has nothing for pip", "list douban"),
        (["use", "tuna", "--tool", "npm"], "npm", "--help"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(home: Path, argv: list[str], says: str, hint: str) -> None:
    before = files(home)
    code, out, err = say(home, *argv)
    assert (code, out, files(home)) == (Exit.USAGE, "", before)
    first, second = err.splitlines()
    assert says in first
    assert hint in second


def test_a_file_that_cannot_be_edited_stops_all_edits(home: Path) -> None:
    (home / ".condarc").write_text("channels: [a]\nchannels: [b]\n")
    before = files(home)
    code, out, err = say(home, "use", "tuna", "--tool", "pip", "--tool", "conda", "--yes")
    assert (code, out, files(home)) == (Exit.USAGE, "", before)
    assert err.startswith(f"error: conda itself cannot read this file: line 2: `channels` twice ({home}/.condarc)\n")


def test_no_home(home: Path) -> None:
    code, _, err = say(home, "use", "tuna", environ={"HOME": ""}, root=home)
    assert code == Exit.USAGE
    assert "no home directory" in err


def test_changed_since(home: Path) -> None:
    say(home, "use", "tuna", "--yes")
    path = home / ".config/pip/pip.conf"
    path.write_bytes(path.read_bytes() + b"pre = 1\r\n")
    code, _, err = say(home, "restore", "--yes")
    assert code == Exit.USAGE
    assert "somebody changed this file" in err
    assert path.read_bytes().endswith(b"pre = 1\r\n")


def test_folder_that_cannot_be_made(home: Path) -> None:
    (home / ".config/uv").write_text("a file")
    code, _, err = say(home, "use", "tuna", "--tool", "uv", "--yes")
    assert code == Exit.STEP
    assert "nothing was changed" in err


OWN = """\
name = "lab"
title = "Our lab"
hosts = ["127.0.0.1"]
[pypi]
url = "{base}/simple"
index = "pep503"
status = "live"
confidence = "A"
date = "2026-11-25"
source = "we run it"
[torch_wheels]
url = "{base}/whl/{{variant}}/"
index = "flat"
status = "live"
confidence = "A"
date = "2026-11-25"
source = "we run it"
[conda_forge]
url = "{base}/conda-forge"
index = "conda"
status = "live"
confidence = "A"
date = "2026-11-25"
source = "we run it"
"""


def lab(folder: Path, site: Site) -> dict[str, str]:
    folder.mkdir()
    (folder / "lab.toml").write_text(OWN.format(base=site.url("")))
    return {"ENVCHECK_MIRRORS": str(folder)}


def test_test_measures_what_a_mirror_serves(home: Path) -> None:
    with serve() as elsewhere, serve() as site:
        site.pages |= {
            "/simple/torch/": Page(f'<a href="{elsewhere.url("/t-1.whl")}">1</a><a href="t-2.whl">2</a>'.encode()),
            "/simple/torch/t-2.whl": redirect(elsewhere.url("/t-2.whl").replace("127.0.0.1", "localhost")),
            "/whl/cu130/": Page(b'<a href="torch-2.whl">2</a>'),
            "/whl/cu130/torch-2.whl": Page(b"<html>sorry</html>"),
            "/conda-forge/noarch/repodata.json": Page(b"{" + bytes(2 * SAMPLE)),
        }
        elsewhere.pages["/t-2.whl"] = Page(WHEEL)
        environ = lab(home / "own", site)
        code, out, _ = say(home, "test", "lab", "--variant", "cu130", environ=environ)
        assert code == Exit.FINDING  # one of the three lies
        rows = [line for line in out.splitlines() if " lab " in line]
        assert [row.split()[0] for row in rows] == ["✓", "✓", "✗"]
        assert all(re.search(r"\d+ ms +\d+\.\d MB/s", row) for row in rows[:2])
        assert "files are redirected to localhost" in out
        assert "answers, but not with the file" in rows[2]
        site.pages["/whl/cu130/torch-2.whl"] = Page(WHEEL)
        assert say(home, "test", "lab", "--variant", "cu130", environ=environ)[0] == 0


def test_test_takes_addresses_and_names_dead_ones(home: Path) -> None:
    with serve({"/simple/torch/": Page(b'<a href="t.whl">t</a>'), "/simple/torch/t.whl": Page(WHEEL)}) as site:
        code, out, _ = say(home, "test", site.url("/simple/torch/"))
        assert (code, "127.0.0.1" in out) == (0, True)
        code, out, _ = say(home, "test", site.url("/gone/"), site.url("/simple/torch/"))
        assert code == Exit.FINDING
        assert "HTTP 404" in out
        code, out, _ = say(home, "test", "ftp://127.0.0.1/x", environ={"ENVCHECK_LANG": "zh"})
        assert code == Exit.FINDING
        assert "不是 http 或 https 地址" in out
