"""EC331 to EC334: the DLLs of torch on Windows cannot be loaded."""

from collections.abc import Iterator

from envcheck.catalogue.software import fault, page
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.packages import local, public
from envcheck.model.report import Confidence, Finding, Fix
from envcheck.model.text import say

BROKEN = ("EC311", "EC313", "EC401")


def _release(case: Case, version: str) -> tuple[str, ...]:
    """What pip is asked for, to get another release of the same variant."""
    variant = case.facts.torch.variant or local(case.torch_version)
    rows = (one for one in case.builds_here if one.torch == version and one.variant == variant)
    build = next(rows, None)
    if build is None:
        return (f"torch=={version}",)
    return (f"torch=={version}{build.local}", *(("--index-url", build.index) if build.index else ()))


def _about_torch(said: Said) -> bool:
    words = ("torch", "c10", "cudnn", "cublas", "nvidia", "onnxruntime", "tensorflow")
    named = any(word in message.text.casefold() for message, _ in said for word in words)
    return named or any("importing _C:" in message.text for message, _ in said)


def _runtime() -> Fix:
    return remedies.step(
        say("Install the newest Visual C++ runtime for x64, then restart: {url}", url=page("vc_redist"))
    )


@check(
    "EC334",
    "dll-import-order",
    cause="dll_import_order",
    explains=("EC331", "EC332", "EC333", *BROKEN),
    needs=("anything_said",),
)
def dll_import_order(this: Check, case: Case) -> Iterator[Finding]:
    """Another package loaded its DLLs before torch.

    What it means: a program that imports Qt, Paddle or another large package first has its DLLs in the process.
    When torch comes later, one of its own DLLs cannot start.

    Common causes: PyQt, PySide or Paddle imported before torch; the same runtime DLL in two versions.

    What to do: import torch before the other package. A newer Visual C++ runtime also mends this on some machines.
    """
    said = case.said("vc_runtime_missing") or case.said("win127_mixed_dlls")
    order = case.said("dlls_before_torch") or case.said("imported_before_torch")
    said = said or (case.said("dll_load_cut_short") if not case.said("win126_missing_dependency") else ())
    if not said or not order or not _about_torch(said):
        return
    first = order[0][1].get("toolkit", "Qt")
    yield this.finding(
        say("A DLL of torch cannot start after {toolkit} was imported", toolkit=first),
        evidence=heard(said, 1) + heard(order, 1),
        fixes=(remedies.step(say("Put import torch before the import of {toolkit}", toolkit=first)), _runtime()),
        confidence="likely",
    )


@check("EC333", "vc-runtime-missing", cause="vc_runtime_missing", explains=("EC331", *BROKEN), needs=("anything_said",))
def vc_runtime_missing(this: Check, case: Case) -> Iterator[Finding]:
    """The Visual C++ runtime is missing or too old.

    What it means: torch needs Microsoft's C++ runtime. Without it, or with one that is older than torch's compiler,
    `c10.dll` cannot be loaded or cannot start.

    Common causes: a fresh Windows; an old runtime that another program installed; a new release of torch that was
    built with a newer compiler.

    What to do: install the newest Visual C++ runtime for x64 and start Python again.
    """
    said = case.said("vc_runtime_missing")
    named = bool(case.said("vc_runtime_named"))
    if not said or not (named or _about_torch(said)):
        return
    yield this.finding(
        say("The Visual C++ runtime is missing or older than torch needs"),
        evidence=heard(said, 1),
        fixes=(_runtime(), *remedies.reinstall_torch(case, alternative=True)),
        confidence="certain" if named else "likely",
    )


@check("EC332", "dlls-mixed", cause="win127_mixed_dlls", explains=BROKEN, needs=("anything_said",))
def dlls_mixed(this: Check, case: Case) -> Iterator[Finding]:
    """A DLL of torch found another DLL of a different release.

    What it means: Windows found a DLL of the right name that lacks a function: files of two releases are mixed, or
    another program's DLL came first on the path.

    Common causes: torch was installed over another release; pip's torch over conda's; a folder of another program
    on PATH with a DLL of the same name.

    What to do: remove torch, see that no folder `torch` is left in site-packages, and install it again; best in a
    new environment.
    """
    said = case.said("win127_mixed_dlls")
    told = bool(said) and (_about_torch(said) or case.torch_imported is False)
    if not said or not (told or case.pasted):
        return
    yield this.finding(
        say("The DLLs of torch come from different releases"),
        evidence=heard(said, 1),
        fixes=(
            remedies.command(case, say("Remove torch"), *remedies.pip(case, "uninstall", "-y", "torch")),
            remedies.step(say("Delete the folder torch in site-packages, if it is still there")),
            *remedies.reinstall_torch(case),
        ),
        confidence="certain" if _about_torch(said) else "likely" if told else "possible",
    )


@check("EC331", "dll-missing", cause="win126_missing_dependency", explains=BROKEN, needs=("anything_said",))
def dll_missing(this: Check, case: Case) -> Iterator[Finding]:
    """A DLL that torch needs is not there.

    What it means: Windows found the DLL that the message names, but not one that it depends on. Which one is
    missing is not said.

    Common causes: a release of torch that forgot a DLL; the Visual C++ runtime; DLLs that an antivirus program
    removed; an installation that was cut short.

    What to do: install the Visual C++ runtime, or another release of torch when this one is known to lack a DLL.
    """
    said = case.said("win126_missing_dependency")
    told = bool(said) and (_about_torch(said) or case.torch_imported is False)
    if not said or not (told or case.pasted):
        return
    dll = said[0][1].get("dll", "")
    known = fault(dll, "windows")
    surely = known is not None and known.torch == public(case.torch_version or known.torch)
    wanted: tuple[Fix, ...] = ()
    if known is not None and surely:
        spec = remedies.pip(case, "install", *_release(case, known.good))
        wanted = (remedies.command(case, say("Install a release of torch that has the DLL"), *spec),)
    confidence: Confidence = "certain" if _about_torch(said) else "likely" if told else "possible"
    yield this.finding(
        say("A DLL that {dll} needs is missing", dll=dll or "torch"),
        why=say("torch {version} was published without {what}", version=known.torch, what=known.what)
        if known and surely
        else None,
        evidence=(
            *heard(said, 1),
            *((fact("torch.version", case.torch_version, case.facts.torch.look),) if case.torch_version else ()),
        ),
        fixes=(*wanted, _runtime(), *remedies.reinstall_torch(case, alternative=True)),
        confidence=confidence,
    )


CHECKS = (dll_import_order, vc_runtime_missing, dlls_mixed, dll_missing)
