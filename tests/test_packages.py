"""What the files of an interpreter say: packages, torch, and what stands in its way; asked of real interpreters."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import faketorch
from hypothesis import given
from hypothesis import strategies as st

from envcheck.model.codec import decode, encode
from envcheck.model.facts import Facts, Package
from envcheck.probes import packages
from envcheck.probes.collect import Options, collect
from envcheck.probes.system import System
from envcheck.probes.worker import WorkerResult

Look = Callable[..., Facts]


@pytest.fixture
def look(tmp_path: Path, environ: dict[str, str], bare_python: str, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Look at the bare interpreter, with `site` on PYTHONPATH, from the folder `here`."""
    (tmp_path / "here").mkdir()
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def at(torch: bool = False, **more: str) -> Facts:
        system = System(environ=environ | {"PYTHONPATH": str(tmp_path / "site")} | more)
        return collect(system, Options(python=bare_python, deadline=30, torch=torch))

    return at


def found(facts: Facts) -> dict[str, Package]:
    return {package.name: package for package in facts.packages or ()}


def test_the_interpreter(look: Look, bare_python: str, tmp_path: Path) -> None:
    python = look().python
    assert (python.path, python.chosen_by) == (bare_python, "--python")
    assert python.version == ".".join(map(str, sys.version_info[:3]))
    assert (python.implementation, python.bits, python.free_threaded) == ("CPython", 64, False)
    assert (python.kind, python.has_pip, python.externally_managed) == ("venv", False, False)
    assert (python.prefix, python.base_prefix) == (str(Path(bare_python).parent.parent), sys.base_prefix)
    assert python.sys_path is not None
    assert python.sys_path[:2] == (str(tmp_path / "here"), str(tmp_path / "site"))
    assert python.tags is not None
    assert python.tags[0].startswith(f"cp{sys.version_info[0]}{sys.version_info[1]}-")
    assert python.shadows == ()


def test_only_distributions_that_matter_to_torch(look: Look, tmp_path: Path) -> None:
    site = tmp_path / "site"
    faketorch.write_dist(
        site,
        "torch",
        "2.6.0+cu124",
        requires=("nvidia-nccl-cu12==2.21.5; platform_system == 'Linux'", "filelock", "opt; extra == 'torch'"),
    )
    faketorch.write_dist(site, "torchvision", "0.21.0", installer="uv", requires=("torch==2.6.0", "numpy", "pillow>=5"))
    faketorch.write_dist(site, "nvidia_cublas.cu12", "12.4.5.8", installer=None)
    faketorch.write_dist(site, "company-secret-project", "1.0", requires=("torch",))
    (site / "numpy-1.26.4-py3.11.egg-info").write_text("Metadata-Version: 1.1\nName: numpy\n")
    (site / "triton.egg-link").write_text("/src/triton\n.")
    (site / "~orch-2.5.0.dist-info").mkdir()
    (site / "-orch-2.4.0.dist-info").mkdir()
    (site / ".dist-info").mkdir()
    seen = found(look())
    assert seen["torch"].requires == ("nvidia-nccl-cu12==2.21.5; platform_system == 'Linux'",)
    assert (seen["torch"].version, seen["torch"].installer, seen["torch"].location) == ("2.6.0+cu124", "pip", str(site))
    assert seen["torchvision"].requires == ("torch==2.6.0", "numpy")
    assert (seen["torchvision"].installer, seen["nvidia-cublas-cu12"].installer) == ("uv", None)
    assert seen["numpy"].version == "1.26.4"
    assert seen["triton"].version is None
    assert {"~orch"} == {name for name in seen if "~" in name}
    assert "company-secret-project" not in seen


def test_conda_says_builds_and_channels(look: Look, bare_python: str) -> None:
    prefix = Path(bare_python).parent.parent
    folder = prefix / "conda-meta"
    folder.mkdir()
    try:
        record = {
            "name": "pytorch",
            "files": ["x"] * 9999,
            "channel": "https://u:pw@repo.example/t/abc123/pytorch/linux-64",
        }
        (folder / "pytorch-2.5.1-cpu_generic_py312_0.json").write_text(json.dumps(record))
        (folder / "libblas-3.9.0-1_mkl.json").write_text("{}")
        (folder / "history").touch()
        (folder / "torchvision-0.1-py_0.json").write_text("broken")
        seen = found(look())
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert (seen["pytorch"].version, seen["pytorch"].build, seen["pytorch"].installer) == (
        "2.5.1",
        "cpu_generic_py312_0",
        "conda",
    )
    assert seen["pytorch"].channel == "https://repo.example/t/****/pytorch/linux-64"
    assert seen["torchvision"].channel is None
    assert "libblas" not in seen


