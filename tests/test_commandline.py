"""Every printed command does with the real tool what the plan says, also with leftovers in the configuration."""

import ensurepip
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from envcheck.catalogue import Catalogue
from envcheck.catalogue.mirrors import mirror, mirrors
from envcheck.model.facts import Facts, Gpu, Host, Nvidia, Package, Python, Sighting, Torch
from envcheck.model.plan import Build, Plan, Wish
from envcheck.model.text import say
from envcheck.recommend.commandline import (
    COMPANIONS,
    MANAGERS,
    Place,
    Step,
    conda_specs,
    fixes,
    install_argv,
    install_steps,
    pins,
)
from envcheck.recommend.fragments import FORMS, render
from envcheck.recommend.sources import Route, prefers_default_index, route
from tests.helpers.web import Site, serve
from tests.helpers.wheelhouse import Wheel, flat, index

CATALOGUE = Catalogue.shipped()
NUMPY = Wheel("numpy", "2.1.0", "default")


def build(torch: str, variant: str, os: str = "linux", machine: str = "x86_64") -> Build:
    wanted = (torch, variant, os, machine)
    return next(one for one in CATALOGUE.builds() if (one.torch, one.variant, one.os, one.machine) == wanted)


def conda_build(torch: str, variant: str, os: str = "linux", machine: str = "x86_64") -> Build:
    wanted = (torch, variant, os, machine)
    return next(one for one in CATALOGUE.conda_builds() if (one.torch, one.variant, one.os, one.machine) == wanted)


