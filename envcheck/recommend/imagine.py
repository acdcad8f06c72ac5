"""Facts of a machine that is not here: told by options, or this machine's with some of them told otherwise."""

from collections.abc import Sequence

import msgspec

from envcheck.catalogue import Catalogue
from envcheck.model.base import Value
from envcheck.model.errors import EnvcheckError
from envcheck.model.facts import Amd, AmdGpu, Facts, Gpu, Host, Nvidia, Python, Sighting
from envcheck.model.patterns import regex
from envcheck.model.text import say
from envcheck.model.versions import numbers

SYSTEMS = ("linux", "windows", "macos")
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "x64": "x86_64", "aarch64": "aarch64", "arm64": "arm64"}
_DRIVER = regex(r"\d{3}(\.\d{1,3}){0,2}")
_PYTHON = regex(r"3\.(\d{1,2})(\.\d+)?(t?)")
_CODE = regex(r"(?:sm_)?(\d{1,2})\.?(\d)")


class Told(Value, frozen=True, kw_only=True):
    """What the command line says of the machine; None: not told."""

    driver: str | None = None
    gpus: tuple[str, ...] = ()
    """Product names, compute capabilities (`8.6`) or AMD targets (`gfx1100`)."""
    os: str | None = None
    arch: str | None = None
    python: str | None = None
    glibc: str | None = None

    @property
    def anything(self) -> bool:
        """Whether another machine is meant."""
        return self != Told()


def imagine(told: Told, catalogue: Catalogue, here: Facts | None = None) -> Facts:
    """`here` (or a machine of which nothing is known) with what was told.

    Another system or architecture makes all of it another machine: then nothing of `here` but the Python counts.

    Raises:
        EnvcheckError: a word cannot be read, or a GPU is not known.
    """
    base = here or Facts(source="text")
    if _elsewhere(told, base):
        base = Facts(source="text", python=msgspec.structs.replace(base.python, platform=None, path=None, prefix=None))
    return msgspec.structs.replace(
        base,
        host=_host(told, base.host),
        python=_python(told, base),
        pci=base.pci if not told.gpus else None,
        variables=None if told.gpus else base.variables,
        torch=msgspec.structs.replace(base.torch, devices=None) if told.gpus else base.torch,
        amd=_amd(told, base),
        nvidia=_nvidia(told, base, catalogue),
    )


def _elsewhere(told: Told, base: Facts) -> bool:
    other_os = told.os is not None and told.os != base.host.os
    return other_os or (told.arch is not None and _machine(told.arch) != base.host.machine)


def _machine(word: str) -> str:
    machine = _MACHINES.get(word.casefold())
    if machine is None:
        mend = say("known are: {names}", names=", ".join(_MACHINES))
        raise EnvcheckError(say("unknown architecture {name}", name=word), where="--arch", mend=mend)
    return machine


def _host(told: Told, host: Host) -> Host:
    os = told.os or host.os
    machine = _machine(told.arch) if told.arch else host.machine
    if machine == "arm64" and os == "linux":
        machine = "aarch64"
    elif machine == "aarch64" and os in ("macos", "windows"):
        machine = "arm64"
    libc, version = host.libc, host.libc_version
    if told.glibc is not None:
        if not numbers(told.glibc):
            mend = say("write it like --glibc 2.35")
            raise EnvcheckError(say("cannot read the version {text}", text=told.glibc), where="--glibc", mend=mend)
        libc, version = "glibc", told.glibc
    return msgspec.structs.replace(host, os=os, machine=machine, libc=libc, libc_version=version)


def _python(told: Told, base: Facts) -> Python:
    python = base.python
    if told.glibc is not None:
        python = msgspec.structs.replace(python, libc=None, libc_version=None)
    if told.arch is not None:
        python = msgspec.structs.replace(python, platform=None, bits=None)
    if told.python is None:
        return python
    match = _PYTHON.fullmatch(told.python)
    if match is None:
        mend = say("write it like --python-version 3.12")
        what = say("cannot read the version {text}", text=told.python)
        raise EnvcheckError(what, where="--python-version", mend=mend)
    return msgspec.structs.replace(
        python, version=told.python.rstrip("t"), implementation="CPython", bits=64, free_threaded=bool(match[3])
    )


def _nvidia(told: Told, base: Facts, catalogue: Catalogue) -> Nvidia:
    nvidia = base.nvidia
    if told.driver is not None:
        if _DRIVER.fullmatch(told.driver) is None:
            mend = say("write it like --driver 535.183.01")
            raise EnvcheckError(say("cannot read the driver {text}", text=told.driver), where="--driver", mend=mend)
        sighting = Sighting(value=told.driver, look="text", where="--driver")
        nvidia = msgspec.structs.replace(nvidia, driver_versions=(sighting,), cuda_versions=())
    if told.gpus:
        cards = [word for word in told.gpus if not word.casefold().startswith("gfx")]
        gpus = tuple(_gpu(index, word, catalogue) for index, word in enumerate(cards))
        nvidia = msgspec.structs.replace(nvidia, gpus=gpus)
    return nvidia


def _gpu(index: int, word: str, catalogue: Catalogue) -> Gpu:
    code = _CODE.fullmatch(word.strip())
    if code is not None:
        capability = f"{int(code[1])}.{code[2]}"
        return Gpu(index=index, name=f"sm_{code[1]}{code[2]}", compute_capability=capability, look="text")
    known = catalogue.capability_of(word)
    if known is None:
        raise _unknown_gpu(word, catalogue.gpu_names())
    return Gpu(index=index, name=word, compute_capability=known, look="text")


def _unknown_gpu(word: str, names: Sequence[str]) -> EnvcheckError:
    from difflib import get_close_matches

    folded = {name.casefold(): name for name in names}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if close:
        mend = say("did you mean {name}? Or give its compute capability, as in --gpu 8.6", name=folded[close[0]])
    else:
        mend = say("give its compute capability, as in --gpu 8.6")
    return EnvcheckError(say("the compute capability of {name} is not known", name=word), where="--gpu", mend=mend)


def _amd(told: Told, base: Facts) -> Amd:
    if not told.gpus:
        return base.amd
    targets = [word.casefold() for word in told.gpus if word.casefold().startswith("gfx")]
    return msgspec.structs.replace(
        base.amd, gpus=tuple(AmdGpu(index=index, gfx=word) for index, word in enumerate(targets))
    )
