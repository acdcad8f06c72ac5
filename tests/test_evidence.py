"""Pasted text to facts: real forms read right, nothing invented, hostile text survived."""

import json
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.diagnosis import answer
from envcheck.diagnosis.evidence import read
from envcheck.diagnosis.evidence.page import command_of, decode, page_of
from envcheck.model.facts import Facts

SAMPLES = [
    json.loads(line)
    for line in (Path(__file__).parent / "raw" / "evidence.jsonl").read_text(encoding="utf-8").splitlines()
]

TABLE_610 = """\
Wed Sep 30 21:53:38 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 610.57.04              KMD Version: 610.57.04     CUDA UMD Version: 13.3     |
+-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  NVIDIA GeForce GTX 1650        Off |   00000000:01:00.0  On |                  N/A |
|  0%   51C    P0            N/A  /   75W |     580MiB /   4096MiB |     39%      Default |
|                                         |                        |                  N/A |
+-----------------------------------------+------------------------+----------------------+
| Processes:                                                                              |
|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |
|=========================================================================================|
|    0   N/A  N/A            2034      G   /usr/lib/xorg/Xorg                      35MiB  |
+-----------------------------------------------------------------------------------------+
"""

TABLE_MIG = """\
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 525.85.12    Driver Version: 525.85.12    CUDA Version: 12.0     |
|-------------------------------+----------------------+----------------------+
|   0  NVIDIA A100-SXM...  On   | 00000000:07:00.0 Off |                   On |
| N/A   33C    P0    66W / 400W |     45MiB / 81920MiB |     N/A   E. Process |
|                               |                      |              Enabled |
+-------------------------------+----------------------+----------------------+
|   1  ERR!                 ERR! | 00000000:0A:00.0 ERR! |                 ERR! |
+-----------------------------------------------------------------------------+
"""

QUERY = """\
==============NVSMI LOG==============

Timestamp                                 : Tue Mar 26 11:01:10 2024
Driver Version                            : 550.54.14
CUDA Version                              : 12.4

Attached GPUs                             : 2
GPU 00000000:19:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
    GPU UUID                              : GPU-11111111-2222-3333-4444-555555555555
    MIG Mode
        Current                           : Disabled
        Pending                           : Disabled
    FB Memory Usage
        Total                             : 81559 MiB
        Free                              : 81007 MiB
    Compute Mode                          : Exclusive_Process
    Fabric
        State                             : In Progress
        Status                            : N/A
GPU 00000000:3B:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
"""


def flat(facts: Facts) -> dict[str, object]:
    nvidia = facts.nvidia
    tools = {tool.name: tool.version for tool in facts.tools or ()}
    return {
        "torch.version": facts.torch.version,
        "torch.cuda": facts.torch.cuda,
        "torch.cuda_available": facts.torch.cuda_available,
        "driver": nvidia.driver_versions[0].value if nvidia.driver_versions else None,
        "cuda_driver": nvidia.cuda_versions[0].value if nvidia.cuda_versions else None,
        "gpus": [gpu.name for gpu in nvidia.gpus or ()],
        "memory": [round(gpu.memory_bytes / (1 << 20)) for gpu in nvidia.gpus or () if gpu.memory_bytes],
        "amd": [gpu.name for gpu in facts.amd.gpus or ()],
        "host.os": facts.host.os,
        "host.os_name": facts.host.os_name,
        "host.machine": facts.host.machine,
        "glibc": facts.host.libc_version,
        "python.version": facts.python.version,
        "nvcc": tools.get("nvcc"),
        "toolkit": tools.get("cuda-toolkit"),
    }