@pytest.mark.parametrize(
    ("text", "version", "cuda", "variant"),
    [
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip = None", "2.13.0+cpu", None, "cpu"),
        ("__version__ = '2.6.0'\ncuda: Optional[str] = '12.4'", "2.6.0", "12.4", "cu124"),
        (
            "__version__ = '2.5.1+rocm6.2'\ncuda = None\nhip: Optional[str] = '6.2.41133-dd7f95766'",
            "2.5.1+rocm6.2",
            None,
            "rocm6.2",
        ),
        ("__version__ = '2.5.1'\ncuda = None\nhip = '6.2.41133-dd7f95766'", "2.5.1", None, "rocm6.2"),
        ("__version__ = '2.8.0'\ncuda = None\nxpu = '20250101'", "2.8.0", None, "xpu"),
        ("__version__ = '1.4.0'\ndebug = False\ncuda = '10.1'\n", "1.4.0", "10.1", "cu101"),
        ("__version__ = '2.0.0.dev1'\n", "2.0.0.dev1", None, None),
        ("import os\n__version__ = os.sep", None, None, None),
        ("\xff\xfe", None, None, None),
        ("", None, None, None),
    ],
)
def test_the_build_is_read_as_text(
    look: Look, tmp_path: Path, text: str, version: str | None, cuda: str | None, variant: str | None
) -> None:
    package = tmp_path / "site/torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('this must not run')")
    (package / "version.py").write_bytes(text.encode("latin-1"))
    torch = look().torch
    assert (torch.installed, torch.version, torch.cuda, torch.variant) == (True, version, cuda, variant)
    assert torch.file == str(package / "__init__.py")
    assert torch.imported is None


def test_files_that_an_interrupted_installation_left_out(look: Look, tmp_path: Path) -> None:
    site = tmp_path / "site"
    faketorch.write(site)
    (site / "torch/lib").mkdir()
    (site / "torch/lib/libtorch.so").write_bytes(b"x" * 10)
    (site / "torch/lib/libc10.so").write_bytes(b"x" * 10)
    record = (
        "torch/__init__.py,sha256=x,10\ntorch/lib/libtorch.so,sha256=x,10\ntorch/lib/libc10.so,sha256=x,11\n"
        "torch/lib/libshm.so.1,,5\ntorch/nn/modules/gone.py,sha256=x,3\ntorch/bin/protoc,,\n"
    )
    faketorch.write_dist(site, "torch", "2.6.0", record=record)
    assert look().torch.broken_files == ("torch/lib/libc10.so", "torch/lib/libshm.so.1")


def test_a_record_of_a_real_size_is_read_by_its_libraries_only(look: Look, tmp_path: Path) -> None:
    site = faketorch.write(tmp_path / "site")
    lines = [f"torch/include/some.sorted/header{number}.so.h,sha256=x,{number}" for number in range(20_000)]
    lines[7] = "torch/lib/libgone.so,sha256=x,7"
    faketorch.write_dist(
        site, "torch", "2.6.0", record="\n".join([*lines, "torch/__init__.py,,", "torch/lib/last.so.1,,9"])
    )
    assert look().torch.broken_files == ("torch/lib/libgone.so", "torch/lib/last.so.1")


def test_metadata_without_a_package(look: Look, tmp_path: Path) -> None:
    faketorch.write_dist(tmp_path / "site", "torch", "2.6.0+cu124", record="")
    facts = look(torch=True)
    torch = facts.torch
    assert (torch.installed, torch.version, torch.file) == (True, "2.6.0+cu124", None)
    assert torch.broken_files == ("torch/__init__.py",)
    assert (torch.imported, torch.error_type) == (False, "ModuleNotFoundError")


def test_left_over_folders_are_no_package(look: Look, tmp_path: Path) -> None:
    (tmp_path / "site/torch/lib").mkdir(parents=True)
    (tmp_path / "site/~orch-2.5.0.dist-info").mkdir()
    torch = look().torch
    assert (torch.installed, torch.broken_files) == (False, ("~orch",))


@pytest.mark.parametrize("name", ["torch.py", "torch/__init__.py", "numpy.py"])
def test_a_file_in_the_users_folder_is_seen_and_not_run(look: Look, tmp_path: Path, name: str) -> None:
    site = tmp_path / "site"
    faketorch.write(site, dist=True)
    faketorch.write_dist(site, "numpy", "2.0.0")
    (site / "numpy").mkdir()
    (site / "numpy/__init__.py").touch()
    stray = tmp_path / "here" / name
    stray.parent.mkdir(exist_ok=True)
    stray.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    facts = look(torch=True)
    assert facts.python.shadows == (str(stray),)
    assert facts.torch.imported
    assert facts.torch.file == str(site / "torch/__init__.py")
    assert not (tmp_path / "ran").exists()


