"""Checks of torch, the install route, the toolkit and envcheck's looks: what they find, and what they leave alone."""

import json
import shlex
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from envcheck.catalogue import Catalogue
from envcheck.catalogue.software import software
from envcheck.diagnosis import evidence
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check
from envcheck.diagnosis.checks import CHECKS
from envcheck.diagnosis.diagnose import diagnose
from envcheck.model.facts import Facts, Host, Message, Package, Python, Torch
from envcheck.model.plan import Wish
from envcheck.model.report import Report
from envcheck.recommend.resolve import resolve

CATALOGUE = Catalogue.shipped()
OURS = tuple(check for check in CHECKS if check.code[2] in "3679")
FILES = sorted((Path(__file__).parent / "machines").glob("sw_*.json"))
MACHINES: dict[str, dict[str, Any]] = {
    file.stem.removeprefix("sw_"): json.loads(file.read_text(encoding="utf-8")) for file in FILES
}


def examined(facts: Facts) -> Report:
    """The report over facts, by all checks and the real recommendation."""
    return diagnose(Case(facts, CATALOGUE, lambda seen: resolve(seen, CATALOGUE, Wish())), CHECKS)


def machine(name: str, **changes: Any) -> Facts:
    """A recorded machine with some sections changed: `torch={"version": ...}`."""
    document = json.loads(json.dumps(MACHINES[name]["facts"]))
    for section, values in changes.items():
        document[section] = {**document.get(section, {}), **values} if isinstance(values, dict) else values
    return msgspec.convert(document, Facts)


def codes(report: Report) -> set[str]:
    """The codes of a report's findings."""
    return {found.code for found in report.findings}


def package(name: str, version: str, **more: Any) -> dict[str, Any]:
    """A row of `packages`."""
    return {
        "name": name,
        "version": version,
        "installer": "pip",
        "location": "~/v/lib/python3.11/site-packages",
        **more,
    }


# --- recorded machines ----------------------------------------------------------------------------------------------


@cache
def recorded(name: str) -> Report:
    """The report over a recorded machine; that it is the expected one is for `test_machines` to say."""
    return examined(machine(name))


@pytest.mark.parametrize("name", [name for name in MACHINES if name.startswith("healthy")])
def test_healthy_machines_show_nothing_above_a_hint(name: str) -> None:
    report = recorded(name)
    assert [found.code for found in report.findings if found.severity != "info"] == []
    assert report.verdict == "healthy"


@pytest.mark.parametrize("name", MACHINES)
def test_exactly_one_root_cause_is_an_error(name: str) -> None:
    """What is not the primary cause is explained by it, or is less than an error."""
    roots = [found.code for found in recorded(name).findings if found.severity == "error" and found.caused_by is None]
    assert roots in ([], [recorded(name).primary])


@pytest.mark.parametrize("name", MACHINES)
def test_commands_can_be_pasted(name: str) -> None:
    """A command's line splits into its argv again, and names no placeholder of ours but the words in capitals."""
    facts = machine(name)
    for found in recorded(name).findings:
        assert found.evidence
        for fix in found.fixes:
            assert "\n" not in fix.shell
            assert "..." not in fix.shell
            if fix.argv and facts.host.os != "windows":
                assert tuple(shlex.split(fix.shell)) == fix.argv


def test_a_command_names_the_interpreter_that_was_examined() -> None:
    report = examined(machine("dependency_missing"))
    found = report.finding("EC342")
    assert found is not None
    assert found.fixes[0].argv == ("~/work/.venv/bin/python", "-m", "pip", "install", "typing-extensions")


@pytest.mark.parametrize("check", OURS, ids=[check.code for check in OURS])
def test_a_page_has_its_four_parts(check: Check) -> None:
    parts = [" ".join(part.split()) for part in check.page.strip().split("\n\n")]
    assert len(parts) == 4
    assert parts[0].endswith(".")
    assert [part.split(":")[0] for part in parts[1:]] == ["What it means", "Common causes", "What to do"]


def test_unknown_is_never_passed() -> None:
    """Without facts, a check that needs some is skipped, and none of ours finds anything."""
    report = examined(Facts())
    ours = {check.code for check in OURS}
    assert not codes(report) & ours
    passed = {result.code for result in report.checks if result.status == "pass"} & ours
    assert passed == {"EC901", "EC902", "EC903", "EC904", "EC905"}