WRAPPED: dict[str, Callable[[str], str]] = {
    "kubectl": lambda line: f"[pod/train-0/worker] {line}",
    "cri": lambda line: f"2026-05-01T12:00:00.123456789Z stderr F {line}",
    "rank": lambda line: f"[rank3]: {line}",
    "mpirun": lambda line: f"[1,0]<stderr>:{line}",
    "journal": lambda line: f"May 01 12:00:00 node7 train.sh[1234]: {line}",
    "logger": lambda line: f"2026-05-01 12:00:00,123 - app.main - ERROR - {line}",
    "loguru": lambda line: f"2026-05-01 12:00:00.123 | ERROR    | app.main:run:42 - {line}",
    "vllm": lambda line: f"(EngineCore_0 pid=123) ERROR 05-01 12:00:00 [core.py:42] {line}",
    "glog": lambda line: f"E0501 12:00:00.123456  1234 main.cc:42] {line}",
    "clock": lambda line: f"[12:00:00] {line}",
    "level": lambda line: f"[ERROR] {line}",
    "docker-json": lambda line: json.dumps({"log": f"{line}\n", "stream": "stderr", "time": "2026-05-01T12:00:00Z"}),
    "notebook": lambda line: f"      {json.dumps(line + chr(10))},",
}
"""What programs put before and around every line that they pass on."""


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["id"])
@pytest.mark.parametrize("dress", ["plain", "quoted", "fenced", "crlf", "indented", "coloured", "prose", *WRAPPED])
def test_samples_are_read_in_any_dress(sample: dict[str, object], dress: str) -> None:
    text, truth = str(sample["text"]), dict(sample["truth"])  # type: ignore[call-overload]
    lines = text.split("\n")
    dressed = {
        "plain": text,
        "quoted": "\n".join(f"> {line}" for line in lines),
        "fenced": f"Hi, here it is:\n```text\n{text}\n```\nThanks!",
        "crlf": "\r\n".join(lines),
        "indented": "\n".join(f"    {line}" for line in lines),
        "coloured": "\n".join(f"\x1b[31m{line}\x1b[0m" for line in lines),
        "prose": f"I have tried everything and it is still False.\n\n{text}\n\nCan anybody help? My card is new.",
        **{name: "\n".join(wrap(line) for line in lines) for name, wrap in WRAPPED.items()},
    }[dress]
    got = flat(read(dressed))
    assert {fact: got[fact] for fact in truth} == truth


def test_new_table_with_kmd_and_umd_names() -> None:
    facts = read(TABLE_610)
    assert flat(facts)["driver"] == "610.57.04"
    assert flat(facts)["cuda_driver"] == "13.3"
    (gpu,) = facts.nvidia.gpus or ()
    assert (gpu.name, gpu.memory_bytes, gpu.compute_mode) == ("NVIDIA GeForce GTX 1650", 4096 << 20, "default")
    assert gpu.memory_free_bytes == (4096 - 580) << 20


def test_table_with_mig_compute_mode_and_a_lost_gpu() -> None:
    first, second = read(TABLE_MIG).nvidia.gpus or ()
    assert (first.mig_enabled, first.compute_mode, first.name) == (True, "exclusive_process", "NVIDIA A100-SXM...")
    assert (second.name, second.error) == (None, "UNKNOWN")


def test_query_form() -> None:
    facts = read(QUERY)
    one, two = facts.nvidia.gpus or ()
    assert one.uuid == "GPU-11111111-2222-3333-4444-555555555555"
    assert (one.memory_bytes, one.mig_enabled, one.fabric_state) == (81559 << 20, False, "in_progress")
    assert two.pci_address == "00000000:3b:00.0"
    assert flat(facts)["cuda_driver"] == "12.4"


