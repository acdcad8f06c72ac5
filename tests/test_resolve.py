"""Plans for machines that people have: what is chosen, what is said, and what is left unsaid when it is not known."""

import pytest

from envcheck.catalogue import Catalogue
from envcheck.model.errors import EnvcheckError
from envcheck.model.facts import (
    Amd,
    AmdGpu,
    Facts,
    Gpu,
    Host,
    Nvidia,
    Observation,
    PciDevice,
    Python,
    Sighting,
    Torch,
    TorchDevice,
    Variable,
)
from envcheck.model.plan import Plan, Wish
from envcheck.recommend.imagine import Told, imagine
from envcheck.recommend.resolve import resolve
from envcheck.recommend.target import target_of
from envcheck.recommend.wishes import check

CATALOGUE = Catalogue.shipped()


def machine(
    driver: str | None = None,
    *gpus: str,
    os: str = "linux",
    arch: str = "x86_64",
    python: str = "3.12",
    glibc: str | None = "2.35",
    cuda: str | None = None,
    **host: object,
) -> Facts:
    libc = {"libc": "glibc", "libc_version": glibc} if os == "linux" and glibc else {}
    return Facts(
        host=Host(os=os, machine=arch, **libc, **host),
        python=Python(version=f"{python}.4", implementation="CPython", bits=64),
        nvidia=Nvidia(
            driver_versions=(Sighting(value=driver, look="nvml"),) if driver else (),
            cuda_versions=(Sighting(value=cuda, look="nvml"),) if cuda else (),
            gpus=tuple(card(at, word) for at, word in enumerate(gpus)),
        ),
    )


def card(at: int, word: str) -> Gpu:
    return Gpu(index=at, compute_capability=word) if word[0].isdigit() else Gpu(index=at, name=word)


def plan(facts: Facts, **wish: object) -> Plan:
    return resolve(facts, CATALOGUE, Wish(**wish))


def chosen(made: Plan) -> str | None:
    return None if made.build is None else f"{made.build.torch}+{made.build.variant}"


def told(made: Plan) -> str:
    return "\n".join(text.english() for text in (made.reason, *made.notes, *made.nearest))


def test_the_author_of_the_first_guide_with_a_driver_of_cuda_10_2() -> None:
    made = plan(machine("440.33", "GeForce GTX 1080 Ti", python="3.8"))
    assert chosen(made) == "1.12.1+cu102"
    assert "driver 450.80.02 or newer would allow 2.4.1+cu118" in told(made)
    assert all(one.rule == "driver" for one in made.rejected if one.build.cuda == "11.3" and one.build.os == "linux"
               and one.build.machine == "x86_64" and "3.8" in one.build.pythons)  # fmt: skip


def test_the_same_author_with_a_python_that_came_later() -> None:
    made = plan(machine("440.33", "GeForce GTX 1080 Ti", python="3.11"))
    assert made.build is None
    assert "Python 3.10 would allow 1.12.1+cu102" in told(made)
    assert "driver 450.80.02 or newer" in told(made)


def test_the_author_with_a_driver_of_cuda_11_3() -> None:
    made = plan(machine("465.19", "GeForce RTX 3060", python="3.9"))
    assert chosen(made) == "2.7.1+cu118"
    assert "by minor-version compatibility" in made.reason.english()
    assert "the last release made for CUDA 11.3 itself is 1.12.1+cu113" in told(made)


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (machine("580.95.05", "GeForce GTX 1080"), "2.14.1+cu126"),
        (machine("580.95.05", "Tesla V100-SXM2-32GB"), "2.14.1+cu126"),
        (machine("580.95.05", "GeForce RTX 5090"), "2.15.0+cu130"),
        (machine("595.58.03", "GeForce RTX 5090"), "2.15.0+cu132"),
        (machine("535.183.01", "GeForce RTX 3060"), "2.14.1+cu126"),
        (machine("470.82.01", "Tesla K80", python="3.9"), "2.7.1+cu118"),
        (machine("570.124.06", "GeForce RTX 5090"), "2.13.0+cu129"),
        (machine("572.61", "GeForce RTX 5090", os="windows"), "2.11.0+cu128"),
        (machine("580.95.05", "NVIDIA GH200 480GB", arch="aarch64"), "2.15.0+cu130"),
        (machine("580.95.05", "NVIDIA GB10", arch="aarch64"), "2.15.0+cu130"),
        (machine("535.183.01", "A100", glibc="2.17"), "2.6.0+cu118"),
        (machine("560.94", "RTX 4090", wsl=True, cuda="12.6"), "2.14.1+cu126"),
        (machine("576.57", "GTX 1080 Ti", "RTX 5090", os="windows"), "2.7.1+cu128"),
        (machine(), "2.15.0+cpu"),
        (machine(os="macos", arch="arm64", os_name="macOS 15.1"), "2.15.0+mps"),
        (machine(os="macos", arch="arm64", os_name="macOS 13.6"), "2.11.0+mps"),
        (machine(os="macos", arch="x86_64", os_name="macOS 13.6"), "2.2.2+cpu"),
    ],
)  # fmt: skip
def test_machines_that_people_have(facts: Facts, wanted: str) -> None:
    assert chosen(plan(facts)) == wanted