def wheels(version: str, vision: str, audio: str, local: str, origin: str) -> list[Wheel]:
    return [
        Wheel("torch", version + local, origin, ("numpy",)),
        Wheel("torchvision", vision + local, origin, (f"torch=={version}",)),
        Wheel("torchaudio", audio + local, origin, (f"torch=={version}",)),
    ]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A torch index (also as a flat page), one of CPU wheels, and a default index with newer releases."""
    cuda = [*wheels("2.11.0", "0.26.0", "2.11.0", "+cu126", "cu126"), Wheel("numpy", "1.26.0", "cu126")]
    older = wheels("1.12.1", "0.13.1", "0.12.1", "+cu102", "cu102")
    cpu = [wheel for version in ("2.11.0", "2.15.0") for wheel in wheels(version, "0.26.0", "2.11.0", "+cpu", "cpu")]
    plain = [
        *wheels("1.12.1", "0.13.1", "0.12.1", "", "default"),
        *wheels("2.11.0", "0.26.0", "2.11.0", "", "default"),
        Wheel("torch", "2.15.0", "default", ("numpy",)),
        Wheel("torchvision", "0.29.2", "default", ("torch",)),
        NUMPY,
    ]
    pages = {
        **index("/whl/cu126", cuda),
        **index("/whl/cu102", older),
        **index("/whl/cpu", cpu),
        **flat("/flat/cu126", cuda[:3]),
        **index("/simple", plain, as_json=True),
        **index("/html", plain),
    }
    with serve(pages) as running:
        yield running


OLD_PIP = str(next(Path(ensurepip.__path__[0], "_bundled").glob("pip-*.whl")) / "pip")
TOOLS = {
    "pip": [sys.executable, "-m", "pip"],
    "bundled-pip": [sys.executable, OLD_PIP],
    "uv": [str(Path(sys.executable).parent / "uv"), "pip"],
}
# A pip of 2020, that has the old ways with indexes: "/path/to/python3.8 /path/to/pip-20.2.4-py2.py3-none-any.whl/pip".
OLDEST_PIP = os.environ.get("ENVCHECK_OLDEST_PIP", "").split()
if OLDEST_PIP:
    TOOLS["oldest-pip"] = OLDEST_PIP
OLDEST = ["oldest-pip"] if OLDEST_PIP else []


def run(tool: str, argv: tuple[str, ...], folder: Path, leftovers: dict[str, str]) -> dict[str, str]:
    """Run an install command with `tool` into an empty folder; what is there then: name -> version and origin."""
    words = list(argv[argv.index("install") :])
    if "--python" in words:
        at = words.index("--python")
        del words[at : at + 2]
    target = folder / "target"
    home = folder / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"}
    # What the machine that runs the tests is told of indexes and constraints must not count.
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_SYSTEM_CONFIG": "1", **leftovers}
    extra = ["--python", sys.executable] if tool == "uv" else ["--disable-pip-version-check"]
    subprocess.run(
        [*TOOLS[tool], *words, *extra, "--target", str(target)],
        check=True,
        env=environment,
        cwd=folder,
        timeout=100,
        capture_output=True,
        text=True,
    )
    found = {}
    for info in target.glob("*.dist-info"):
        name, version = info.name.removesuffix(".dist-info").split("-")
        origin = (target / name / "__init__.py").read_text(encoding="utf-8").split("'")[1]
        found[name] = f"{version} {origin}"
    return found


def steps(chosen: Build, manager: str, way: Route) -> tuple[Step, ...]:
    place = Place(python=sys.executable, python_version=f"{sys.version_info[0]}.{sys.version_info[1]}")
    return install_steps(chosen, next(one for one in MANAGERS if one == manager), way, CATALOGUE, place, COMPANIONS)


def simple(tool: str) -> str:
    """The default index in the newest form that `tool` reads."""
    return "/html" if tool == "oldest-pip" else "/simple"


LEFTOVERS = {
    "none": {},
    "default-mirror": {"PIP_EXTRA_INDEX_URL": "{site}/simple", "UV_INDEX": "{site}/simple"},
    "cpu-index": {"PIP_EXTRA_INDEX_URL": "{site}/whl/cpu", "UV_EXTRA_INDEX_URL": "{site}/whl/cpu"},
}


FORMS_OF_INDEX = ("index", "flat")
CASES = [
    *(("pip", leftover, "index") for leftover in LEFTOVERS),
    ("pip", "cpu-index", "flat"),
    ("bundled-pip", "cpu-index", "index"),
    ("bundled-pip", "default-mirror", "flat"),
    *((oldest, leftover, form) for oldest in OLDEST for leftover in LEFTOVERS for form in FORMS_OF_INDEX),
    *(("uv", leftover, form) for leftover in LEFTOVERS for form in FORMS_OF_INDEX),
]


@pytest.mark.parametrize(("tool", "leftover", "form"), CASES)
def test_the_planned_wheel_is_installed(site: Site, tmp_path: Path, tool: str, leftover: str, form: str) -> None:
    path = "/flat/cu126/" if form == "flat" else "/whl/cu126"
    way = Route(torch=site.url(path), flat=form == "flat", default=site.url(simple(tool)))
    argv = steps(build("2.11.0", "cu126"), "uv" if tool == "uv" else "pip", way)[0].argv
    left = {name: text.replace("{site}", site.url("")) for name, text in LEFTOVERS[leftover].items()}
    found = run(tool, argv, tmp_path, left)
    assert found["torch"] == "2.11.0+cu126 cu126"
    assert found["torchvision"] == "0.26.0+cu126 cu126"
    assert found["torchaudio"] == "2.11.0+cu126 cu126"


@pytest.mark.parametrize("tool", ["pip", *OLDEST, "uv"])
def test_an_old_release_finds_its_dependencies_beside_the_torch_index(site: Site, tmp_path: Path, tool: str) -> None:
    way = Route(torch=site.url("/whl/cu102"), beside=True, default=site.url(simple(tool)))
    argv = steps(build("1.12.1", "cu102"), "uv" if tool == "uv" else "pip", way)[0].argv
    found = run(tool, argv, tmp_path, {})
    assert found["torch"] == "1.12.1+cu102 cu102"
    assert found["torchvision"] == "0.13.1+cu102 cu102"
    assert found["torchaudio"] == "0.12.1+cu102 cu102"
    assert found["numpy"] == "2.1.0 default"


@pytest.mark.parametrize("tool", ["bundled-pip", *OLDEST, "uv"])
def test_the_default_index_serves_its_own_build_only(site: Site, tmp_path: Path, tool: str) -> None:
    """A leftover index with 2.15.0+cpu must not win: its version sorts higher than 2.15.0."""
    argv = steps(build("2.15.0", "cu132"), "uv" if tool == "uv" else "pip", Route(default=site.url(simple(tool))))[
        0
    ].argv
    found = run(tool, argv, tmp_path, {"PIP_EXTRA_INDEX_URL": site.url("/whl/cpu")})
    assert found["torch"] == "2.15.0 default"


def test_a_missing_wheel_fails_and_never_falls_back(site: Site, tmp_path: Path) -> None:
    way = Route(torch=site.url("/whl/cpu"), default=site.url("/simple"))
    argv = steps(build("2.14.1", "cu126"), "pip", way)[0].argv
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("pip", argv, tmp_path, {})
    assert "torch==2.14.1+cu126" in caught.value.stderr


def test_pip_and_uv_take_the_pair_in_opposite_forms() -> None:
    way = Route(torch="https://torch.example/cu126", default="https://default.example/simple")
    chosen = build("2.11.0", "cu126")
    pip, uv = steps(chosen, "pip", way)[0].argv, steps(chosen, "uv", way)[0].argv
    assert shlex.join(pip).endswith(
        "--index-url https://torch.example/cu126 --extra-index-url https://default.example/simple"
    )
    assert shlex.join(uv).endswith("--index https://torch.example/cu126 --default-index https://default.example/simple")


def test_without_a_mirror_the_default_index_is_the_absence_of_a_flag() -> None:
    chosen = build("2.15.0", "mps", "macos", "arm64")
    way = route(chosen, CATALOGUE)
    argv = install_argv(Plan(build=chosen, reason=say("x")), "pip", way, CATALOGUE, Place(), ("torchvision",))
    assert argv == ("python", "-m", "pip", "install", "torch===2.15.0", "torchvision===0.29.2")
    assert install_argv(Plan(build=None, reason=say("x")), "pip", way, CATALOGUE, Place()) == ()


def test_builds_that_share_a_version_are_asked_for_by_address() -> None:
    chosen = build("1.7.1", "cu102", "windows")
    place = Place(python_version="3.7")
    words = pins(chosen, route(chosen, CATALOGUE), CATALOGUE, place, COMPANIONS)
    base = "https://download.pytorch.org/whl/cu102"
    assert words == (
        f"{base}/torch-1.7.1-cp37-cp37m-win_amd64.whl",
        f"{base}/torchvision-0.8.2-cp37-cp37m-win_amd64.whl",
        "torchaudio==0.7.2",
    )
    aarch64 = build("2.5.1", "cu124", "linux", "aarch64")
    words = pins(aarch64, route(aarch64, CATALOGUE), CATALOGUE, Place(python_version="3.12"), COMPANIONS)
    assert words[0] == "https://download.pytorch.org/whl/cu124/torch-2.5.1-cp312-cp312-linux_aarch64.whl"
    assert words[1] == "torchvision==0.20.1"


# --- mirrors ------------------------------------------------------------------------------------------------------


def test_a_mirror_without_cuda_wheels_is_paired_and_says_so() -> None:
    tuna = mirror("tuna")
    way = route(build("2.7.1", "cu118"), CATALOGUE, tuna, mirrors().values())
    assert way.torch == "https://mirror.nju.edu.cn/pytorch/whl/cu118"
    assert way.default == "https://pypi.tuna.tsinghua.edu.cn/simple"
    assert "cu118" in " ".join(text.english() for text in way.notes)
    assert prefers_default_index(build("2.15.0", "cu130"), tuna)
    assert route(build("2.15.0", "cu132"), CATALOGUE, tuna).torch is None


def test_a_flat_mirror_gets_find_links() -> None:
    way = route(build("2.11.0", "cu126"), CATALOGUE, mirror("aliyun"))
    assert way.flat
    argv = steps(build("2.11.0", "cu126"), "pip", way)[0].argv
    assert "--find-links" in argv
    assert argv[-2:] == ("--index-url", "https://mirrors.aliyun.com/pypi/simple/")


@pytest.mark.parametrize("name", sorted(mirrors()))
@pytest.mark.parametrize("manager", MANAGERS)
def test_every_mirror_gives_every_manager_a_whole_command(name: str, manager: str) -> None:
    conda = manager in ("conda", "mamba", "pixi")
    for chosen in (
        [conda_build("2.13.0", "cu129"), conda_build("2.5.1", "cu124")]
        if conda
        else [build("2.14.1", "cu126"), build("2.15.0", "cpu"), build("1.12.1", "cu113")]
    ):
        way = route(chosen, CATALOGUE, mirror(name), mirrors().values())
        words = [word for step in steps(chosen, manager, way) for word in step.argv]
        assert all(words)
        assert not any("{" in word for word in words)
        assert all("pkgs/free" not in word and "pkgs/pro" not in word for word in words)
        assert any(chosen.torch in word for word in words)


# --- conda --------------------------------------------------------------------------------------------------------


def test_conda_is_asked_for_a_gpu_build_by_name() -> None:
    chosen = conda_build("2.13.0", "cu129")
    argv = steps(chosen, "conda", route(chosen, CATALOGUE))[0].argv
    assert argv[:6] == ("conda", "create", "-n", "torch", "--override-channels", "-c")
    assert "pytorch-gpu=2.13.0" in argv
    assert "cuda-version=12.9" in argv
    assert not any(word.startswith("pytorch=") for word in argv)


def test_legacy_conda_lines_name_their_toolkit_and_channels() -> None:
    wanted = [one for one in CATALOGUE.conda_builds() if one.index != "conda-forge" and one.os == "linux"]
    last = next(one for one in wanted if one.torch == "2.5.1" and one.variant == "cu121")
    assert conda_specs(last, CATALOGUE, COMPANIONS) == (
        "pytorch=2.5.1",
        "pytorch-cuda=12.1",
        "torchvision=0.20.1",
        "torchaudio=2.5.1",
    )
    assert route(last, CATALOGUE).channels == ("pytorch", "nvidia")
    old = next(one for one in wanted if one.torch == "1.12.1" and one.variant == "cu113")
    assert "cudatoolkit=11.3" in conda_specs(old, CATALOGUE, COMPANIONS)
    mirrored = route(last, CATALOGUE, mirror("tuna"))
    assert mirrored.channels == ("https://mirrors.tuna.tsinghua.edu.cn/anaconda/cloud/pytorch", "nvidia")
    assert "nvidia" in mirrored.notes[-1].english()


def test_conda_is_told_of_the_cuda_that_another_machine_has() -> None:
    chosen = conda_build("2.13.0", "cu129")
    place = Place(python_version="3.12", has_gpu=False)
    step = install_steps(chosen, "conda", route(chosen, CATALOGUE), CATALOGUE, place, ())[0]
    assert step.shown("sh").startswith("CONDA_OVERRIDE_CUDA=12.9 conda create")
    assert step.shown("powershell").startswith("$Env:CONDA_OVERRIDE_CUDA = '12.9'; conda create")
    assert step.shown("cmd").startswith('set "CONDA_OVERRIDE_CUDA=12.9" && conda create')


def channel(folder: Path) -> str:
    """A conda channel with the packages of the real one that matter: GPU builds for two toolkits, and a CPU build."""

    def package(name: str, version: str, build: str, depends: list[str], **more: object) -> dict[str, object]:
        return {"name": name, "version": version, "build": build, "build_number": 0, "depends": depends, "subdir":
                "linux-64", "md5": "0" * 32, "sha256": "0" * 64, "size": 1, **more}  # fmt: skip

    packages = [package("python", "3.12.8", "h0", []), package("torchvision", "0.28.0", "h0", ["pytorch"])]
    for cuda in ("12.9", "13.0"):
        tag = f"cuda{cuda.replace('.', '')}"
        limits = [f"__cuda >={cuda.partition('.')[0]}"]
        packages += [
            package("cuda-version", cuda, "h0", [], constrains=limits),
            package("pytorch", "2.13.0", f"{tag}_h0", [f"cuda-version {cuda}.*", "__cuda", "python"]),
            package("pytorch-gpu", "2.13.0", f"{tag}_h0", [f"pytorch 2.13.0 {tag}_h0"]),
        ]
    packages.append(package("pytorch", "2.13.0", "cpu_h0", ["python"]))
    packages.append(package("pytorch-cpu", "2.13.0", "cpu_h0", ["pytorch 2.13.0 cpu_h0"]))
    for subdir, listed in (("linux-64", packages), ("noarch", [])):
        (folder / subdir).mkdir(parents=True)
        files = {f"{one['name']}-{one['version']}-{one['build']}.conda": one for one in listed}
        document = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": files, "repodata_version": 1}
        (folder / subdir / "repodata.json").write_bytes(msgspec.json.encode(document))
    return folder.as_uri()


SOLVED = [
    ("cu129", "12.4", "cuda129_h0"),
    ("cu129", "13.1", "cuda129_h0"),
    ("cu130", "13.1", "cuda130_h0"),
    ("cu130", "12.4", None),
    ("cu129", None, None),
    ("cpu", None, "cpu_h0"),
]


@pytest.mark.parametrize(("variant", "driver", "solved"), SOLVED)
def test_a_conda_solver_takes_the_planned_package(
    tmp_path: Path, variant: str, driver: str | None, solved: str | None
) -> None:
    import asyncio

    import rattler
    from rattler.exceptions import SolverError

    chosen = conda_build("2.13.0", variant)
    words = install_steps(
        chosen, "conda", Route(channels=(channel(tmp_path),)), CATALOGUE, Place(python_version="3.12"), ()
    )
    specs = [word for word in words[0].argv[4:] if "=" in word]
    cuda = [(rattler.PackageName("__cuda"), rattler.Version(driver), rattler.BuildString("0"))] if driver else []
    virtual = [rattler.GenericVirtualPackage(*one) for one in cuda]
    work = rattler.solve(
        [rattler.Channel(words[0].argv[words[0].argv.index("-c") + 1])],
        specs=[rattler.MatchSpec(spec) for spec in specs],
        platforms=["linux-64", "noarch"],
        virtual_packages=virtual,
    )
    if solved is None:
        with pytest.raises(SolverError):
            asyncio.run(asyncio.wait_for(work, 60))
        return
    records = asyncio.run(asyncio.wait_for(work, 60))
    assert [str(one.build) for one in records if one.name.normalized == "pytorch"] == [solved]


# --- fragments and fixes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("commands", "environment", "pixi")])
def test_fragments_of_wheels(form: str) -> None:
    chosen = build("2.11.0", "cu126")
    wanted = next(one for one in FORMS if one == form)
    text = render(wanted, chosen, route(chosen, CATALOGUE), CATALOGUE, Place(python_version="3.12"), COMPANIONS)
    assert "torch==2.11.0+cu126" in text
    assert "https://download.pytorch.org/whl/cu126" in text
    if form == "pyproject":
        document = msgspec.toml.decode(text)
        assert document["tool"]["uv"]["index"][0]["explicit"] is True
        assert set(document["tool"]["uv"]["sources"]) == {"torch", "torchvision", "torchaudio"}


def test_fragments_of_conda() -> None:
    chosen = conda_build("2.13.0", "cu129")
    way = route(chosen, CATALOGUE, mirror("tuna"))
    text = render("environment", chosen, way, CATALOGUE, Place(python_version="3.12"), COMPANIONS)
    assert "  - nodefaults" in text.splitlines()
    assert "  - pytorch-gpu=2.13.0" in text.splitlines()
    document = msgspec.toml.decode(render("pixi", chosen, way, CATALOGUE, Place(python_version="3.12"), COMPANIONS))
    assert document["system-requirements"]["cuda"] == "12"
    assert document["dependencies"]["pytorch-gpu"] == "2.13.0.*"


@pytest.mark.parametrize("tool", ["pip", *OLDEST, "uv"])
def test_the_requirements_file_installs_what_it_says(site: Site, tmp_path: Path, tool: str) -> None:
    chosen = build("2.11.0", "cu126")
    way = Route(torch=site.url("/whl/cu126"), default=None if tool == "uv" else site.url(simple(tool)))
    file = tmp_path / "requirements.txt"
    file.write_text(render("requirements", chosen, way, CATALOGUE, Place(), COMPANIONS), encoding="utf-8")
    found = run(tool, ("install", "-r", str(file)), tmp_path, {})
    assert found["torch"] == "2.11.0+cu126 cu126"


def test_the_project_file_is_one_that_uv_syncs(site: Site, tmp_path: Path) -> None:
    way = Route(torch=site.url("/whl/cu126"), default=site.url("/simple"))
    place = Place(python_version=f"{sys.version_info[0]}.{sys.version_info[1]}")
    text = render("pyproject", build("2.11.0", "cu126"), way, CATALOGUE, place, COMPANIONS)
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_NO_CACHE": "1", "UV_NO_SYSTEM_CONFIG": "1"}
    command = [TOOLS["uv"][0], "sync", "--python", sys.executable]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=100, capture_output=True)
    there = {path.name for path in (tmp_path / ".venv").rglob("*.dist-info")}
    assert "torch-2.11.0+cu126.dist-info" in there
    assert "numpy-2.1.0.dist-info" in there


def facts(**torch: object) -> Facts:
    return Facts(
        host=Host(os="linux", machine="x86_64", libc="glibc", libc_version="2.35"),
        python=Python(path="/opt/my env/bin/python", version="3.12.1", has_pip=True),
        nvidia=Nvidia(
            driver_versions=(Sighting(value="580.95.05", look="nvml"),), gpus=(Gpu(index=0, compute_capability="8.6"),)
        ),
        packages=(Package(name="torch"), Package(name="torchvision")),
        torch=msgspec.convert({"installed": True, **torch}, Torch),
    )


def test_fixes_install_with_the_examined_interpreter() -> None:
    from envcheck.recommend.resolve import resolve

    here = facts(version="2.15.0+cpu")
    plan = resolve(here, CATALOGUE, Wish(variant="cu130"))
    (only,) = fixes(plan, here, CATALOGUE)
    assert only.argv[0] == "/opt/my env/bin/python"
    assert only.shell.startswith("'/opt/my env/bin/python' -m pip install torch==2.15.0+cu130 torchvision==0.29.2 ")
    assert not any(word.startswith("torchaudio") for word in only.argv)


def test_fixes_take_away_the_same_version_first() -> None:
    from envcheck.recommend.resolve import resolve

    here = facts(version="2.15.0+cu130")
    away, again = fixes(resolve(here, CATALOGUE), here, CATALOGUE)
    assert away.argv[1:] == ("-m", "pip", "uninstall", "-y", "torch", "torchvision")
    assert "torch==2.15.0+cu130" in again.argv


def test_no_build_no_fixes() -> None:
    assert fixes(Plan(build=None, reason=say("x")), facts(), CATALOGUE) == ()