def test_csv_form_with_units_and_missing_fields() -> None:
    facts = read(
        "index, name, uuid, driver_version, memory.total [MiB], compute_cap\n"
        "0, NVIDIA GB10, GPU-5a, 580.95.05, [N/A], 12.1\n1, Tesla T4, GPU-5b, 580.95.05, 15360 MiB, 7.5\n"
    )
    one, two = facts.nvidia.gpus or ()
    assert (one.compute_capability, one.memory_bytes) == ("12.1", None)
    assert (two.name, two.memory_bytes) == ("Tesla T4", 15360 << 20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">>> torch.__version__\n'2.1.0+cpu'\n>>> torch.cuda.is_available()\nFalse", ("2.1.0+cpu", False)),
        ('$ python -c "print(torch.__version__, torch.cuda.is_available())"\n2.3.1+cu121 True', ("2.3.1+cu121", True)),
        ("In [3]: torch.__version__\nOut[3]: '1.13.1'\n", ("1.13.1", None)),
        ("torch.cuda.is_available() returns False and torch.__version__ is 2.0.1", ("2.0.1", False)),
        ("print(torch.cuda.is_available())  # False", (None, False)),
        ("Ultralytics YOLOv8.0.20  Python-3.9.13 torch-1.13.1+cpu CPU", ("1.13.1+cpu", None)),
        ("- PyTorch version (GPU?): 2.1.0+cu121 (True)\n", ("2.1.0+cu121", True)),
        ("PyTorch                 1.3.1\nCUDA available          True", ("1.3.1", True)),
        ("torch.cuda.is_available() 一直返回 False", (None, False)),
    ],
)  # fmt: skip
def test_python_answers(text: str, expected: tuple[str | None, bool | None]) -> None:
    facts = read(text)
    assert (facts.torch.version, facts.torch.cuda_available) == expected


def test_version_cuda_none_in_the_interpreter_means_a_cpu_build() -> None:
    facts = read(">>> print(torch.version.cuda)\nNone\n")
    assert (facts.torch.cuda, facts.torch.cuda_known) == (None, True)
    assert read("nothing about it").torch.cuda_known is False


def test_conda_listing_names_the_build() -> None:
    cpu = read("pytorch                   2.1.0           cpu_py310h5b5a4d8_0    conda-forge\n")
    gpu = read("pytorch   1.12.1   py3.9_cuda11.3_cudnn8.3.2_0    pytorch\npytorch-mutex  1.0  cuda  pytorch")
    assert (cpu.torch.variant, cpu.torch.version) == ("cpu", "2.1.0")
    assert (gpu.torch.cuda, gpu.torch.installer) == ("11.3", "conda")


def test_sentences_are_not_rows() -> None:
    facts = read(
        "NumPy 2.1.2 as it may crash. To support both\nPython 3.11.0 (main, Oct 24 2022) [MSC v.1933 64 bit (AMD64)]"
    )
    assert not [package for package in facts.packages or () if package.name == "python"]
    assert all(package.installer != "conda" for package in facts.packages or ())
    assert (facts.python.version, facts.python.bits, facts.host.os) == ("3.11.0", 64, "windows")


def test_contradictions_are_kept_with_their_lines() -> None:
    facts = read("PyTorch version: 1.9.0+cu102\n\n[pip3] torch==1.8.0\n")
    seen = facts.sightings["torch.version"]
    assert [sighting.value for sighting in seen] == ["1.9.0+cu102", "1.8.0"]
    assert [str(sighting.where).split(":")[0] for sighting in seen] == ["1", "3"]
    assert facts.torch.version == "1.9.0+cu102"


def test_every_fact_names_its_line() -> None:
    facts = read("hello\nNvidia driver version: 470.182.03\nOS: Ubuntu 20.04.6 LTS (x86_64)\n")
    assert str(facts.nvidia.driver_versions[0].where).startswith("2: Nvidia driver version")
    assert str(facts.sightings["host.os_name"][0].where).startswith("3: OS")


def test_credentials_of_indexes_do_not_become_settings() -> None:
    facts = read(
        "Looking in indexes: https://bob:hunter2@mirror.example/simple\nexport HTTPS_PROXY=http://eve:s3cret@p:8080\n"
    )
    kept = str(facts)
    assert "hunter2" not in kept
    assert "s3cret" not in kept