def test_gpus_of_generations_that_no_build_serves_together() -> None:
    made = plan(machine("580.95.05", "RTX 5090", "GTX 1080 Ti"))
    assert made.build is None
    assert "with CUDA_VISIBLE_DEVICES on RTX 5090 (12.0) alone: 2.15.0+cu130" in told(made)
    assert "with CUDA_VISIBLE_DEVICES on GTX 1080 Ti (6.1) alone: 2.14.1+cu126" in told(made)


def test_a_gpu_that_was_never_served() -> None:
    made = plan(machine("470.82.01", "Tesla K40", python="3.8"))
    assert made.build is None
    assert "--variant cpu" in told(made)


def test_no_cpu_build_for_somebody_with_a_gpu() -> None:
    for facts in (machine("580.95.05", "3.5"), machine("340.108", "5.2"), machine("580.95.05", "8.6", python="3.6")):
        made = plan(facts)
        assert made.build is None or made.build.variant != "cpu"
    assert chosen(plan(machine("580.95.05", "8.6"), variant="cpu")) == "2.15.0+cpu"


# --- what is not known --------------------------------------------------------------------------------------------


def on_the_bus(*devices: str) -> Facts:
    slots = enumerate(devices, 1)
    return Facts(
        host=Host(os="linux", machine="x86_64", libc="glibc", libc_version="2.35"),
        python=Python(version="3.12.1"),
        pci=tuple(
            PciDevice(address=f"0000:0{slot}:00.0", vendor="10de", device=device, pci_class="030000")
            for slot, device in slots
        ),
    )


@pytest.mark.parametrize(
    ("devices", "first"),
    [
        (("2204",), "580 or newer"),  # RTX 3090
        (("1b06",), "580 is the last branch"),  # GTX 1080 Ti
        (("1b06", "102d"), "470 is the last branch"),  # and Tesla K80
        (("1080", "1b06"), "580 is the last branch"),  # GTX 580, which no build serves, beside it
    ],
)
def test_a_gpu_on_the_bus_without_a_driver(devices: tuple[str, ...], first: str) -> None:
    made = plan(on_the_bus(*devices))
    assert made.build is None
    assert "no working NVIDIA driver" in told(made)
    assert f"install the NVIDIA driver first: {first}" in told(made)


@pytest.mark.parametrize("devices", [("1080",), ("0a65", "128b")])  # GTX 580; GeForce 210 and GT 710
def test_no_driver_is_asked_for_cards_that_no_build_serves(devices: tuple[str, ...]) -> None:
    made = plan(on_the_bus(*devices))
    assert made.build is None
    assert "too old for the official builds" in told(made)
    assert "driver" not in told(made)
    assert "--variant cpu" in told(made)


def test_nothing_is_known_of_a_gpu() -> None:
    facts = Facts(source="text", host=Host(os="linux", machine="x86_64"), python=Python(version="3.12.1"))
    made = plan(facts)
    assert made.build is None
    assert "not known whether a GPU" in told(made)
    assert target_of(facts, CATALOGUE).accelerators is None


def test_a_live_machine_without_any_nvidia_library_gets_the_cpu_build_and_is_told() -> None:
    seen = (Observation(look="nvml", state="absent"),)
    facts = Facts(host=Host(os="windows", machine="x86_64"), python=Python(version="3.12.1"), observations=seen)
    made = plan(facts)
    assert chosen(made) == "2.15.0+cpu"
    assert "no NVIDIA driver was found" in told(made)


