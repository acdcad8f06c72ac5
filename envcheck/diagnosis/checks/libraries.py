"""EC312, EC316 to EC320, EC330: the shared libraries below torch are not the ones that it was built with."""

import re
from collections.abc import Iterator

from envcheck.catalogue.software import limit
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.packages import package, pins, same_version
from envcheck.diagnosis.torch_build import has_cuda, is_jetson
from envcheck.model.facts import Package
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence, Evidence, Finding, Fix, Severity
from envcheck.model.shell import quote
from envcheck.model.text import say
from envcheck.model.versions import at_least

BROKEN = ("EC311", "EC313", "EC315", "EC401", "EC404")
_CUDA_LIBRARY = regex(
    r"[\\/]lib(?P<stem>cublas|cublasLt|cusparse|cusolver|cufft|curand|cudart|nvJitLink|nvrtc|cupti|nccl)(?:-\w+)?\.so"
)
_CUDNN_LIBRARY = regex(r"[\\/]libcudnn\w*\.so")
_CUDA_FOLDER = regex(r"cuda|cudnn|nvidia|nccl|cublas", re.IGNORECASE)
_SUFFIX = regex(r"(?P<library>nvidia-[a-z-]+?)(?:-cu(?P<major>\d{2}))?$")


def wheel_libraries(case: Case) -> tuple[Package, ...]:
    """The packages `nvidia-*` of wheels: with them, no CUDA library of the system is wanted."""
    return tuple(one for one in case.facts.packages or () if one.name.startswith("nvidia-") and not one.build)