def test_the_home_folder_and_the_prompt_are_not_passed_on() -> None:
    facts = read(
        "bob@secrethost:~$ pip install torch\nOSError: /home/bob/env/lib/python3.9/site-packages/torch/x.so: error\n"
        'Error loading "C:\\Users\\Bob Smith\\torch\\lib\\c10.dll" or one\n'
        "'C:\\\\Users\\\\bob\\\\torch.py' /Users/bob/x\n"
    )
    kept = str(facts)
    assert "bob" not in kept.casefold()
    assert "secrethost" not in kept
    assert facts.python.version == "3.9"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("$ nvidia-smi", "nvidia-smi"),
        ("(base) PS C:\\Users\\me> pip install torch", "pip install torch"),
        ("user@host:~/src$ python train.py", "python train.py"),
        ("pip install torch==2.1.0 --index-url https://x/y", "pip install torch==2.1.0 --index-url https://x/y"),
        ("!pip install torch", "pip install torch"),
        ("~/a/b$ ls -d torch", "ls -d torch"),
        ("/workspace # nvidia-smi", "nvidia-smi"),
        ("➜  proj git:(main) ✗ nvidia-smi", "nvidia-smi"),
        ("(base) ❯ nvidia-smi", "nvidia-smi"),
        ("bash-5.1$ nvidia-smi", "nvidia-smi"),
        ("└─$ nvidia-smi", "nvidia-smi"),
        ("lab@box ~/x> nvidia-smi", "nvidia-smi"),
        ("~/.bashrc: line 3: x: command not found", None),
        ("I paid 5 $ for it", None),
        ("I ran pip install torch and it failed", None),
        ("% of users see this", None),
        (">>> import torch", None),
    ],
)
def test_commands_are_told_from_prose(line: str, command: str | None) -> None:
    if line.startswith("% of"):
        assert command_of(line) in (None, "of users see this")  # a zsh prompt cannot be told from this
    else:
        assert command_of(line) == command


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_of_windows_consoles(encoding: str) -> None:
    text = "PyTorch version: 2.1.0\r\nOS: Microsoft Windows 10 专业版\r\n"
    facts = read(decode(text.encode(encoding)))
    assert facts.torch.version == "2.1.0"
    assert facts.host.os_name == "Microsoft Windows 10 专业版"


_PIECES = st.one_of(
    st.sampled_from([str(sample["text"]) for sample in SAMPLES] + [TABLE_610, TABLE_MIG, QUERY]),
    st.text(alphabet=string.printable, max_size=200),
    st.text(max_size=60),
    st.sampled_from(["\x1b[31m", "\u202e", "\x00" * 40, ">>> " * 50, "|" * 3000, "[" * 2000, "> " * 500, "(" * 500]),
)


@given(st.lists(_PIECES, max_size=6), st.integers(0, 4000), st.randoms(use_true_random=False))
@example(["print(" * 400], 0, None)
@example(["torch.cuda.get_device_capability()\n(8,"], 0, None)
def test_any_mixture_is_read_without_inventing(pieces: list[str], cut: int, random: object) -> None:
    text = "\n".join(pieces)
    if random is not None and cut % 3 == 0:
        lines = text.split("\n")
        random.shuffle(lines)  # type: ignore[attr-defined]
        text = "\n".join(lines)
    text = text[cut % (len(text) + 1) :] if cut % 2 else text
    facts = read(text)
    digits = text.replace(".", "")  # Windows writes NVIDIA's 531.79 as 31.0.15.3179
    for sighting in (*facts.nvidia.driver_versions, *facts.nvidia.library_versions):
        parts = all(part in text for part in sighting.value.split("."))  # a node's labels give them one by one
        assert parts or sighting.value.replace(".", "") in digits
    for gpu in facts.nvidia.gpus or ():
        assert (
            gpu.name is None
            or {"&", "/", "\\"} & set(text)
            or gpu.name in re.sub(r"\x1b\[[0-9;]*m|[\u200b-\u202e\x00]", "", text)
        )
    for sightings in facts.sightings.values():
        for sighting in sightings:
            number = int(str(sighting.where).split(":")[0])
            assert 1 <= number <= text.count("\n") + 1
    for message in facts.messages:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", message.text)


def test_a_console_of_chinese_windows_is_read() -> None:
    said = 'OSError: [WinError 126] 找不到指定的模块。 Error loading "torch\\lib\\fbgemm.dll"'
    assert decode(said.encode("gb18030")) == said


def test_a_german_console_leaves_gaps_and_loses_no_fact() -> None:
    text = decode("Prüfung läuft\nDriver Version: 470.86\n".encode("cp1252"))
    assert "Driver Version: 470.86" in text
    assert "\ufffd" in text