def test_a_product_that_the_table_lacks() -> None:
    made = plan(machine("580.95.05", "NVIDIA Quux 9000"))
    assert made.build is None
    assert "compute capability of NVIDIA Quux 9000 (?)".replace(" (?)", "") in told(made)
    assert "--gpu 8.6" in told(made)


@pytest.mark.parametrize("field", ["os", "machine", "python"])
def test_an_unknown_system_gets_no_plan(field: str) -> None:
    known = {"os": "linux", "machine": "x86_64"}
    facts = Facts(
        host=Host(**{name: word for name, word in known.items() if name != field}),
        python=Python(version=None if field == "python" else "3.12.1"),
        nvidia=Nvidia(gpus=()),
    )
    made = plan(facts)
    assert made.build is None
    assert "not known" in made.reason.english()
    assert "--os, --arch, --python-version" in told(made)


def test_only_the_cuda_version_of_a_driver_is_known() -> None:
    facts = machine(None, "8.6", cuda="12.2")
    assert chosen(plan(facts)) == "2.14.1+cu126"
    old = machine(None, "7.5", cuda="11.0", python="3.8")
    assert chosen(plan(old)) == "1.12.1+cu102"  # 11.0 may mean 450.36, which runs no newer 11.x


def test_a_compatibility_package_speaks_a_newer_cuda_than_the_driver() -> None:
    made = plan(machine("535.183.01", "A100", cuda="13.0"))
    assert made.build is not None
    assert made.build.cuda == "13.0"


# --- other systems ------------------------------------------------------------------------------------------------


def test_musl_is_told_of_glibc() -> None:
    facts = Facts(
        host=Host(os="linux", machine="x86_64", libc="musl"), python=Python(version="3.12.1"), nvidia=Nvidia(gpus=())
    )
    made = plan(facts)
    assert made.build is None
    assert "glibc 2.28" in told(made)
    assert any("needs glibc, this system has musl" in one.reason.english() for one in made.rejected)


def test_jetson_boards_are_sent_to_nvidia() -> None:
    made = plan(machine("540.4.0", "Orin", arch="aarch64", jetson=True, jetson_release="Jetson AGX Orin, L4T R36.3.0"))
    assert made.build is None
    assert "JetPack 6" in told(made)
    assert "docs.nvidia.com" in told(made)


def test_thor_takes_the_official_build() -> None:
    made = plan(machine("580.95.05", "11.0", arch="aarch64", jetson=True, jetson_release="Jetson AGX Thor, L4T R38.2"))
    assert chosen(made) == "2.15.0+cu130"


def amd(gfx: str | None) -> Facts:
    return Facts(
        host=Host(os="linux", machine="x86_64", libc="glibc", libc_version="2.39"),
        python=Python(version="3.12.1"),
        nvidia=Nvidia(gpus=()),
        amd=Amd(gpus=(AmdGpu(index=0, gfx=gfx, name="Radeon"),)),
    )


@pytest.mark.parametrize(
    ("gfx", "wanted"), [("gfx1100", "2.14.1+rocm7.14"), ("gfx803", None), (None, None), ("gfx1151", "2.14.1+rocm7.14")]
)
def test_amd(gfx: str | None, wanted: str | None) -> None:
    made = plan(amd(gfx))
    assert chosen(made) == wanted
    if wanted is None:
        assert "Radeon" in told(made)


def test_intel_arc_by_its_pci_id() -> None:
    def with_card(device: str) -> Facts:
        card = PciDevice(address="0000:03:00.0", vendor="8086", device=device, pci_class="030000")
        return Facts(
            host=Host(os="linux", machine="x86_64", libc="glibc", libc_version="2.39"),
            python=Python(version="3.12.1"),
            pci=(card,),
        )

    assert chosen(plan(with_card("e20b"))) == "2.14.1+xpu"
    assert chosen(plan(with_card("3e92"))) == "2.15.0+cpu"  # a UHD 630