# --- which build ----------------------------------------------------------------------------------------------------


def test_a_cpu_build_without_a_gpu_is_fine() -> None:
    assert not codes(examined(machine("numpy_missing"))) & {"EC301", "EC321", "EC322", "EC323", "EC324", "EC326"}


@pytest.mark.parametrize(("wheel", "cause"), [("2.8.0", "cpu_wheel_windows_pypi"), ("2.8.0+cpu", "cpu_wheel_pip")])
def test_on_windows_the_distribution_tells_the_index(wheel: str, cause: str) -> None:
    report = examined(machine("cpu_wheel_windows", packages=[package("torch", wheel)]))
    assert report.primary_finding is not None
    assert report.primary_finding.cause == cause


def test_a_jetson_with_a_build_that_serves_it_is_fine() -> None:
    facts = machine("jetson_server_build", torch={"arch_list": ["sm_87"], "devices": []})
    assert "EC327" not in codes(examined(facts))


def test_an_amd_gpu_with_a_rocm_build_is_fine() -> None:
    torch = {"version": "2.8.0+rocm6.4", "variant": "rocm6.4", "hip": "6.4", "cuda": None, "cuda_available": True}
    assert "EC326" not in codes(examined(machine("rocm_missing", torch=torch)))


@pytest.mark.parametrize(
    "command",
    [
        "conda install pytorch-gpu cudatoolkit=11.8 -c conda-forge",
        "conda install pytorch torchvision pytorch-cuda=12.1 -c pytorch -c nvidia",
        "conda install pytorch=*=cuda* cudatoolkit=11.3",
    ],
)
def test_a_request_that_excludes_cpu_builds_is_not_blamed(command: str) -> None:
    facts = evidence.read(f"$ {command}\n\n>>> torch.cuda.is_available()\nFalse\n")
    assert "EC323" not in codes(examined(facts))


def test_a_cuda_wheel_in_the_cache_is_not_blamed() -> None:
    text = (
        "Using cached torch-2.6.0%2Bcu124-cp312-cp312-linux_x86_64.whl (768.5 MB)\nTorch not compiled with CUDA enabled"
    )
    assert "EC321" not in codes(examined(evidence.read(text)))


# --- companions -----------------------------------------------------------------------------------------------------

TORCH = package("torch", "2.8.0+cu126")


@pytest.mark.parametrize(
    "rows",
    [
        [package("torch", "2.8.0"), package("torchvision", "0.23.0", requires=["torch==2.8.0"])],
        [TORCH, package("torchvision", "0.23.0+cu126", requires=["torch==2.8.0"])],
        [TORCH, package("torchvision", "0.23.0+cu126")],
        [TORCH, package("torchaudio", "2.8.0+cu126")],
        [TORCH, package("torchvision", "0.99.0+cu126", requires=["torch==2.8.0"])],
        [TORCH, package("torchvision", "0.23.0+cu126", requires=["torch"])],
        [package("torch", "2.8.0"), package("torchvision", "0.23.0+cu126")],
    ],
)
def test_a_family_that_fits(rows: list[dict[str, Any]]) -> None:
    assert "EC305" not in codes(examined(machine("pins_unmet", packages=rows)))


@pytest.mark.parametrize(
    "rows",
    [
        [TORCH, package("torchvision", "0.23.0+cu128", requires=["torch==2.8.0"])],
        [TORCH, package("torchvision", "0.22.0+cu126", requires=["torch==2.7.0"])],
        [TORCH, package("torchvision", "0.22.0+cu126")],
        [TORCH, package("torchaudio", "2.7.0+cu126")],
        [package("torch", "2.8.0+cpu"), package("torchvision", "0.23.0", requires=["torch==2.8.0"])],
    ],
)
def test_a_family_that_does_not_fit(rows: list[dict[str, Any]]) -> None:
    assert "EC305" in codes(examined(machine("pins_unmet", packages=rows)))


@pytest.mark.parametrize(
    ("torch", "numpy", "found"),
    [("2.2.2", "2.0.0", True), ("2.2.2", "1.26.4", False), ("2.3.0", "2.0.0", False), ("2.8.0", "2.3.1", False)],
)
def test_numpy_2_meets_an_old_torch(torch: str, numpy: str, found: bool) -> None:
    facts = machine("pins_unmet", torch={"version": torch}, packages=[package("torch", torch), package("numpy", numpy)])
    assert ("EC308" in codes(examined(facts))) is found


