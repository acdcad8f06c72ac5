"""The catalogue's tables: every statement has a source, and they agree with each other."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec.toml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.catalogue import Catalogue, architectures, gpus, messages
from envcheck.catalogue.files import DATA, read_table
from envcheck.catalogue.remedies import last_branch
from envcheck.model.facts import Message
from envcheck.model.versions import at_least, numbers

CATALOGUE = Catalogue.shipped()
DATE = re.compile(r"20\d\d-[01]\d-[0-3]\d")
OURS = ("drivers", "gpus", "releases", "capabilities", "conda", "platforms")


def tables(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from tables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from tables(inner)


@pytest.mark.parametrize("name", OURS)
def test_every_row_names_a_source_and_every_source_a_date(name: str) -> None:
    document = msgspec.toml.decode((Path(DATA) / f"{name}.toml").read_bytes())
    sources = document.get("source", {})
    for row in tables(document):
        if "source" in row and isinstance(row["source"], str) and row["source"] in sources:
            continue
        if "source" in row and isinstance(row["source"], str):
            assert DATE.fullmatch(str(row["date"])), row
        if "what" in row:
            assert DATE.fullmatch(str(row["date"])), row
    for rows in (document.get(key, []) for key in ("toolkit", "family", "wheels", "cuda", "rocm", "packages")):
        assert all(row.get("source") for row in rows)
    assert all(row["source"] in sources for row in document.get("release", {}).values())


@pytest.mark.parametrize("system", ["linux", "windows"])
def test_newer_cuda_never_needs_an_older_driver(system: str) -> None:
    toolkits = sorted({build.cuda for build in CATALOGUE.builds() if build.cuda}, key=numbers)
    for ask in (CATALOGUE.minimum_driver, CATALOGUE.exact_driver):
        for older, newer in itertools.pairwise(toolkits):
            first, second = ask(older, system), ask(newer, system)
            assert first is not None
            assert second is not None
            assert at_least(second, first), (older, newer)
    for cuda in toolkits:
        assert at_least(CATALOGUE.exact_driver(cuda, system) or "", CATALOGUE.minimum_driver(cuda, system) or "9" * 9)


@pytest.mark.parametrize("system", ["linux", "windows"])
def test_a_driver_speaks_the_cuda_it_came_with(system: str) -> None:
    for cuda in ("8.0", "10.2", "11.3", "11.8", "12.2", "12.7", "12.9", "13.0", "13.3"):
        assert CATALOGUE.cuda_of_driver(CATALOGUE.exact_driver(cuda, system) or "", system) == cuda


@pytest.mark.parametrize(
    ("driver", "system", "cuda"),
    [
        ("440.33", "linux", "10.2"),
        ("465.19", "linux", "11.3"),
        ("580", "linux", "13.0"),
        ("535.183.01", "linux", "12.2"),
        ("536.25", "windows", "12.2"),
        ("535.98", "windows", "12.2"),
        ("531.14", "windows", "12.1"),
        ("550.40.07", "linux", "12.4"),
        ("304.137", "linux", None),
        ("580.95.05", "macos", None),
    ],
)
def test_cuda_of_a_driver(driver: str, system: str, cuda: str | None) -> None:
    assert CATALOGUE.cuda_of_driver(driver, system) == cuda


@pytest.mark.parametrize(
    ("cuda", "system", "driver"),
    [
        ("12.6", "linux", "525.60.13"),
        ("12.6.3", "windows", "528.33"),
        ("11.8", "linux", "450.80.02"),
        ("11.0", "linux", "450.36.06"),
        ("10.2", "windows", "441.22"),
        ("13.2", "linux", "580"),
        ("99.0", "linux", None),
    ],
)
def test_minimum_driver_of_a_toolkit(cuda: str, system: str, driver: str | None) -> None:
    assert CATALOGUE.minimum_driver(cuda, system) == driver


def test_every_build_names_known_things() -> None:
    for build in (*CATALOGUE.builds(), *CATALOGUE.conda_builds()):
        assert build.source, build
        assert DATE.fullmatch(build.date), build
        assert build.os in ("linux", "windows", "macos"), build
        assert build.machine in ("x86_64", "aarch64", "arm64"), build
        assert build.pythons, build
        assert all(re.fullmatch(r"3\.\d+t?", python) for python in build.pythons), build
        assert CATALOGUE.companions(build.torch) is not None, build
        assert (build.libc is None) != (build.os == "linux" and build.channel == "wheel") or build.channel != "wheel"
        if build.cuda:
            assert CATALOGUE.minimum_driver(build.cuda, build.os), build
            assert build.capabilities, build
            assert build.variant == f"cu{build.cuda.replace('.', '')}", build
        elif build.variant.startswith("rocm"):
            assert all(kernel.startswith("gfx") for kernel in build.capabilities), build
            assert build.capabilities, build
        else:
            assert build.variant in ("cpu", "xpu", "mps"), build
            assert build.capabilities == (), build


def test_no_build_is_told_twice() -> None:
    told = [
        (build.torch, build.variant, build.os, build.machine, python)
        for build in CATALOGUE.builds()
        for python in build.pythons
    ]
    assert len(told) == len(set(told))


def test_the_default_index_serves_one_variant_to_one_interpreter() -> None:
    served = [
        (build.torch, build.os, build.machine, python)
        for build in CATALOGUE.builds()
        if build.on_default_index
        for python in build.pythons
    ]
    assert len(served) == len(set(served))


@pytest.mark.parametrize(
    ("torch", "variant", "system", "machine"),
    [
        ("2.15.0", "cu132", "linux", "x86_64"),
        ("2.15.0", "cu132", "linux", "aarch64"),
        ("2.15.0", "cpu", "windows", "x86_64"),
        ("2.14.1", "cu130", "linux", "x86_64"),
        ("2.10.0", "cu128", "linux", "x86_64"),
        ("2.10.0", "cpu", "linux", "aarch64"),
        ("1.12.1", "cu102", "linux", "x86_64"),
        ("2.15.0", "mps", "macos", "arm64"),
        ("2.2.2", "cpu", "macos", "x86_64"),
    ],
)
def test_what_a_plain_install_brings(torch: str, variant: str, system: str, machine: str) -> None:
    here = (torch, system, machine)
    served = [one for one in CATALOGUE.builds() if one.on_default_index and (one.torch, one.os, one.machine) == here]
    assert {build.variant for build in served} == {variant}


def test_ends_of_lines_that_people_run_into() -> None:
    def last(**asked: str) -> str:
        rows = [one for one in CATALOGUE.builds() if all(getattr(one, key) == word for key, word in asked.items())]
        return max((one.torch for one in rows), key=numbers)

    assert last(os="macos", machine="x86_64") == "2.2.2"
    assert last(cuda="10.2") == "1.12.1"
    assert last(cuda="11.3") == "1.12.1"
    assert last(cuda="11.8") == "2.7.1"
    assert last(cuda="12.6") == "2.14.1"
    assert max(
        (build.torch for build in CATALOGUE.conda_builds() if build.channel == "pytorch-conda"), key=numbers
    ) == ("2.5.1")
    assert CATALOGUE.newest_torch() == "2.15.0"
    assert CATALOGUE.newest_torch() == max((build.torch for build in CATALOGUE.builds()), key=numbers)


@pytest.mark.parametrize(
    ("torch", "variant", "system", "has", "lacks"),
    [
        ("2.7.1", "cu128", "linux", "7.5", "6.1"),
        ("2.7.1", "cu128", "windows", "6.1", "3.7"),
        ("2.10.0", "cu128", "linux", "7.0", "6.1"),
        ("2.11.0", "cu128", "linux", "7.5", "7.0"),
        ("2.14.1", "cu126", "linux", "5.2", "12.0"),
        ("2.14.1", "cu130", "linux", "12.1", "7.0"),
        ("2.4.1", "cu118", "linux", "3.7", "10.0"),
    ],
)
def test_generations_that_builds_shed(torch: str, variant: str, system: str, has: str, lacks: str) -> None:
    here = (torch, variant, system, "x86_64")
    build = next(one for one in CATALOGUE.builds() if (one.torch, one.variant, one.os, one.machine) == here)
    kernels = [kernel for kernel in build.capabilities if kernel.startswith("sm_")]
    assert any(CATALOGUE.runs(kernel, has) for kernel in kernels)
    assert not any(CATALOGUE.runs(kernel, lacks) for kernel in kernels)


@pytest.mark.parametrize(
    ("kernel", "device", "runs"),
    [
        ("sm_86", "8.9", True),
        ("sm_80", "8.7", False),
        ("sm_87", "8.7", True),
        ("sm_86", "8.0", False),
        ("sm_120", "12.1", True),
        ("sm_121", "12.0", False),
        ("sm_50", "5.3", False),
        ("sm_101", "11.0", True),
        ("sm_90a", "9.0", True),
        ("sm_90", "10.0", False),
        ("compute_90", "12.0", True),
        ("compute_90a", "12.0", False),
        ("compute_90", "8.6", False),
        ("gfx1100", "gfx1100", True),
        ("gfx90a", "gfx90a:sramecc+:xnack-", True),
        ("gfx1030", "gfx1100", False),
        ("nonsense", "8.6", False),
        ("sm_86", "", False),
    ],
)
def test_which_code_runs_where(kernel: str, device: str, runs: bool) -> None:
    assert architectures.runs(kernel, device) is runs


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("Tesla V100-PCIE-16GB", "7.0"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "8.6"),
        ("GeForce GTX 1070 with Max-Q Design", "6.1"),
        ("Quadro RTX 6000", "7.5"),
        ("NVIDIA RTX 6000 Ada Generation", "8.9"),
        ("RTX 6000", None),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "12.0"),
        ("GRID T4-16Q", "7.5"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA TITAN X (Pascal)", "6.1"),
        ("GeForce GTX TITAN X", "5.2"),
        ("GeForce MX150", "6.1"),
        ("GeForce MX130", "5.0"),
        ("GeForce MX450", "7.5"),
        ("GeForce RTX 2050", "8.6"),
        ("GeForce GT 730", None),
        ("gtx1080ti", "6.1"),
        ("rtx4090", "8.9"),
        ("NVIDIA GB10", "12.1"),
        ("Tesla K80", "3.7"),
        ("Orin (nvgpu)", "8.7"),
        ("NVIDIA GeForce GTX 580", "2.0"),
        ("GeForce GT 430", "2.1"),
        ("Quadro 4000", "2.0"),
        ("Quadro K4000", "3.0"),
        ("GeForce 210", "1.2"),
        ("GeForce 9800 GT", "1.1"),
        ("GeForce 8800 GTX", "1.0"),
        ("NVIDIA Tesla C1060", "1.3"),
        ("AMD Radeon RX 7900", None),
        ("", None),
    ],
)
def test_capability_of_a_product(name: str, capability: str | None) -> None:
    assert CATALOGUE.capability_of(name) == capability


def test_enough_products_are_known_and_none_twice() -> None:
    table = read_table(Path(DATA) / "gpus.toml", gpus.Gpus)
    every = [name for names in table.capability.values() for name in names]
    assert len(every) >= 150
    assert len(every) == len(set(every))
    assert len(gpus.index(table)) == len(every) + len(table.ambiguous)
    for generation in ("3.5", "5.2", "6.1", "7.0", "7.5", "8.6", "8.7", "8.9", "9.0", "10.0", "12.0", "12.1"):
        assert table.capability[generation]


@pytest.mark.parametrize(
    ("device", "branch"),
    [
        ("0a65", "340"),  # GeForce 210
        ("10c3", "340"),  # GeForce 8400 GS, third revision
        ("1080", "390"),  # GTX 580
        ("0de1", "390"),  # GT 430
        ("1180", "470"),  # GTX 680
        ("0FC6", "470"),  # GTX 650
        ("1024", "470"),  # Tesla K40c
        ("1b06", "580"),  # GTX 1080 Ti
        ("2204", None),  # RTX 3090
    ],
)
def test_last_driver_branch_of_a_card(device: str, branch: str | None) -> None:
    row = last_branch(device)
    assert (row and row.branch) == branch


@given(st.text(max_size=300))
def test_any_name_at_all_is_answered(name: str) -> None:
    answer = CATALOGUE.capability_of(name)
    assert answer is None or re.fullmatch(r"\d+\.\d", answer)


def test_a_table_that_does_not_fit_says_where(tmp_path: Path) -> None:
    file = tmp_path / "gpus.toml"
    file.write_text('source = "x"\ndate = "2026-01-01"\n[capability]\n"8.6" = [1]\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"gpus\.toml: .*capability"):
        read_table(file, gpus.Gpus)


def test_messages_are_recognised_with_their_groups() -> None:
    known = (
        messages.Signature(id="old", patterns=(r"found version (?P<found>\d{4,6})",), contains=("FOUND version",)),
        messages.Signature(id="other", patterns=("never", "driver"), kinds=("warning",)),
    )
    said = (
        Message(kind="error", text="driver too old (found version 10020)", look="torch"),
        Message(kind="warning", text="a driver", look="smi"),
    )
    assert messages.recognise(known, said) == {
        "old": ((said[0], {"found": "10020"}),),
        "other": ((said[1], {}),),
    }


def test_only_the_head_of_a_long_message_is_looked_at() -> None:
    known = (messages.Signature(id="tail", patterns=("needle",)),)
    assert messages.recognise(known, [Message(kind="log", text="x" * messages.CAP + "needle", look="text")]) == {}


def signature_patterns() -> list[tuple[str, str]]:
    files = sorted((Path(DATA) / "messages").glob("*.toml"))
    rows = [row for file in files for row in messages.signatures(read_table(file, messages.Signatures))]
    return [(row.id, pattern) for row in rows for pattern in row.patterns]


def test_signatures_compile_and_have_bounded_quantifiers() -> None:
    for name, pattern in signature_patterns():
        re.compile(pattern)
        bare = re.sub(r"\\.|\[(?:\\.|[^\]])*\]", "x", pattern)
        assert not re.search(r"[.x)][*+](?!\+)[^)]*\)[*+{]", bare), f"{name}: a repeated group holds a repeat"
        assert not re.search(r"\.[*+]", bare), f"{name}: unbounded . in {pattern}"


def test_signatures_have_sources() -> None:
    for file in sorted((Path(DATA) / "messages").glob("*.toml")):
        for row in messages.signatures(read_table(file, messages.Signatures)):
            assert row.source, (file.name, row.id)
            assert DATE.fullmatch(row.date), (file.name, row.id)