@pytest.mark.parametrize("line", ["", "a", "File x", "| 0 N/A |"])
def test_very_many_lines_are_read_at_both_ends_only(line: str) -> None:
    text = "PyTorch version: 2.1.0\n" + f"{line}\n" * 200_000 + "Nvidia driver version: 550.54.15\n"
    facts = read(text)
    assert facts.torch.version == "2.1.0"
    assert facts.nvidia.driver_versions[0].value == "550.54.15"
    assert (facts.nvidia.driver_versions[0].where or "").startswith("200002: ")


def test_files_and_devices_as_people_list_them() -> None:
    facts = read(
        "$ ldconfig -p | grep libcuda\n\tlibcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1\n"
        "\tlibcuda.so.1 (libc6,x86-64) => /usr/lib/wsl/lib/libcuda.so.1\n"
        "$ ls -l /dev/kfd\ncrw-rw---- 1 root render 235, 0 Jan  1 00:00 /dev/kfd\n"
        "$ id\nuid=1000(a) gid=1000(a) groups=1000(a),27(sudo)\n"
        "$ ls /usr/lib/libnvidia-ml*\n/usr/lib/libnvidia-ml.so.1 /usr/lib/libnvidia-ml.so.535.161.07\n"
        "cudaDriverGetVersion: 12020\n    Fabric\n        State    : In Progress\n"
    )
    assert [one.path for one in facts.nvidia.libraries] == ["/usr/lib/wsl/lib/libcuda.so.1"]
    kfd = facts.amd.kfd
    assert kfd is not None
    assert (kfd.group, kfd.writable, kfd.error) == ("render", False, "EACCES")
    assert [one.value for one in facts.nvidia.library_versions] == ["535.161.07"]
    assert [one.value for one in facts.nvidia.cuda_versions] == ["12.2"]
    assert [gpu.fabric_state for gpu in facts.nvidia.gpus or ()] == ["in_progress"]


def test_two_versions_of_a_library_tell_nothing_about_which_is_loaded() -> None:
    assert (
        read("/usr/lib/libnvidia-ml.so.535.161.07\n/usr/lib/libnvidia-ml.so.550.54.14\n").nvidia.library_versions == ()
    )


def test_several_variables_echoed_at_once() -> None:
    facts = read("$ echo $SLURM_JOB_ID $CUDA_VISIBLE_DEVICES\n4711 NoDevFiles\n")
    assert {one.name: one.value for one in facts.variables or ()} == {
        "SLURM_JOB_ID": "4711",
        "CUDA_VISIBLE_DEVICES": "NoDevFiles",
    }


def test_the_architecture_joins_the_card_that_a_report_has_named() -> None:
    facts = read(
        "PyTorch version: 2.3.0+rocm6.0\nROCM used to build PyTorch: 6.0.32830\n"
        "GPU models and configuration: AMD Radeon RX 7800 XT\n$ rocminfo\n  Name:                    gfx1101\n"
    )
    assert [(gpu.name, gpu.gfx) for gpu in facts.amd.gpus or ()] == [("AMD Radeon RX 7800 XT", "gfx1101")]
    assert facts.nvidia.gpus is None


def test_what_a_build_was_made_for_yields_to_what_the_text_says() -> None:
    told = read("torch                2.1.0+cu118\n>>> torch.version.cuda\n'12.1'\n")
    assert told.torch.cuda == "12.1"
    assert [seen.value for seen in told.sightings["torch.cuda"]] == ["12.1"]
    assert read("torch                2.1.0+cu118\n").torch.cuda == "11.8"
    assert read("torch                2.1.0+cpu\n").torch.cuda is None