@pytest.mark.parametrize(("system", "found"), [("linux", True), ("windows", False)])
def test_a_pin_counts_where_its_marker_holds(system: Literal["linux", "windows"], found: bool) -> None:
    pin = 'triton==3.4.0; platform_system == "Linux"'
    facts = Facts(
        host=Host(os=system, machine="x86_64"),
        python=Python(version="3.11.9"),
        torch=Torch(version="2.8.0", imported=True),
        packages=(
            Package(name="torch", version="2.8.0", requires=(pin,)),
            Package(name="triton", version="3.0.0"),
        ),
    )
    assert ("EC348" in codes(examined(facts))) is found


@pytest.mark.parametrize("line", ["", "numpy (>=1.0", "torch==", "x" * 5000, "a==1; python_version ~ 'x'"])
def test_a_requirement_that_is_none_is_passed_over(line: str) -> None:
    facts = machine("pins_unmet", packages=[package("torch", "2.8.0", requires=[line])])
    assert "EC348" not in codes(examined(facts))


# --- libraries and shadows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["~/work/.venv/lib/libcublas.so.12", "~/.local/lib/python3.11/site-packages/nvidia/cublas/lib/libcublas.so.12"],
)
def test_libraries_of_the_environment_are_not_foreign(path: str) -> None:
    assert "EC312" not in codes(examined(machine("foreign_cublas_works", torch={"mapped_libraries": [path]})))


def test_without_wheels_for_them_the_systems_libraries_are_meant() -> None:
    rows = [package("torch", "2.6.0a0+ecf3bae40a.nv25.1")]
    facts = machine("foreign_cublas_works", packages=rows, torch={"version": "2.6.0a0+ecf3bae40a.nv25.1"})
    assert not codes(examined(facts)) & {"EC312", "EC306", "EC329"}


def test_pip_install_user_alone_is_a_way_to_install() -> None:
    facts = machine(
        "user_site",
        python={"kind": "system", "prefix": "/usr"},
        packages=[package("torch", "2.8.0+cu126", location="~/.local/lib/python3.11/site-packages")],
    )
    assert "EC310" not in codes(examined(facts))


def test_conda_and_its_own_metadata_are_one_installation() -> None:
    assert "EC303" not in codes(examined(machine("healthy_conda_cuda")))


def test_the_environment_that_envcheck_runs_in_is_not_another_that_was_meant() -> None:
    candidates = [{"path": "~/tools/envcheck/bin/python", "chosen_by": "self", "has_torch": True}]
    report = examined(machine("torch_missing", python={"candidates": candidates}))
    assert report.primary == "EC300"


@pytest.mark.parametrize("name", ["requests", "torchtext", "numpy"])
def test_a_missing_module_of_another_package_is_not_torch(name: str) -> None:
    assert "EC300" not in codes(examined(evidence.read(f"ModuleNotFoundError: No module named '{name}'\n")))


# --- the route ------------------------------------------------------------------------------------------------------


CLOUD = "https://m.example/anaconda/cloud"