def test_a_32_bit_python_and_pypy() -> None:
    facts = Facts(host=Host(os="windows", machine="x86_64"), nvidia=Nvidia(gpus=()))
    for python, words in (
        (Python(version="3.12.1", bits=32), "32-bit"),
        (Python(version="3.10.1", implementation="PyPy"), "CPython only"),
    ):
        made = plan(Facts(host=facts.host, nvidia=facts.nvidia, python=python))
        assert made.build is None
        assert any(words in one.reason.english() for one in made.rejected)


def test_an_x86_python_on_apple_silicon_takes_x86_wheels() -> None:
    facts = Facts(
        host=Host(os="macos", machine="arm64", os_name="macOS 14.2"),
        python=Python(version="3.11.1", platform="macosx-10.9-x86_64"),
    )
    assert chosen(plan(facts)) == "2.2.2+cpu"


def test_free_threaded_pythons_have_wheels_of_their_own() -> None:
    facts = Facts(
        host=Host(os="linux", machine="x86_64", libc="glibc", libc_version="2.39"),
        python=Python(version="3.13.1", free_threaded=True),
        nvidia=Nvidia(gpus=()),
    )
    assert chosen(plan(facts)) == "2.12.0+cpu"


# --- which GPUs ---------------------------------------------------------------------------------------------------


def two_gpus(*variables: tuple[str, str]) -> Facts:
    base = machine("580.95.05")
    gpus = (
        Gpu(index=0, name="RTX 5090", uuid="GPU-aaaa", compute_capability="12.0"),
        Gpu(index=1, name="GTX 1080", uuid="GPU-bbbb", compute_capability="6.1", mig_devices=("MIG-cccc",)),
    )
    return Facts(
        host=base.host,
        python=base.python,
        nvidia=Nvidia(driver_versions=base.nvidia.driver_versions, gpus=gpus),
        variables=tuple(Variable(name=name, value=value) for name, value in variables),
    )


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ((), None),
        ((("CUDA_VISIBLE_DEVICES", "GPU-bb"),), "2.14.1+cu126"),
        ((("CUDA_VISIBLE_DEVICES", "MIG-cccc"),), "2.14.1+cu126"),
        ((("CUDA_VISIBLE_DEVICES", "0"), ("CUDA_DEVICE_ORDER", "PCI_BUS_ID")), "2.15.0+cu130"),
        ((("CUDA_VISIBLE_DEVICES", "0"),), None),
        ((("CUDA_VISIBLE_DEVICES", ""),), None),
        ((("CUDA_VISIBLE_DEVICES", "-1"),), None),
    ],
)
def test_cuda_visible_devices_selects(variables: tuple[tuple[str, str], ...], wanted: str | None) -> None:
    assert chosen(plan(two_gpus(*variables))) == wanted


def test_hidden_gpus_are_told() -> None:
    assert "hides every GPU" in told(plan(two_gpus(("CUDA_VISIBLE_DEVICES", "-1"))))


def test_gpus_that_only_torch_sees() -> None:
    base = machine("580.95.05")
    seen = (TorchDevice(kind="cuda", index=0, name="NVIDIA GeForce RTX 3060", compute_capability="8.6"),)
    facts = Facts(
        host=base.host,
        python=base.python,
        nvidia=Nvidia(driver_versions=base.nvidia.driver_versions),
        torch=Torch(devices=seen),
    )
    assert chosen(plan(facts)) == "2.15.0+cu130"


# --- wishes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        ({"torch": "2.6"}, "2.6.0+cu126"),
        ({"torch": "2.4.0"}, "2.4.0+cu124"),
        ({"torch": ">=2.4,<2.6"}, "2.5.1+cu124"),
        ({"torch": "==2.7.*"}, "2.7.1+cu128"),
        ({"cuda": "11.8"}, "2.7.1+cu118"),
        ({"variant": "cu121"}, "2.5.1+cu121"),
        ({"requirements": ("torchvision==0.20.*",)}, "2.5.1+cu124"),
        ({"requirements": ("torch<2.9", "torchvision>=0.22")}, "2.8.0+cu129"),
        ({"conda": True}, "2.13.0+cu130"),
        ({"conda": True, "torch": "<2.5"}, "2.4.1+cu124"),
    ],
)
def test_wishes_narrow_the_choice(wish: dict[str, object], wanted: str) -> None:
    made = plan(machine("580.95.05", "8.6"), **wish)
    assert chosen(made) == wanted


