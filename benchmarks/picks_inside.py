"""Runs in a peer's own interpreter: machines as JSON on standard input, what the peer would install on standard output.

Only the standard library and the peer itself; the peer is told of a machine by what it reads, not by what it decides.
"""

# mypy: ignore-errors

import importlib
import json
import sys
from unittest import mock

SYSTEMS = {"linux": "Linux", "windows": "Windows"}
MACHINES = {("windows", "x86_64"): "amd64"}
NVIDIA = "10de"


def torchruntime(machine):
    """The platform of an index, by the names of the GPUs."""
    from torchruntime import platform_detection
    from torchruntime.device_db import GPU

    gpus = [GPU(NVIDIA, "NVIDIA", str(at), name, True) for at, name in enumerate(machine["names"])]
    told = {
        "os_name": SYSTEMS[machine["os"]],
        "arch": MACHINES.get((machine["os"], machine["machine"]), machine["machine"]),
        "py_version": tuple(int(part) for part in machine["python"].split(".")),
    }
    with mock.patch.multiple(platform_detection, **told):
        try:
            return {"platform": platform_detection.get_torch_platform(gpus)}
        except NotImplementedError:
            return {"platform": None}


def light_the_torch(machine):
    """The computation backends that it allows, best last."""
    from light_the_torch import _cb
    from pip._vendor.packaging.version import Version

    driver = mock.patch.object(_cb, "_detect_nvidia_driver_version", return_value=Version(machine["driver"]))
    system = mock.patch.object(_cb.platform, "system", return_value=SYSTEMS[machine["os"]])
    with driver, system:
        return {"backends": [str(one) for one in sorted(_cb.detect_compatible_computation_backends())]}


def env_doctor(machine):
    """The command that it prints for torch."""
    with mock.patch("requests.get", side_effect=ValueError("no network here")):
        database = importlib.import_module("env_doctor.db")
    return {"command": database.get_install_command("torch", database.get_max_cuda_for_driver(machine["driver"]))}


def main():
    """Answer for each machine."""
    peer = {"torchruntime": torchruntime, "light-the-torch": light_the_torch, "env-doctor": env_doctor}[sys.argv[1]]
    output, sys.stdout = sys.stdout, sys.stderr
    json.dump([peer(machine) for machine in json.load(sys.stdin)], output)


if __name__ == "__main__":
    main()