def test_devices_counted_by_cuda_do_not_mix_with_a_table_in_another_order() -> None:
    facts = read(
        "NVIDIA-SMI 470.82.00   Driver Version: 470.82.00   CUDA Version: 11.4\n"
        "|   0  GeForce GT 710      Off  | 00000000:01:00.0 Off |                  N/A |\n"
        "|   1  Quadro P4000        Off  | 00000000:02:00.0 Off |                  N/A |\n\n"
        'Device 0: "Quadro P4000"\n  CUDA Capability Major/Minor version number:    6.1\n'
    )
    assert [(gpu.name, gpu.compute_capability) for gpu in facts.nvidia.gpus or ()] == [
        ("GeForce GT 710", None),
        ("Quadro P4000", "6.1"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "name, age\nBob, 42\nWell, thanks\n",
        "name, driver_version\n\nI have tried this, nothing helped\n",
        "My GPU 0 is a big one, 15109 MiB, and 440.33.01 is my driver\n",
        "GPU 0 memory is full\nGPU 1 Broken\n",
        "import torch\nprint(torch.cuda.device_count())\nprint(torch.version.cuda)\n\n2 GPUs are there\n12 of us\n",
        "CUDA: 11.8\ncuDNN: 8.7\n",
        "distribution: exponential with mean 3\n",
    ],
)
def test_what_only_looks_like_a_report_tells_nothing(text: str) -> None:
    facts = read(text)
    assert (facts.nvidia.gpus, facts.nvidia.driver_versions, facts.tools) == (None, (), None)
    assert (facts.torch.cuda, facts.torch.cuda_known, facts.torch.device_count) == (None, False, None)
    assert facts.host.os_name is None


def test_a_report_that_was_printed_as_one_line() -> None:
    printed = (
        "OrderedDict([('sys.platform', 'linux'), ('Python', '3.9.16 (main, Mar  8 2023, 14:00:05) [GCC 11.2.0]'),"
        " ('CUDA available', True), ('GPU 0,1', 'Tesla V100-SXM2-32GB'),"
        " ('NVCC', 'Cuda compilation tools, release 11.3, V11.3.109'), ('PyTorch', '1.12.1+cu113'),"
        r" ('PyTorch compiling details', 'PyTorch built with:\n  - GCC 9.3\n  - CUDA Runtime 11.3\n')])"
    )
    facts = read(printed)
    assert (facts.torch.version, facts.torch.cuda, facts.torch.cuda_available) == ("1.12.1+cu113", "11.3", True)
    assert [gpu.name for gpu in facts.nvidia.gpus or ()] == ["Tesla V100-SXM2-32GB"] * 2
    assert facts.python.version == "3.9.16"


_LISTED = r"PyTorch built with:\n  - GCC 11.2\n  - LAPACK is enabled\n{}  - Build settings: BLAS_INFO=open, "


@pytest.mark.parametrize(
    ("runtime", "variant"),
    [("", "cpu"), (r"  - CUDA Runtime 11.7\n", None), (r"  - HIP Runtime 5.4.22801\n", None)],
)
def test_a_list_of_what_torch_was_built_with_that_has_no_runtime(runtime: str, variant: str | None) -> None:
    printed = "CUDA available: False\n" + _LISTED.format(runtime)
    for text in (printed, printed.replace("\\n", "\n"), f"[('PyTorch', '2.0.1'), ('Details', '{printed}')]"):
        assert read(text).torch.variant == variant
    cut = printed.partition("  - Build settings")[0]
    assert read(cut).torch.variant is None


def test_a_report_whose_lines_a_quote_joined() -> None:
    quoted = (
        "> Collecting environment information... PyTorch version: 2.4.1+cu121 Is debug build: False CUDA used to build"
        " PyTorch: 12.1 ROCM used to build PyTorch: N/A OS: Ubuntu 22.04.4 LTS (x86_64) GCC version: (Ubuntu"
        " 11.4.0-1ubuntu1~22.04) 11.4.0 Python version: 3.10.12 (64-bit runtime) Is CUDA available: True CUDA runtime"
        " version: 12.4.131 GPU models and configuration: GPU 0: NVIDIA L4 Nvidia driver version: 550.90.07"
    )
    facts = read(quoted)
    assert (facts.torch.version, facts.torch.cuda, facts.torch.cuda_available) == ("2.4.1+cu121", "12.1", True)
    assert [gpu.name for gpu in facts.nvidia.gpus or ()] == ["NVIDIA L4"]
    assert [one.value for one in facts.nvidia.driver_versions] == ["550.90.07"]
    assert facts.host.os_name == "Ubuntu 22.04.4 LTS (x86_64)"