def settings(*rows: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Rows of `settings` that are in force."""
    return [
        {"tool": tool, "key": key, "value": value, "origin": "~/rc:1", "effective": True} for tool, key, value in rows
    ]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([("pip", "index-url", "https://pypi.tuna.tsinghua.edu.cn/simple")], "EC604"),
        ([("pip", "extra-index-url", "https://pypi.nvidia.com")], "EC604"),
        ([("conda", "channels", "conda-forge")], "EC602"),
        ([("conda", "channels", f"{CLOUD}/conda-forge"), ("conda", "custom_channels.conda-forge", CLOUD)], "EC603"),
        ([("conda", "channels", "conda-forge")], "EC603"),
        ([("conda", "ssl_verify", "true")], "EC612"),
        ([("conda", "ssl_verify", "/etc/ssl/company.pem")], "EC612"),
        ([("pip", "no-index", "false")], "EC616"),
        ([("uv", "torch-backend", "cu126")], "EC619"),
        ([("conda", "channels", "pytorch-nightly")], "EC617"),
    ],
)
def test_settings_that_are_fine(rows: list[tuple[str, str, str]], code: str) -> None:
    assert code not in codes(examined(machine("linux_base", settings=settings(*rows))))


def test_a_setting_that_is_hidden_by_a_stronger_one_does_not_count() -> None:
    hidden = [{**row, "effective": False} for row in settings(("pip", "no-index", "1"))]
    assert "EC616" not in codes(examined(machine("linux_base", settings=hidden)))


@pytest.mark.parametrize(
    ("proxy", "wanted"),
    [
        ({"url": "http://127.0.0.1:7890", "answers": True}, set()),
        ({"url": "http://proxy.company.example:3128"}, set()),
        ({"url": "https://proxy.company.example:3128"}, set()),
        ({"url": "socks5h://127.0.0.1:7891", "answers": True, "socks_supported": True}, set()),
        ({"url": "https://localhost:7890", "answers": True}, {"EC607"}),
        ({"url": "socks://10.0.0.2:1080"}, {"EC609"}),
        ({"url": "socks5://10.0.0.2:1080", "socks_supported": False}, {"EC608"}),
        ({"url": "http://[::1]:7890", "answers": False}, {"EC606"}),
    ],
)
def test_proxies(proxy: dict[str, Any], wanted: set[str]) -> None:
    facts = machine("linux_base", proxies=[{"scheme": "https", "origin": "https_proxy", **proxy}])
    assert {code for code in codes(examined(facts)) if code.startswith("EC60")} == wanted


def test_a_dead_proxy_is_unset_by_its_own_name() -> None:
    found = examined(machine("proxy_dead")).finding("EC606")
    assert found is not None
    assert [fix.shell for fix in found.fixes] == ["unset http_proxy https_proxy", ""]


@pytest.mark.parametrize("address", ["203.0.113.7", "198.17.255.255", "198.20.0.0", "2001:db8::1", "not an address"])
def test_other_addresses_are_not_fake(address: str) -> None:
    facts = machine("fake_ip", routes=[{"host": "mirrors.aliyun.com", "address": address}])
    assert "EC610" not in codes(examined(facts))


@pytest.mark.parametrize(
    ("pip", "found"),
    [
        ("~/work/.venv/bin/python", False),
        ("~/work/.venv/bin/python3.11", False),
        ("~/work/.venv/bin/python3", False),
        ("/usr/bin/python3", True),
    ],
)
def test_pip_of_another_python(pip: str, found: bool) -> None:
    assert ("EC615" in codes(examined(machine("linux_base", python={"pip_python": pip})))) is found


# --- what an installer says -----------------------------------------------------------------------------------------

OFFERED = "2.1.0+cu121, 2.1.1+cu121, 2.1.2+cu121, 2.2.0+cu121, 2.2.1+cu121, 2.2.2+cu121, 2.3.0+cu121, 2.5.1+cu121"


def refused(requirement: str, versions: str, *before: str) -> Report:
    """The report over pip's refusal."""
    lines = [
        *before,
        f"ERROR: Could not find a version that satisfies the requirement {requirement} (from versions: {versions})",
    ]
    return examined(evidence.read("\n".join([*lines, f"ERROR: No matching distribution found for {requirement}"])))


@pytest.mark.parametrize(
    ("requirement", "versions", "index", "cause"),
    [
        ("torch==2.6.0", "none", "cu999", "index_tag_missing"),
        ("torch==2.0.1", OFFERED, "cu121", "index_tag_missing"),
        ("torch==2.7.0", OFFERED, "cu121", "index_tag_missing"),
        ("torch==2.3.0+cu118", "2.2.0, 2.2.0+cu121, 2.3.0, 2.3.0+cu121", None, "index_tag_missing"),
        ("torch==2.3.0+cu118", "2.2.0, 2.2.1, 2.2.2, 2.3.0", None, "index_not_used"),
        ("torch==2.9.9", "2.8.0, 2.9.0, 2.9.1, 2.10.0", None, "release_missing"),
    ],
)
def test_what_the_index_is_to_blame_for(requirement: str, versions: str, index: str | None, cause: str) -> None:
    looking = (f"Looking in indexes: https://download.pytorch.org/whl/{index}",) if index else ()
    found = refused(requirement, versions, *looking).primary_finding
    assert found is not None
    assert found.cause == cause


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (
            "NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused')",
            "network_unreachable",
        ),
        ("ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 502 Bad Gateway'))", "proxy_error"),
        ("ConnectTimeoutError('Connection to download.pytorch.org timed out.')", "network_timeout"),
        (
            "SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer')",
            "ssl_error",
        ),
        ("NewConnectionError('[Errno 11001] getaddrinfo failed')", "network_unreachable"),
        ("ConnectionResetError(104, 'Connection reset by peer')", "connection_reset"),
    ],
)
def test_an_empty_list_after_a_network_error_is_its_consequence(words: str, cause: str) -> None:
    warning = f"WARNING: Retrying (Retry(total=4)) after connection broken by '{words}': /whl/cu999/torch/"
    looking = "Looking in indexes: https://download.pytorch.org/whl/cu999"
    report = refused("torch==2.6.0", "none", looking, warning)
    assert report.primary_finding is not None
    assert report.primary_finding.cause == cause


