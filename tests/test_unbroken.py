"""Sentences that a window broke are heard as one, and lists, tables and labels stay lines."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.diagnosis.evidence import read
from envcheck.model.unbroken import unbroken

SENTENCE = (
    "RuntimeError: Detected that PyTorch and torchvision were compiled with different CUDA versions. PyTorch has CUDA"
    " Version=11.7 and torchvision has CUDA Version=11.8. Please reinstall the torchvision that matches your PyTorch"
    " install."
)


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120, 160])
def test_a_broken_sentence(width: int) -> None:
    assert [text for _, text in unbroken(textwrap.wrap(SENTENCE, width))] == [SENTENCE]


@pytest.mark.parametrize("width", [80, 90, 120])
def test_a_sentence_cut_within_words(width: int) -> None:
    cut = [SENTENCE[start : start + width] for start in range(0, len(SENTENCE), width)]
    assert [text for _, text in unbroken(cut)] == [SENTENCE]


def test_what_is_no_sentence_stays() -> None:
    lines = [
        "Requirement already satisfied: torch in /opt/env/lib/python3.10/site-packages",
        "Requirement already satisfied: numpy in /opt/env/lib/python3.10/site-packages",
        "torch==2.1.0+cu118",
        "Python version: 3.10.4 (main, Mar 31 2022, 08:41:55) [GCC 7.5.0] (64-bit)",
        "Python platform: Linux-5.15.0-50-generic-x86_64-with-glibc2.35",
        "| NVIDIA-SMI 535.171.04             Driver Version: 535.171.04   CUDA Version |",
        '  File "/opt/env/lib/python3.10/site-packages/torch/__init__.py", line 229, in <module>',
        "    from torch._C import *",
    ]
    assert [text for _, text in unbroken(lines)] == lines


@given(st.lists(st.text(alphabet=st.characters(blacklist_characters="\n"), max_size=90), max_size=30))
def test_no_word_is_lost_and_positions_rise(lines: list[str]) -> None:
    found = unbroken(lines)
    assert " ".join(text for _, text in found).split() == " ".join(lines).split()
    positions = [position for position, _ in found]
    assert positions == sorted(set(positions))


def test_facts_in_a_broken_sentence() -> None:
    warning = (
        "/opt/env/lib/python3.12/site-packages/torch/cuda/__init__.py:235: UserWarning: \n"
        "NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current\n"
        "PyTorch installation. The current PyTorch install supports CUDA capabilities sm_50 sm_60\n"
        "sm_70 sm_75 sm_80 sm_86 sm_90."
    )
    facts = read(warning)
    assert facts.torch.arch_list == ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
    assert (facts.nvidia.gpus or ())[0].compute_capability == "12.0"