def test_a_prompt_that_says_nothing_says_none() -> None:
    silent = ">>> import torch\n>>> torch.version.cuda\n>>> torch.cuda.is_available()\nFalse"
    facts = read(silent)
    assert (facts.torch.cuda, facts.torch.cuda_known, facts.torch.cuda_available) == (None, True, False)
    assert not read(">>> torch.version.cuda").torch.cuda_known


@pytest.mark.parametrize(
    "row", ["OS | Windows 11", "| OS | Windows 11 |", "{'OS': 'Windows 11',", '"OS": "Windows 11",']
)
def test_rows_of_tables_and_dicts(row: str) -> None:
    assert read(row).host.os == "windows"


@pytest.mark.parametrize(
    ("text", "system", "machine", "libc"),
    [
        ("hint: You're on macOS (`macosx_15_0_arm64`), but", "macos", "arm64", None),
        ("hint: You're on Linux (`manylinux_2_17_x86_64`), but", "linux", "x86_64", None),
        ("DEBUG Found `cpython-3.11.4-linux-aarch64-musl` at `/usr/bin/python3`", "linux", "aarch64", "musl"),
        ("cpython-3.12.0-windows-x86_64-none", "windows", "x86_64", None),
    ],
)
def test_uv_names_the_platform(text: str, system: str, machine: str | None, libc: str | None) -> None:
    facts = read(text)
    assert (facts.host.os, facts.host.machine, facts.python.libc) == (system, machine, libc)


def test_files_of_conda_packages() -> None:
    facts = read("https://host/linux-64/pytorch-1.13.1-py3.9_cuda11.7_cudnn8.5.0_0.tar.bz2\n  - numpy-1.24.3-py39h1_0")
    assert [(one.name, one.version) for one in facts.packages or ()] == [("pytorch", "1.13.1"), ("numpy", "1.24.3")]
    assert facts.torch.cuda == "11.7"
    assert not read("see pytorch-1.13.1 and numpy-1.24").packages


def test_a_table_full_of_errors_is_a_gpu_that_does_not_answer() -> None:
    row = "|   0  ERR!                Off  | 00000000:01:00.0 Off |                 ERR! |"
    gpu = (read(row).nvidia.gpus or ())[0]
    assert (gpu.name, gpu.error, gpu.pci_address) == (None, "UNKNOWN", "00000000:01:00.0")


def test_old_and_cut_forms_of_nvidia_smi_q() -> None:
    text = "```Driver Version   : 525.78.01\nCUDA Version   : 12.0\n\nAttached GPUs   : 1\nGPU 0000:00:10.0\n"
    facts = read(text + "    Product Name      : NVIDIA GeForce RTX 2060\n")
    assert [gpu.name for gpu in facts.nvidia.gpus or ()] == ["NVIDIA GeForce RTX 2060"]
    assert [one.value for one in facts.nvidia.driver_versions] == ["525.78.01"]


@pytest.mark.parametrize(
    "head", ["04/29 11:23:31 - mmengine - INFO - ", "2022-03-01 10:00:00,123 - mmdet - INFO - ", "> ", " '", "| "]
)
def test_what_stands_before_the_lines_of_a_report(head: str) -> None:
    rows = {"PyTorch": "2.2.2", "CUDA available": "False", "GPU 0": "Tesla T4"}
    form = {" '": " '{}': '{}',   ", "| ": "| {} | {} |"}.get(head, head + "{}: {}")
    facts = read("\n".join(form.format(key, value) for key, value in rows.items()))
    assert (facts.torch.version, facts.torch.cuda_available) == ("2.2.2", False)
    assert [gpu.name for gpu in facts.nvidia.gpus or ()] == ["Tesla T4"]