def test_a_company_certificate_is_named_to_pip() -> None:
    words = (
        "SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in chain')"
    )
    report = refused("torch", "none", f"WARNING: Retrying (Retry(total=4)) after connection broken by '{words}'")
    found = report.finding("EC631")
    assert found is not None
    assert found.fixes[0].argv[-3:] == ("set", "global.cert", "CERTIFICATE.pem")


def test_uv_says_it_in_its_own_words() -> None:
    lines = (
        "  × No solution found when resolving dependencies:",
        "  ╰─▶ Because there is no version of torch==2.6.0+cu124",
    )
    report = examined(evidence.read("\n".join(lines)))
    assert report.primary_finding is not None
    assert report.primary_finding.cause == "index_not_used"


# --- nothing that is said can break a check -------------------------------------------------------------------------

SAMPLES = json.loads((Path(__file__).parent / "raw" / "messages_software.json").read_text(encoding="utf-8"))["heard"]


@hypothesis_settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from([sample["text"] for sample in SAMPLES]), max_size=4), st.booleans())
def test_any_mixture_of_messages_gives_a_report(texts: list[str], pasted: bool) -> None:
    said = tuple(Message(kind="error", text=text, look="torch") for text in texts)
    report = examined(Facts(messages=said, source="text" if pasted else "live"))
    assert all(found.evidence for found in report.findings)
    assert report.verdict in ("healthy", "problem", "unknown")


@hypothesis_settings(deadline=None, max_examples=25)
@given(st.text(max_size=300))
def test_any_version_and_path_is_borne(text: str) -> None:
    facts = machine(
        "pins_unmet",
        torch={"version": text, "file": text, "error_text": text, "imported": False},
        packages=[package("torch", text), package("torchvision", text), package("mkl", text), package("numpy", text)],
        settings=settings(("pip", "index-url", text), ("conda", "channels", text)),
        proxies=[{"scheme": "https", "url": text, "origin": text}],
        routes=[{"host": text, "address": text}],
    )
    assert examined(facts).verdict in ("healthy", "problem", "unknown")


def test_every_statement_of_the_data_names_its_source() -> None:
    data = software()
    sources = [row.source for row in (*data.limit.values(), *data.page.values())]
    sources += [row.source for row in data.fault] + [row.source for row in data.address]
    assert sources
    assert all(sources)


@pytest.mark.parametrize(
    ("head", "shown"), [("Current thread 0x1 (most recent call first):", "string_at"), ("Traceback:", "_deepest")]
)
def test_the_stack_shows_where_it_happened(head: str, shown: str) -> None:
    frames = ["File ~/ctypes/__init__.py, line 519 in string_at", "File ~/torch/__init__.py, line 1 in <module>"]
    frozen = ["File <frozen importlib._bootstrap>, line 241 in _call_with_frames_removed"] * 3
    last = ["File ~/torch/_load.py, line 7 in <module>", "File ~/torch/_tail.py, line 9 in _deepest"]
    told = "\n".join(f"  {line}" for line in ["Fatal Python error", head, *frames, *frozen, *last])
    facts = machine("import_segfault")
    broken = msgspec.structs.replace(facts, torch=msgspec.structs.replace(facts.torch, error_traceback=told))
    found = examined(broken).finding("EC313")
    assert found is not None
    stack = [one.value for one in found.evidence if one.fact == "torch.error_traceback"]
    assert shown in "".join(stack)
    assert "frozen" not in "".join(stack)
