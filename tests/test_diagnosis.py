"""The cause of posted cases: as often right as is claimed, and seldom wrong with certainty."""

import json
import os
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.diagnosis import TRUSTED, answer, grade, text_of
from envcheck.commands.doctor import render
from envcheck.commands.looking import examine
from envcheck.commands.world import World
from envcheck.diagnosis.evidence import read
from envcheck.model.report import Examination, Finding

RAW = Path(__file__).parent / "raw"
CORPORA = {
    name: [json.loads(line) for line in (RAW / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    for name in ("cases", "cases_more")
}


def _by_cause(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (RAW / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        found.setdefault(one["cause"], []).append(one["text"])
    return found


SAYINGS = _by_cause("sayings")
"""What programs say, by the cause that it tells; in values that no posted case has."""
WRITTEN = _by_cause("written")
"""Whole posts that were written for these tests, after the manner of real ones."""


@cache
def grades(name: str) -> tuple[str, ...]:
    """How each case of a corpus is judged, in its order."""
    found = []
    for case in CORPORA[name]:
        primary, second, confidence = answer(text_of(case))
        kind = grade(case["cause"], primary, second)
        found.append("unsure" if kind == "wrong" and confidence.endswith("possible") else kind)
    return tuple(found)


def looked(text: str) -> Examination:
    return examine(World(), read(text))


def found(text: str, code: str) -> Finding | None:
    return next((one for one in looked(text).report.findings if one.code == code), None)


@pytest.mark.parametrize("trusted", [True, False], ids=["settled", "all"])
@pytest.mark.parametrize("name", CORPORA)
def test_nine_in_ten_causes_are_named(name: str, trusted: bool) -> None:
    counted = [not trusted or case["confidence"] in TRUSTED for case in CORPORA[name]]
    kinds = Counter(kind for kind, counts in zip(grades(name), counted, strict=True) if counts)
    assert kinds["right"] >= 0.90 * sum(counted)
    assert kinds["wrong"] <= 0.03 * sum(counted)


def test_every_case_has_a_source_and_a_cause_and_its_own_number() -> None:
    cases = [case for corpus in CORPORA.values() for case in corpus]
    assert all(case["source"] and case["cause"] and case["evidence"] for case in cases)
    assert len({case["id"] for case in cases}) == len(cases)


@pytest.mark.parametrize("cause", sorted(SAYINGS))
def test_ways_to_say_it(cause: str) -> None:
    assert [(text, answer(text)[0]) for text in SAYINGS[cause]] == [(text, cause) for text in SAYINGS[cause]]


@pytest.mark.parametrize(("vision", "fits"), [("0.11.0", True), ("0.11.1", True), ("0.11.2", False), ("0.12.0", False)])
def test_a_companion_that_came_out_between_two_releases(vision: str, fits: bool) -> None:
    text = f"torch              1.10.0\ntorchvision        {vision}\n\n>>> torch.__version__\n'1.10.0'"
    assert (answer(text)[0] == "torchvision_mismatch") is not fits


@pytest.mark.parametrize("cause", sorted(WRITTEN))
def test_whole_posts(cause: str) -> None:
    misses = [text for text in WRITTEN[cause] if grade(cause, *answer(text)[:2]) != "right"]
    assert not misses, misses[0]


@pytest.mark.parametrize(
    "text",
    [
        "torch 2.3.1+cu121\n>>> torch.cuda.is_available()\nTrue\n",
        "PyTorch version: 2.3.1+cu121\nIs CUDA available: True\nNvidia driver version: 550.54.15\n",
        "The docs speak of Jetson boards at https://example.com/jetson/ and of WSL 1 or WSL 2.\n",
        "I have read about nouveau and about Secure Boot, and my trainer runs well.\n",
    ],
)
def test_what_is_only_mentioned_is_no_finding(text: str) -> None:
    primary, _, _ = answer(text)
    assert primary in (None, "healthy")


def test_two_causes_that_are_equally_good_are_both_named() -> None:
    text = "ERROR: Could not find a version that satisfies the requirement torch==1.9.1 (from versions: 0.1.2)\n"
    first, second, confidence = answer(text)
    assert {first, second} == {"python_32bit", "python_too_new"}
    assert confidence.endswith("possible")


TWO_VERSIONS = """\
PyTorch version: 1.9.0+cu102
Is CUDA available: False
OS: Ubuntu 20.04 LTS (x86_64)
Nvidia driver version: 470.57.02

$ python -c "import torch; print(torch.__version__)"
1.8.0
"""


def test_a_text_that_contradicts_itself_is_told_so_with_both_lines() -> None:
    told = found(TWO_VERSIONS, "EC904")
    assert told is not None
    assert told.severity == "info"
    values = {one.value for one in told.evidence}
    assert {"1.9.0+cu102", "1.8.0"} <= values
    places = " ".join(one.where or "" for one in told.evidence)
    assert "1: PyTorch version" in places
    assert "7: 1.8.0" in places


def test_a_text_that_says_the_same_twice_is_no_contradiction() -> None:
    assert found("PyTorch version: 2.1.0+cu118\n>>> torch.__version__\n'2.1.0+cu118'\n", "EC904") is None


NO_KERNEL = """\
NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch installation.
The current PyTorch install supports CUDA capabilities sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90.
"""


def test_without_the_machine_the_advice_is_conditional() -> None:
    fixes = looked(NO_KERNEL).report.findings[0].fixes
    words = " ".join(str(fix.what) for fix in fixes)
    commands = [" ".join(fix.argv) + fix.shell for fix in fixes]
    assert "Linux x86_64" in words
    assert "Windows" in words
    assert re.search(r"torch [\d.]+ with CUDA 12\.8|first='?2\.7", words) or "12.8" in words
    assert all(re.search(r"/whl/cu1(?:28|29|3\d)|envcheck install", command) for command in commands if command)
    assert not any("--os" in command for command in commands)


def test_the_line_that_tells_is_quoted_once_with_its_number() -> None:
    text = f"I updated everything.\n\n{NO_KERNEL}Traceback (most recent call last):\nRuntimeError: no kernel image\n"
    screen = " ".join(render(World(), looked(text), "console", verbose=False).split())
    assert screen.count("sm_120 is not compatible") == 1
    assert "(line 3)" in screen
    assert "messages =" not in screen


def test_a_post_for_a_thread_is_short_and_says_cause_evidence_and_commands() -> None:
    post = render(World(), looked(NO_KERNEL), "markdown", verbose=False)
    head = post.split("<details>")[0]
    assert len(head) < 4000
    assert "sm_120 is not compatible" in head
    assert "```" in head
    assert "pip install" in head or "uv pip install" in head


_LINES = [line for name in CORPORA for case in CORPORA[name] for line in text_of(case).splitlines() if line.strip()]


@given(
    st.lists(st.sampled_from(_LINES), max_size=12),
    st.sampled_from(["console", "json", "markdown"]),
    st.text(max_size=40),
)
def test_any_mixture_of_real_lines_gets_a_report_on_every_face(lines: list[str], face: str, noise: str) -> None:
    text = "\n".join([*lines, noise])
    assert render(World(), looked(text), face, verbose=False)


def test_a_line_that_tells_two_facts_is_quoted_once() -> None:
    text = "NVIDIA-SMI 470.86 Driver Version: 470.86 CUDA Version: 11.4\n"
    text += "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).\n"
    screen = " ".join(render(World(), looked(text), "console", verbose=False).split())
    assert screen.count("Driver Version: 470.86") == 1
    assert "CUDA 470" not in screen


def test_a_hidden_module_of_the_standard_library_is_named_as_such() -> None:
    hidden = found("cannot import name 'Random' from 'random' (/v/site-packages/torch/random.py)\n", "EC307")
    assert hidden is not None
    assert hidden.title.values["module"] == "random"
    assert hidden.fixes[0].what.values == {"path": "/v/site-packages/torch"}


@pytest.mark.parametrize(
    "text",
    [
        "OSError: [Errno 28] inotify watch limit reached\n",
        "nvidia-container-cli: requirement error: unsatisfied condition: brand = tesla\n",
    ],
)
def test_words_that_have_another_meaning(text: str) -> None:
    assert answer(text)[0] not in ("no_space", "driver_too_old")


def test_the_cudnn_of_the_environment_is_shown_to_other_programs() -> None:
    text = "torch==2.5.0+cu121\nUnable to load any of {libcudnn_cnn.so.9.1.0, libcudnn_cnn.so.9, libcudnn_cnn.so}\n"
    missing = found(text, "EC320")
    assert missing is not None
    shown = missing.fixes[0].shell or ""
    run = subprocess.run(
        ["sh", "-c", shown.replace("python -c", "echo -c") + '; printf %s "$LD_LIBRARY_PATH"'],
        env={"LD_LIBRARY_PATH": "/opt/a b", "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == '-c import nvidia.cudnn as n; print(n.__path__[0] + "/lib"):/opt/a b'


GUESSED = (
    (
        "EC305",
        '  File "/e/lib/python3.8/site-packages/torchaudio/_extension.py", line 88, in <module>\n    _init()\nOSError',
    ),
    ("EC349", "ImportError: undefined symbol: _ZNK5torch8autograd4Node4nameB5cxx11Ev"),
    (
        "EC331",
        r'Error loading "C:\e\Lib\site-packages\torch\lib\c10_cuda.dll" or one of its dependencies.',
    ),
    ("EC235", "RuntimeError: HIP error: shared object initialization failed"),
    ("EC316", "RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    ("EC216", "kernel: NVRM: failed to copy vbios to system memory."),
    ("EC102", "ERROR: No matching distribution found for torch"),
    ("EC209", "me@pc:/mnt/c/work$ python train.py\nCUDA available: False"),
    ("EC234", "torch.version.hip: 5.7.31921\nHIP devices: none\nRuntimeError: could not open the GPU"),
    ("EC204", "root@1f2e3d4c5b6a:/w# python train.py\nCUDA available: False"),
    ("EC240", "#SBATCH --time=1:00:00\nRuntimeError: the GPU cannot be used"),
)
"""A symptom, and the code of what is most often its cause."""


@pytest.mark.parametrize(("code", "text"), GUESSED, ids=[code for code, _ in GUESSED])
def test_a_symptom_alone_gives_a_possible_cause(code: str, text: str) -> None:
    report = examine(World(), read(text)).report
    primary = report.primary_finding
    assert primary is not None
    assert (primary.code, primary.confidence) == (code, "possible")
    assert primary.evidence
    assert report.next_steps
    assert {one.status for one in report.checks if one.code == code} == {"fail"}


@pytest.mark.parametrize(
    "text",
    [
        "root@1f2e3d4c5b6a:/w# python train.py\nCUDA available: True\nGPU memory error: none",
        "me@pc:/mnt/c/work$ python train.py\nepoch 1",
        "[app.error]: GPU device = cuda AMD Radeon RX 6800 XT",
        "ERROR: No matching distribution found for torch-scatter",
    ],
)
def test_no_symptom_no_guess(text: str) -> None:
    assert answer(text)[0] in (None, "healthy")