def test_a_wish_that_this_machine_cannot_have() -> None:
    made = plan(machine("440.33", "6.1", python="3.8"), torch=">=2.0")
    assert made.build is None
    assert "without the wish it would be 1.12.1+cu102" in told(made)


def test_a_cuda_variant_for_a_machine_without_a_gpu_is_planned_unchecked() -> None:
    made = plan(machine(), variant="cu126")
    assert chosen(made) == "2.14.1+cu126"
    assert "no GPU or driver was there to check it" in told(made)


@pytest.mark.parametrize(
    ("wish", "line"),
    [
        ({"variant": "cu127"}, "there is no variant cu127"),
        ({"cuda": "12.7"}, "no build was made with CUDA 12.7"),
        ({"torch": "9.9"}, "no known build is: torch 9.9"),
        ({"torch": "newest"}, "cannot read the version newest"),
        ({"torch": ">="}, "cannot read the version >="),
        ({"requirements": ("torch >> 2",)}, "cannot read the requirement torch >> 2"),
        ({"requirements": ("tensorflow",)}, "cannot plan for the requirement tensorflow"),
        ({"requirements": ("torch @ https://example.org/x.whl",)}, "cannot plan for the requirement"),
        ({"torch": "2.15", "cuda": "11.8"}, "no known build is: torch 2.15, CUDA 11.8"),
    ],
)
def test_impossible_wishes_are_refused_in_one_line(wish: dict[str, object], line: str) -> None:
    with pytest.raises(EnvcheckError) as caught:
        check(Wish(**wish), CATALOGUE)
    assert line in caught.value.what.english()
    assert caught.value.mend is not None
    assert caught.value.code == 2


# --- machines elsewhere -------------------------------------------------------------------------------------------


def elsewhere(**given: object) -> Facts:
    return imagine(Told(**given), CATALOGUE)


def test_a_machine_that_is_told_and_not_seen() -> None:
    facts = elsewhere(driver="535.183.01", gpus=("GTX 1080 Ti", "8.6"), os="windows", arch="AMD64", python="3.11")
    made = plan(facts)
    assert chosen(made) == "2.14.1+cu126"
    assert made.build is not None
    assert (made.build.os, made.build.machine) == ("windows", "x86_64")


@pytest.mark.parametrize(
    ("word", "code"), [("8.6", "8.6"), ("86", "8.6"), ("sm_120", "12.0"), ("12.1", "12.1"), ("rtx3060", "8.6")]
)
def test_gpus_are_told_by_name_or_capability(word: str, code: str) -> None:
    assert [gpu.compute_capability for gpu in elsewhere(gpus=(word,)).nvidia.gpus or ()] == [code]


def test_amd_targets_are_told_too() -> None:
    facts = elsewhere(gpus=("gfx1100",), os="linux", arch="x86_64", python="3.12", glibc="2.39")
    assert chosen(plan(facts)) == "2.14.1+rocm7.14"


def test_another_system_forgets_this_one() -> None:
    here = machine("580.95.05", "8.6")
    facts = imagine(Told(os="windows"), CATALOGUE, here)
    assert facts.nvidia == Nvidia()
    assert facts.host.libc is None
    assert facts.python.version == here.python.version


def test_another_driver_on_this_machine() -> None:
    facts = imagine(Told(driver="465.19"), CATALOGUE, machine("580.95.05", "8.6", python="3.9"))
    assert chosen(plan(facts)) == "2.7.1+cu118"


@pytest.mark.parametrize(
    ("given", "line", "where"),
    [
        ({"gpus": ("RTX 3061",)}, "not known", "--gpu"),
        ({"driver": "newest"}, "cannot read the driver", "--driver"),
        ({"python": "2.7"}, "cannot read the version", "--python-version"),
        ({"arch": "sparc"}, "unknown architecture", "--arch"),
        ({"glibc": "new"}, "cannot read the version", "--glibc"),
    ],
)
def test_words_that_cannot_be_read(given: dict[str, object], line: str, where: str) -> None:
    with pytest.raises(EnvcheckError) as caught:
        elsewhere(**given)
    assert line in caught.value.what.english()
    assert caught.value.where == where
    assert caught.value.mend is not None