def _foreign(case: Case, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Mapped libraries that match `pattern` and do not lie in the environment that has wheels for them."""
    python = case.facts.python
    roots = [root.replace("\\", "/").rstrip("/") + "/" for root in (python.prefix, python.user_site) if root]
    if not roots or not wheel_libraries(case) or is_jetson(case):
        return ()
    paths = (path.replace("\\", "/") for path in case.facts.torch.mapped_libraries or ())
    outside = (path for path in paths if "/site-packages/" not in path and not path.startswith(tuple(roots)))
    return tuple(path for path in outside if pattern.search(path) and "/dist-packages/" not in path)


def _search_path(case: Case) -> Evidence | None:
    """LD_LIBRARY_PATH, when a folder in it looks like one of CUDA."""
    value = case.variable("LD_LIBRARY_PATH")
    return fact("variables[LD_LIBRARY_PATH]", value, "environment") if value and _CUDA_FOLDER.search(value) else None


def _without_search_path(case: Case) -> tuple[Fix, ...]:
    python = remedies.python_of(case)
    tried = ("env", "-u", "LD_LIBRARY_PATH", python, "-c", "import torch; print(torch.cuda.is_available())")
    return (
        remedies.command(case, say("Try it without LD_LIBRARY_PATH"), *tried),
        remedies.unset(case, "LD_LIBRARY_PATH"),
    )


@check(
    "EC317",
    "mixed-nvidia-wheels",
    cause="mixed_nvidia_wheels",
    explains=("EC312", "EC316", "EC318", "EC320", "EC348", *BROKEN),
    needs=("packages",),
    hears=("mixed_nvidia_wheels",),
)
def mixed_nvidia_wheels(this: Check, case: Case) -> Iterator[Finding]:
    """NVIDIA packages for two CUDA versions are installed together.

    What it means: one library is there for two major versions of CUDA, such as nvidia-nccl-cu11 and
    nvidia-nccl-cu12. They share a folder, so that files of one overwrite files of the other.

    Common causes: a requirements file that was frozen in one environment and installed into another; torch upgraded
    across a major version of CUDA; a package that brings its own CUDA.

    What to do: remove all packages nvidia-* and install torch again, or make a new environment.
    """
    majors: dict[str, dict[str, Package]] = {}
    for one in wheel_libraries(case):
        match = _SUFFIX.fullmatch(one.name)
        if match is not None and one.name.count("-") <= 3:
            majors.setdefault(match["library"], {})[match["major"] or "new"] = one
    mixed = [sorted(rows.items()) for _, rows in sorted(majors.items()) if len(rows) > 1]
    said = case.said("mixed_nvidia_wheels") if case.pasted else ()
    if not mixed and said:
        yield this.finding(
            say("NVIDIA packages for different CUDA versions are installed together"),
            evidence=heard(said, 1),
            fixes=remedies.reinstall_torch(case),
            severity="error" if case.said("nccl_mismatch") or case.said("ld_library_path_shadow") else "warning",
            confidence="likely",
        )
    if not mixed:
        return
    old = {rows[0][0] for rows in mixed} & {"11", "10"}
    slugs = ("nccl_mismatch", "ld_library_path_shadow", "nvidia_libs_missing")
    broken = case.torch_imported is False or any(case.said(slug) for slug in slugs)
    works = case.torch_imported is True and not broken and bool(case.cuda_available or not case.pasted)
    severity: Severity = "error" if broken else "info" if works else "warning"
    names = [one.name for rows in mixed for _, one in rows]
    yield this.finding(
        say("NVIDIA packages for different CUDA versions are installed together: {names}", names=", ".join(names[:4])),
        evidence=tuple(
            fact(f"packages[{one.name}]", one.version, "interpreter") for rows in mixed[:3] for _, one in rows
        ),
        fixes=(
            remedies.command(case, say("Remove them"), *remedies.pip(case, "uninstall", "-y", "torch", *names)),
            *remedies.reinstall_torch(case),
        ),
        severity=severity,
        confidence="certain" if broken or old else "likely",
    )


@check(
    "EC318",
    "nccl-mismatch",
    cause="nccl_mismatch",
    explains=("EC348", *BROKEN),
    needs=("torch_imported",),
    hears=("nccl_mismatch",),
)
def nccl_mismatch(this: Check, case: Case) -> Iterator[Finding]:
    """Another NCCL is loaded than torch was built with.

    What it means: torch's CUDA library asks libnccl for a function that the loaded libnccl does not have: an older
    one was found first.

    Common causes: another package brought an older nvidia-nccl; a system's or a cluster module's NCCL on
    LD_LIBRARY_PATH.

    What to do: put the version that torch pins in place and take the other one off the library path.
    """
    said = case.said("nccl_mismatch")
    if not said and case.torch_imported is not False:
        return
    torch = package(case, "torch")
    pinned = next((pin for pin in (pins(case, torch) if torch else ()) if pin.name.startswith("nvidia-nccl")), None)
    have = pinned.installed.version if pinned and pinned.installed else None
    differs = pinned is not None and have is not None and not same_version(have, pinned.wanted)
    if not said and not differs:
        return
    shown = heard(said, 1)
    fixes: tuple[Fix, ...] = ()
    if pinned is not None and have is not None and differs:
        shown = (*shown, fact(f"packages[{pinned.name}]", f"{have}, pinned {pinned.wanted}", "interpreter"))
        spec = f"{pinned.name}=={pinned.wanted}"
        what = say("Put the NCCL that torch pins in place")
        fixes = (remedies.command(case, what, *remedies.pip(case, "install", "--no-deps", spec)),)
    path = _search_path(case)
    yield this.finding(
        say("The NCCL library that is loaded is not the one that torch was built with"),
        why=say("It lacks the function {symbol}", symbol=said[0][1].get("symbol", "?")) if said else None,
        evidence=(*shown, *((path,) if path else ())),
        fixes=(
            *fixes,
            *(_without_search_path(case) if path else ()),
            *remedies.reinstall_torch(case, alternative=bool(fixes)),
        ),
        confidence="certain" if said and (differs or not case.pasted) else "likely",
    )


@check("EC319", "mkl-symbol", cause="mkl_symbol", explains=BROKEN, needs=("torch_imported",), hears=("mkl_symbol",))
def mkl_symbol(this: Check, case: Case) -> Iterator[Finding]:
    """This torch needs an older MKL.

    What it means: the builds of the conda channel `pytorch` use a function of Intel's MKL that newer releases of
    MKL no longer have, so that the import ends with "undefined symbol: iJIT_NotifyEvent".

    Common causes: conda took the newest MKL, or another package upgraded it.

    What to do: put the last MKL that has the function in place.
    """
    said = case.said("mkl_symbol")
    mkl = package(case, "mkl")
    too_new = bool(mkl and mkl.version and at_least(mkl.version, limit("mkl_without_notify")))
    conda = package(case, "pytorch")
    from_channel = bool(conda and conda.channel and conda.channel.rstrip("/").endswith("pytorch"))
    if not said and not (too_new and from_channel and case.torch_imported is False and not case.facts.torch.error_text):
        return
    yield this.finding(
        say("This torch needs an older MKL than the one that is installed"),
        evidence=(*heard(said, 1), *((fact("packages[mkl]", mkl.version, "interpreter"),) if mkl and too_new else ())),
        fixes=(
            remedies.command(
                case, say("Put an older MKL in place"), "conda", "install", "-y", f"mkl={limit('mkl_good')}"
            ),
            *remedies.reinstall_torch(case, alternative=True),
        ),
        confidence="certain" if said else "likely",
    )


@check(
    "EC316", "cudnn-shadow", cause="cudnn_shadow", explains=BROKEN, needs=("torch_imported",), hears=("cudnn_shadow",)
)
def cudnn_shadow(this: Check, case: Case) -> Iterator[Finding]:
    """Another cuDNN is loaded than the one that came with torch.

    What it means: torch brings its own cuDNN, and the loader found another one first. When the versions do not fit,
    convolutions fail.

    Common causes: a system's or cluster module's cuDNN on LD_LIBRARY_PATH; an image that has cuDNN installed; a
    second package that brings cuDNN.

    What to do: start Python without LD_LIBRARY_PATH, or take the folder with the other cuDNN out of it.
    """
    said = case.said("cudnn_shadow")
    foreign = _foreign(case, _CUDNN_LIBRARY)
    if not said and not foreign:
        return
    path = _search_path(case)
    groups = said[0][1] if said else {}
    why = None
    if "built" in groups:
        built, found = (groups[key].replace(", ", ".") for key in ("built", "found"))
        why = say("torch was built with {built}, loaded was {found}", built=built, found=found)
    yield this.finding(
        say("Another cuDNN is loaded than the one that belongs to torch"),
        why=why,
        evidence=(
            *heard(said, 1),
            *(fact("torch.mapped_libraries", one, "torch") for one in foreign[:2]),
            *((path,) if path else ()),
        ),
        fixes=(*_without_search_path(case), *remedies.reinstall_torch(case, alternative=True)),
        severity="error" if said else "info",
    )


@check(
    "EC312",
    "library-path-conflict",
    cause="ld_library_path_shadow",
    explains=("EC320", "EC337", *BROKEN),
    needs=("torch_imported",),
    hears=("ld_library_path_shadow", "cublas_invalid_value"),
)
def library_path_conflict(this: Check, case: Case) -> Iterator[Finding]:
    """A CUDA library of the system is loaded in place of torch's own.

    What it means: torch brings its CUDA libraries along, and the loader found one of another version first. Then a
    function is missing, and the import ends with "undefined symbol", or a calculation fails.

    Common causes: LD_LIBRARY_PATH with a CUDA toolkit in it; a cluster module; an image that has a CUDA toolkit;
    two packages nvidia-* that do not belong together.

    What to do: start Python without LD_LIBRARY_PATH. torch needs no toolkit of the system.
    """
    told = case.said("ld_library_path_shadow")
    said = told or case.said("cublas_invalid_value")  # a call that torch's own cuBLAS takes
    foreign = _foreign(case, _CUDA_LIBRARY)
    path = _search_path(case)
    undefined = "undefined symbol" in (case.facts.torch.error_text or "")
    suspected = case.torch_imported is False and undefined and path is not None and has_cuda(case) is not False
    specific = any(case.said(slug) for slug in ("nccl_mismatch", "mkl_symbol", "torchvision_mismatch", "cudnn_shadow"))
    if specific or not (said or foreign or suspected):
        return
    shown = (
        *heard(said, 1),
        *(fact("torch.mapped_libraries", one, "torch") for one in foreign[:3]),
        *((path,) if path else ()),
        *((fact("torch.error_text", case.facts.torch.error_text, "torch"),) if suspected and not said else ()),
    )
    confidence: Confidence = "likely"
    if said and (path or foreign):
        confidence = "certain"
    elif said and not told:
        confidence = "possible"
    other = next((groups["library"] for _, groups in told if "libstdc++" in groups.get("library", "")), None)
    yield this.finding(
        say("{path} is loaded in place of the environment's own library", path=other)
        if other
        else say("A CUDA library from outside the environment is loaded in place of torch's own"),
        evidence=shown,
        fixes=(*_without_search_path(case), *remedies.reinstall_torch(case, alternative=True)),
        severity="error" if said or suspected else "info",
        confidence=confidence,
    )


@check(
    "EC320",
    "nvidia-libraries-missing",
    cause="nvidia_libs_missing",
    explains=BROKEN,
    needs=("torch_imported",),
    hears=("nvidia_libs_missing",),
)
def nvidia_libraries_missing(this: Check, case: Case) -> Iterator[Finding]:
    """A CUDA library that torch or an extension needs is not there.

    What it means: the loader found no file of that name and version. The number in it tells which CUDA the module
    was built for.

    Common causes: torch was installed with `--no-deps`; a package nvidia-* was removed; an extension that was built
    for another major version of CUDA than torch; a torch for another Python or from a system package.

    What to do: install torch again with its dependencies. For an extension, install the wheel that was built for
    the CUDA of this torch.
    """
    said = case.said("nvidia_libs_missing")
    torch = package(case, "torch")
    absent = [
        pin
        for pin in (pins(case, torch) if torch and case.torch_imported is False and not case.pasted else ())
        if pin.installed is None and pin.name.startswith("nvidia-")
    ]
    if not said and not absent:
        return
    library = said[0][1].get("library", "") if said else absent[0].name
    if any(groups.get("library") == library for _, groups in case.said("torchvision_mismatch")):
        return  # torchvision alone misses it, which was built for another torch
    mine = case.build_cuda
    needs = re.search(r"cudart\.so\.(\d+)", library)
    other = mine is not None and needs is not None and mine.partition(".")[0] != needs[1].partition(".")[0]
    why = (
        say("It belongs to CUDA {needs}, and this torch to CUDA {cuda}", needs=needs[1], cuda=mine)
        if needs and other
        else None
    )
    beside = _cudnn_beside(case, library) if said and not absent else ()
    yield this.finding(
        say("The CUDA library {library} is missing", library=library),
        why=why,
        evidence=(
            *heard(said, 1),
            *(fact(f"packages[{pin.name}]", f"missing, pinned {pin.wanted}", "interpreter") for pin in absent[:4]),
        ),
        fixes=(*beside, *remedies.reinstall_torch(case, alternative=bool(beside))),
        confidence="certain" if absent or other or "torch" in (said[0][0].text if said else "") else "likely",
    )


def _cudnn_beside(case: Case, library: str) -> tuple[Fix, ...]:
    """Let another program (ctranslate2, onnxruntime) find the cuDNN that came with torch's wheel."""
    if "cudnn" not in library.casefold() or case.facts.host.os not in ("linux", None) or has_cuda(case) is not True:
        return ()
    code = 'import nvidia.cudnn as n; print(n.__path__[0] + "/lib")'
    where = f"{quote(remedies.python_of(case))} -c '{code}'"
    what = say("Show the program the cuDNN that lies in the environment")
    return (remedies.line(what, f'export LD_LIBRARY_PATH="$({where}):$LD_LIBRARY_PATH"'),)


@check("EC330", "openmp-twice", cause="omp_duplicate", explains=BROKEN, needs=("anything_said",))
def openmp_twice(this: Check, case: Case) -> Iterator[Finding]:
    """Two copies of the OpenMP runtime meet in one process.

    What it means: torch brings an OpenMP runtime, and another package brought a second one. The runtime stops the
    process, since two of them can give wrong results.

    Common causes: conda's and pip's packages mixed in one environment; a package that carries its own libiomp5 or
    libomp.

    What to do: keep one copy: install torch and the other package from the same source, best in a new environment.
    `KMP_DUPLICATE_LIB_OK=TRUE` only silences the runtime and may give wrong numbers.
    """
    said = case.said("omp_duplicate")
    if not said:
        return
    groups = next((groups for _, groups in said if "first" in groups), {})
    title = say("Two copies of the OpenMP runtime meet in this process")
    if groups:
        first, second = groups["first"], groups["second"]
        title = say("Two copies of the OpenMP runtime: {first} and {second}", first=first, second=second)
    yield this.finding(
        title,
        evidence=heard(said, 1),
        fixes=(
            remedies.command(
                case,
                say("Find the copies"),
                *(remedies.python_of(case), "-c", _FIND_OPENMP),
            ),
            remedies.step(say("Keep one: install torch and the package with the other copy from one source")),
            remedies.set_variable(case, "KMP_DUPLICATE_LIB_OK", "TRUE", alternative=True),
        ),
    )


_FIND_OPENMP = "import sys, pathlib; print(*pathlib.Path(sys.prefix).rglob('lib*omp*'), sep='\\n')"

CHECKS = (
    mixed_nvidia_wheels,
    nccl_mismatch,
    mkl_symbol,
    cudnn_shadow,
    library_path_conflict,
    nvidia_libraries_missing,
    openmp_twice,
)
