"""What an index tells beyond the shipped catalogue: read, refused, kept, laid over, forgotten."""

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from envcheck.catalogue import Catalogue
from envcheck.catalogue.files import DATA, read_table
from envcheck.catalogue.releases import Releases
from envcheck.catalogue.update import MOST_RELEASES, UnlikelyError, Update, decode, encode, make
from envcheck.catalogue.wheelnames import read, rows
from envcheck.model.facts import Facts, Gpu, Host, Nvidia, Python, Sighting
from envcheck.model.plan import Wish
from envcheck.recommend.resolve import resolve
from tests.helpers.cli import Result, invoke
from tests.helpers.web import Page, serve

SHIPPED = Catalogue.shipped()
NEW = [
    "torch-2.16.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl",
    "torch-2.16.0+cu132-cp312-cp312-manylinux_2_28_x86_64.whl",
    "torch-2.16.0+cu132-cp313-cp313t-manylinux_2_28_x86_64.whl",
    "torch-2.16.0+cpu-cp312-cp312-win_amd64.whl",
    "torch-2.16.0-cp312-none-macosx_14_0_arm64.whl",
    "torch-2.15.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl",
    "torch-1.3.0+cpu-cp37-cp37m-linux_x86_64.whl",
    "torch-2.16.0rc1+cpu-cp312-cp312-manylinux_2_28_x86_64.whl",
    "torchvision-0.30.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl",
]


def html(names: list[str]) -> bytes:
    return "".join(f'<a href="/{name.replace("+", "%2B")}">{name}</a>\n' for name in names).encode()


def update(environ: dict[str, str], cache: Path, *words: str) -> Result:
    return invoke("catalogue", "update", *words, environ={**environ, "ENVCHECK_CACHE": str(cache)})


def learnt(names: list[str] | None = None) -> Update:
    return make(NEW if names is None else names, "https://index.example/whl", "2026-12-24", SHIPPED.shipped_releases)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("torch-2.6.0+cu124-cp313-cp313t-manylinux_2_28_x86_64.whl",
         ("2.6.0", "cu124", "linux", "x86_64", "3.13t", "2.28", None)),
        ("torch-2.10.0-3-cp311-cp311-manylinux_2_28_x86_64.whl",
         ("2.10.0", "", "linux", "x86_64", "3.11", "2.28", None)),
        ("torch-1.8.1+rocm4.0.1-cp36-cp36m-linux_x86_64.whl",
         ("1.8.1", "rocm4.0.1", "linux", "x86_64", "3.6", "2.17", None)),
        ("torch-2.5.1-cp312-cp312-manylinux2014_aarch64.whl", ("2.5.1", "", "linux", "aarch64", "3.12", "2.17", None)),
        ("torch-2.7.0+xpu-cp312-cp312-win_amd64.whl", ("2.7.0", "xpu", "windows", "x86_64", "3.12", None, None)),
        ("torch-2.2.2-cp312-none-macosx_10_9_x86_64.whl", ("2.2.2", "cpu", "macos", "x86_64", "3.12", None, "10.9")),
        ("torch-2.6.0+cpu.cxx11.abi-cp312-cp312-linux_x86_64.whl", None),
        ("torch-2.6.0.dev20250101+cu124-cp312-cp312-linux_x86_64.whl", None),
        ("torch-2.6.0+cu124-cp312-cp312-linux_s390x.whl", None),
        ("torchaudio-2.6.0+cu124-cp312-cp312-linux_x86_64.whl", None),
        ("torch-2.6.0.tar.gz", None),
        ("", None),
    ],
)  # fmt: skip
def test_file_names_of_wheels(name: str, told: tuple[str | None, ...] | None) -> None:
    wheel = read(name)
    assert (None if wheel is None else astuple(wheel)) == told


@given(st.text(max_size=400))
def test_any_file_name_is_answered(name: str) -> None:
    read(name)
    read(f"torch-{name}.whl")


def test_wheels_fold_into_rows() -> None:
    (row,) = rows([
        "torch-2.16.0+cu132-cp312-cp312-win_amd64.whl",
        "torch-2.16.0+cu130-cp312-cp312-win_amd64.whl",
        "torch-2.16.0+cu130-cp311-cp311-win_amd64.whl",
        "torch-2.16.0+cu132-cp311-cp311-win_amd64.whl",
    ])  # fmt: skip
    assert (row.variants, row.pythons) == (("cu130", "cu132"), ("3.11", "3.12"))


# --- the update ---------------------------------------------------------------------------------------------------


def test_only_newer_releases_are_taken() -> None:
    assert {row.torch for row in learnt().wheels} == {"2.16.0"}
    assert decode(encode(learnt())) == learnt()