POST = """$ python train.py
Traceback (most recent call last):
  File "/opt/env/lib/python3.10/site-packages/torch/cuda/__init__.py", line 293, in _lazy_init
    raise AssertionError('Torch not compiled with CUDA enabled')
AssertionError: Torch not compiled with CUDA enabled
PyTorch version: 2.4.1
CUDA used to build PyTorch: None
GPU 0: NVIDIA RTX A4000
Nvidia driver version: 550.54.15"""
CURLED = POST.replace("('", "(\u2018").replace("')", "\u2019)").replace('"/', "\u201c/").replace('py"', "py\u201d")


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{number:6d}\t{line}" for number, line in enumerate(POST.split("\n"), start=1)),
        "\n".join(f"{number:3d} | {line}" for number, line in enumerate(POST.split("\n"), start=41)),
        "\n".join(f"node07: {line}" for line in POST.split("\n")),
        "\n".join(f"3: {line}" for line in POST.split("\n")),
        "\n".join(f"# {line}" for line in POST.split("\n")),
        "\n".join(f"            {line}" for line in POST.split("\n")),
        "\n".join(f"\u2502 {line:100} \u2502" for line in POST.split("\n")),
        "\n".join(f"`{line}`" for line in POST.split("\n")),
        "\n".join(f"**{line}**" for line in POST.split("\n")),
        "\n".join(f"- {line}" for line in POST.split("\n")),
        "\n".join(f"    #9 2.71 {line}" for line in POST.split("\n")),
        POST.replace("\n", "\n\n"),
        f"<pre>{POST}</pre>",
        CURLED,
        json.dumps({"level": "error", "message": POST}),
        f"CompletedProcess(args=['python', 'train.py'], returncode=1, stderr={POST.encode()!r})",
        f'time="2026-05-01T12:00:00Z" level=error msg={json.dumps(POST)} pod=train-0',
    ],
    ids=[
        "cat-n",
        "grep-n",
        "pdsh",
        "srun",
        "comments",
        "deep",
        "box",
        "code",
        "bold",
        "items",
        "buildkit",
        "double",
        "pre",
        "curly",
        "json",
        "repr",
        "logfmt",
    ],
)
def test_what_stands_around_a_whole_text(text: str) -> None:
    facts, plain = read(text), read(POST)
    assert flat(facts) == flat(plain)
    assert flat(plain)["torch.cuda"] is None
    assert flat(plain)["gpus"] == ["NVIDIA RTX A4000"]
    assert answer(text)[0] == answer(POST)[0] is not None


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("ERROR: No matching distribution found for torch", "ERROR: No matching distribution found for torch"),
        ("[pip3] torch==2.1.0\n[pip3] triton==2.1.0\n[pip3] numpy==1.26.0", "[pip3] torch==2.1.0"),
        ("00:02.0 VGA a\n01:00.0 VGA b\n02:00.0 VGA c\n03:00.0 VGA d\n04:00.0 VGA e", "01:00.0 VGA b"),
        ("- Name: a\n- Type: b\n- Index: c", "- Name: a"),
        (r"cd C:\new\nvidia", r"cd C:\new\nvidia"),
        ("May 01 12:00:00 node7 kernel: NVRM: Xid", "May 01 12:00:00 node7 kernel: NVRM: Xid"),
        ("pip list | grep torch", "pip list | grep torch"),
        ("lsmod |  findstr nvidia", "lsmod |  findstr nvidia"),
        ("- cudatoolkit\n- pytorch", "- pytorch"),
    ],
)
def test_what_belongs_to_a_line_stays(text: str, stays: str) -> None:
    assert stays in page_of(text).text.split("\n")


def test_rocm_smi_counts_cards_of_one_name() -> None:
    text = "GPU[0]\t\t: Device Name: \t\tAMD Instinct MI300X\nGPU[1]\t\t: Card series: \t\tAMD Instinct MI300X\n"
    assert [gpu.name for gpu in read(text).amd.gpus or ()] == ["AMD Instinct MI300X"] * 2


def test_what_conda_did_not_find_is_not_installed() -> None:
    facts = read("PackagesNotFoundError: not available from current channels:\n\n  - torch==1.9.0+cu102\n\nCurrent:\n")
    assert not facts.packages
    assert facts.torch.version is None


def test_processes_of_a_table_are_nobodys_interpreter() -> None:
    row = "|    1   N/A  N/A     10204      C   C:\\Python39\\python.exe          N/A      |"
    facts = read(f"{row}\n")
    assert facts.python.version is None
    assert facts.host.os == "windows"