def test_only_a_stray_file_is_no_torch(look: Look, tmp_path: Path) -> None:
    (tmp_path / "here/torch.py").write_text("raise SystemExit")
    facts = look(torch=True)
    assert (facts.torch.installed, facts.python.shadows) == (False, (str(tmp_path / "here/torch.py"),))


def test_a_folder_without_init_shadows_nothing(look: Look, tmp_path: Path) -> None:
    (tmp_path / "here/torch").mkdir()
    (tmp_path / "here/torch/notes.txt").touch()
    facts = look()
    assert (facts.torch.installed, facts.python.shadows) == (False, ())


def test_torch_installed_in_the_users_folder_is_torch(look: Look, tmp_path: Path) -> None:
    faketorch.write(tmp_path / "here", dist=True)
    facts = look(torch=True)
    assert (facts.torch.installed, facts.torch.imported, facts.python.shadows) == (True, True, ())


def test_the_users_folder_on_pythonpath_is_still_the_users(look: Look, tmp_path: Path) -> None:
    (tmp_path / "here/torch.py").write_text("raise SystemExit")
    for path in (str(tmp_path / "here"), ".", f"{tmp_path / 'site'}{os.pathsep}."):
        facts = look(torch=True, PYTHONPATH=path)
        assert (facts.torch.installed, facts.python.shadows) == (False, (str(tmp_path / "here/torch.py"),))


def test_a_file_on_pythonpath_before_an_installed_torch(look: Look, tmp_path: Path) -> None:
    faketorch.write(tmp_path / "site", dist=True)
    stray = tmp_path / "project/torch.py"
    stray.parent.mkdir()
    stray.write_text("x = 1")
    facts = look(PYTHONPATH=f"{stray.parent}{os.pathsep}{tmp_path / 'site'}")
    assert facts.python.shadows == (str(stray),)


def test_stray_standard_modules_count_when_torch_asks_for_them(look: Look, tmp_path: Path) -> None:
    site = faketorch.write(tmp_path / "site")
    source = (site / "torch/__init__.py").read_text()
    (site / "torch/__init__.py").write_text("import random\n" + source)
    for name in ("random", "telnetlib", "json", "os", "mine"):
        (tmp_path / f"here/{name}.py").write_text("raise SystemExit")
    facts = look(torch=True)
    assert facts.torch.imported
    assert facts.python.shadows is not None
    assert str(tmp_path / "here/random.py") in facts.python.shadows
    assert not {str(tmp_path / f"here/{name}.py") for name in ("telnetlib", "os", "mine")} & {*facts.python.shadows}


def test_a_safe_path_has_no_users_folder(look: Look, tmp_path: Path) -> None:
    (tmp_path / "here/torch.py").touch()
    facts = look(PYTHONSAFEPATH="1")
    expected = () if sys.version_info >= (3, 11) else (str(tmp_path / "here/torch.py"),)
    assert facts.python.shadows == expected


def test_standard_modules_on_pythonpath_do_not_break_the_look(look: Look, tmp_path: Path) -> None:
    for name in ("json", "re", "traceback", "warnings", "struct", "ast", "target_files"):
        (tmp_path / f"site/{name}.py").write_text("raise RuntimeError('hit')")
    assert look().python.version is not None


STEPS = (
    "interpreter", "packages", "build", "libraries", "cpu", "device cuda:0", "kernel cuda:0", "device rocm:1",
    "kernel cpu", "is_available", "device_count", "cudnn", "nccl", "mps is_available", "said 1",
)  # fmt: skip
KEYS = ("version", "cuda", "hip", "name", "ok", "text", "memory_bytes", "mapped", "arch_list", "debug", "capability")
SIMPLE = st.none() | st.booleans() | st.text() | st.integers() | st.lists(st.none() | st.text())


@given(st.dictionaries(st.sampled_from(STEPS), SIMPLE | st.dictionaries(st.sampled_from(KEYS), SIMPLE)))
def test_answers_of_wrong_types_never_become_facts(values: dict[str, object]) -> None:
    result = WorkerResult("ok", {"torch files": {"installed": True}, "import": {"ms": 1}, **values}, {})
    facts = Facts(
        python=packages.interpreter_facts(result.values, "/p", "PATH"),
        torch=packages.torch_facts(result),
        packages=packages.package_facts(result.values),
        messages=packages.messages_of(result),
        observations=packages.observations_of(result, torch=True),
    )
    assert decode(encode(facts).decode()) == facts