def test_a_new_release_is_known_at_once_where_kernels_do_not_matter() -> None:
    catalogue = SHIPPED.with_update(learnt())
    assert catalogue.newest_torch() == "2.16.0"
    cpu = Facts(
        host=Host(os="linux", machine="x86_64", libc="glibc", libc_version="2.35"),
        python=Python(version="3.12.1"),
        nvidia=Nvidia(gpus=()),
    )
    plan = resolve(cpu, catalogue)
    assert plan.build is not None
    assert (plan.build.torch, plan.build.index) == ("2.16.0", "https://download.pytorch.org/whl/cpu")
    assert plan.build.source == "index https://index.example/whl, read by envcheck catalogue update"
    mac = Facts(host=Host(os="macos", machine="arm64", os_name="macOS 15.0"), python=Python(version="3.12.1"))
    assert getattr(resolve(mac, catalogue).build, "torch", None) == "2.16.0"


def test_kernels_of_a_new_release_are_not_made_up() -> None:
    catalogue = SHIPPED.with_update(learnt())
    facts = Facts(
        host=Host(os="linux", machine="x86_64", libc="glibc", libc_version="2.35"),
        python=Python(version="3.12.1"),
        nvidia=Nvidia(
            driver_versions=(Sighting(value="595.58.03", look="nvml"),), gpus=(Gpu(index=0, compute_capability="8.6"),)
        ),
    )
    plan = resolve(facts, catalogue)
    assert plan.build is not None
    assert plan.build.torch == "2.15.0"
    assert any("2.16.0 is out" in note.english() for note in plan.notes)
    asked = resolve(facts, catalogue, Wish(torch="2.16"))
    assert asked.build is not None
    assert asked.build.variant == "cu132"
    assert any("not checked against the GPU" in note.english() for note in asked.notes)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["numpy-2.0.0-cp312-cp312-win_amd64.whl"],
        ["torch-9.0.0+cpu-cp312-cp312-win_amd64.whl"],
        [f"torch-2.{minor}.0+cpu-cp312-cp312-win_amd64.whl" for minor in range(100, 101 + MOST_RELEASES)],
    ],
)
def test_lists_that_cannot_be_are_refused(names: list[str]) -> None:
    with pytest.raises(UnlikelyError):
        learnt(names)


@given(st.binary(max_size=300))
def test_a_kept_file_of_any_bytes_is_refused_or_read(data: bytes) -> None:
    try:
        update = decode(data)
    except ValueError:
        return
    assert isinstance(update, Update)


# --- the command --------------------------------------------------------------------------------------------------


def test_update_keeps_what_it_learnt_and_forgets_it(environ: dict[str, str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with serve({"/whl/torch/": Page(html(NEW))}) as site:
        done = update(environ, cache, "--index", site.url("/whl"))
    assert done.code == 0, done.err
    assert done.out == "new: torch 2.16.0\n"
    there = {**environ, "ENVCHECK_CACHE": str(cache)}
    shown = invoke("catalogue", "show", environ=there).out
    assert "newest release: torch 2.16.0 (cpu, cu132, mps)" in shown
    assert "updated from http://127.0.0.1" in shown
    assert update(environ, cache, "--forget").code == 0
    assert "newest release: torch 2.15.0" in invoke("catalogue", environ=there).out


def test_json_pages_are_read_too(environ: dict[str, str], tmp_path: Path) -> None:
    files = [{"filename": name, "url": f"/{name.replace('+', '%2B')}", "hashes": {}} for name in NEW]
    body = json.dumps({"meta": {"api-version": "1.0"}, "name": "torch", "files": files}).encode()
    page = Page(body, kind="application/vnd.pypi.simple.v1+json")
    with serve({"/whl/torch/": page}) as site:
        assert update(environ, tmp_path / "cache", "--index", site.url("/whl")).out == "new: torch 2.16.0\n"


def test_nothing_new_is_said(environ: dict[str, str], tmp_path: Path) -> None:
    with serve({"/whl/torch/": Page(html(NEW[5:6]))}) as site:
        assert "no release is newer" in update(environ, tmp_path / "cache", "--index", site.url("/whl")).out


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Page(b"gone", 404), "does not answer"),
        (Page(b"<html>Please log in</html>"), "does not list torch's releases"),
        (Page(b"\x00" * 5000), "does not list torch's releases"),
        (Page(html(["torch-99.0.0+cpu-cp312-cp312-win_amd64.whl"])), "does not list torch's releases"),
        (Page(b'{"files": 3}', kind="application/json"), "does not list torch's releases"),
        (Page(b"<a " * 200_000), "does not list torch's releases"),
    ],
)
def test_hostile_answers_change_nothing(environ: dict[str, str], tmp_path: Path, page: Page, words: str) -> None:
    cache = tmp_path / "cache"
    with serve({"/whl/torch/": Page(html(NEW))}) as site:
        assert update(environ, cache, "--index", site.url("/whl")).code == 0
        before = (cache / "catalogue.json").read_bytes()
        site.pages["/whl/torch/"] = page
        done = update(environ, cache, "--index", site.url("/whl"))
    assert done.code == 3
    assert words in done.err
    assert "what was known before still counts" in done.err
    assert (cache / "catalogue.json").read_bytes() == before


