"""Why a check was skipped: what is not known where a question of `Case` has no answer, in words for people."""

from envcheck.model.text import Text, say

_SYSTEM = say("the operating system is not known")
_INTERPRETER = say("the interpreter is not known")
_PACKAGES = say("the interpreter's packages are not known")
_DRIVER = say("no NVIDIA driver answered")
_FILES = say("the kernel's modules and device files are not known")
_BUS = say("the PCI bus is not known")
_BUILD = say("which build of torch is there is not known")
_IMPORT = say("torch was not imported")
_MESSAGES = say("no message of a program was given")
_DOWNLOAD = say("no download was tried")
_SETTINGS = say("the settings of pip, uv and conda are not known")

NOT_KNOWN: dict[str, Text] = {
    **dict.fromkeys(("on_macos", "host_machine", "libc", "libc_version", "wsl", "jetson"), _SYSTEM),
    **dict.fromkeys(("in_container", "scheduler"), say("the surroundings (container, cluster) are not known")),
    **dict.fromkeys(("python_version", "python_bits", "python_platform", "python_implementation"), _INTERPRETER),
    **dict.fromkeys(("free_threaded", "has_ssl"), _INTERPRETER),
    **dict.fromkeys(("packages", "shadows", "has_pip", "torch_installed"), _PACKAGES),
    **dict.fromkeys(
        ("listed", "card_list", "cards_to_compare", "driver_answered", "looked_at_driver", "driver_version"), _DRIVER
    ),
    **dict.fromkeys(("nvidia_module_loaded", "nodes", "uvm_looked_at"), _FILES),
    **dict.fromkeys(("nvidia_pci", "has_nvidia"), _BUS),
    **dict.fromkeys(
        ("build_shown", "build_kind", "build_cuda", "wheel_cuda", "kernels", "torch_version", "kernels_to_compare"),
        _BUILD,
    ),
    **dict.fromkeys(("torch_imported", "torch_look", "cuda_available", "device_count", "devices"), _IMPORT),
    **dict.fromkeys(("cpu_kernel_ok", "illegal_instruction"), _IMPORT),
    **dict.fromkeys(("mps_available", "xpu_available"), say("this torch does not tell")),
    "anything_said": _MESSAGES,
    "route_shown": _DOWNLOAD,
    **dict.fromkeys(("settings", "tools"), _SETTINGS),
    **dict.fromkeys(("proxies", "routes"), say("the proxies are not known")),
    "pip_python": say("there is no pip on PATH"),
    "variables": say("the environment variables are not known"),
    "disks": say("the free disk space is not known"),
    "secure_boot": say("the firmware does not say whether Secure Boot is on"),
    "smi_look": say("nvidia-smi was not asked"),
    **dict.fromkeys(("kfd", "amd_looked_at", "amd_targets"), say("there is no AMD compute device")),
    "gradients": say("back-propagation was not checked: --deep does it"),
}
"""By the names that checks give in `needs`."""