def test_a_kept_file_that_is_broken_is_told_and_not_used(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "catalogue.json").write_text("{half")
    shown = invoke("catalogue", environ={**environ, "ENVCHECK_CACHE": str(tmp_path)})
    assert shown.code == 0
    assert "newest release: torch 2.15.0" in shown.out
    assert "the kept catalogue cannot be used" in shown.err


def test_without_a_place_to_keep_it(environ: dict[str, str], tmp_path: Path) -> None:
    done = invoke("catalogue", "update", environ=environ)
    assert (done.code, "ENVCHECK_CACHE" in done.err) == (2, True)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with serve({"/whl/torch/": Page(html(NEW))}) as site:
        done = update(environ, blocked / "cache", "--index", site.url("/whl"))
    assert done.code == 2
    assert "cannot write" in done.err


def test_the_date_is_that_of_the_look() -> None:
    day = datetime(2026, 12, 24, tzinfo=timezone.utc).strftime("%Y-%m-%d")
    assert learnt().date == day


# --- the tools ----------------------------------------------------------------------------------------------------

TOOLS = Path(__file__).parents[1] / "tools"


def tool(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(TOOLS / f"{name}.py"), *map(str, words)]
    path = {"PYTHONPATH": str(TOOLS.parent), "PATH": "/usr/bin:/bin"}
    return subprocess.run(argv, capture_output=True, text=True, timeout=100, env=path, check=False)


def test_refresh_releases_shows_what_is_new(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_bytes(html([*NEW, "torch-2.14.1+cu126-cp39-cp39-win_amd64.whl"]))
    done = tool("refresh_releases", "--page", page)
    assert done.returncode == 0, done.stderr
    assert "+ 2.16.0+cu132 linux x86_64: 3.12 3.13t" in done.stdout.splitlines()
    assert "~ 2.14.1+cu126 windows x86_64: also 3.9" in done.stdout.splitlines()
    assert "1.3.0" not in done.stdout
    assert "2.15.0" not in done.stdout


def test_what_refresh_releases_writes_is_a_table(tmp_path: Path) -> None:
    sys.path.insert(0, str(TOOLS))
    try:
        from refresh_releases import as_toml
    finally:
        sys.path.remove(str(TOOLS))
    new = [row for row in rows(NEW) if row.torch == "2.16.0"]
    file = tmp_path / "releases.toml"
    text = (Path(DATA) / "releases.toml").read_text(encoding="utf-8")
    text += as_toml(new, "https://index.example", "2026-12-24")
    file.write_text(text, encoding="utf-8")
    table = read_table(file, Releases)
    assert "2.16.0" in table.release
    assert sum(row.torch == "2.16.0" for row in table.wheels) == len(new)


def test_refresh_releases_refuses_a_page_without_wheels(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html></html>")
    done = tool("refresh_releases", "--page", tmp_path / "page.html")
    assert (done.returncode, done.stdout) == (1, "")


def test_refresh_drivers_reads_the_release_notes(tmp_path: Path) -> None:
    page = tmp_path / "notes.html"
    page.write_text(
        "<table><tr><th>CUDA Toolkit</th><th>Linux</th><th>Windows</th></tr>"
        "<tr><td><p>CUDA 13.4 GA</p></td><td><p>&gt;=620.10.01</p></td><td>N/A</td></tr>"
        "<tr><td>CUDA 12.9 Update 1</td><td>&gt;=575.57.08</td><td>&gt;=576.57</td></tr>"
        "<tr><td>CUDA 12.9 GA</td><td>&gt;=575.51.03</td><td>&gt;=576.99</td></tr>"
        "<tr><td>CUDA 10.2.89</td><td>&gt;= 440.33</td><td>&gt;= 441.22</td></tr></table>"
    )
    done = tool("refresh_drivers", page)
    assert done.stdout.splitlines() == ["+ CUDA 13.4: 620.10.01 None", "~ CUDA 12.9 windows: 576.02 -> 576.99"]


def test_refresh_gpus_reads_nvidias_page(tmp_path: Path) -> None:
    page = tmp_path / "gpus.html"
    page.write_text(
        "<table><tr><td>12.0</td><td>NVIDIA RTX PRO 6000 Blackwell Server Edition</td>"
        "<td>GeForce RTX 5090<br>GeForce RTX 5099</td></tr>"
        "<tr><td>GeForce RTX 4090</td><td>9.9</td></tr></table>"
    )
    done = tool("refresh_gpus", page)
    assert done.stdout.splitlines() == ["+ 12.0 GeForce RTX 5099", "~ GeForce RTX 4090: 8.9 -> 9.9"]
