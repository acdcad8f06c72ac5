"""EC701 to EC706: the CUDA toolkit and compilers, which wheels do not need and builds of extensions do."""

from collections.abc import Iterator

from envcheck.catalogue.software import page
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.model.facts import Tool
from envcheck.model.report import Finding, Fix
from envcheck.model.text import say
from envcheck.model.versions import minor, numbers


def _nvcc(case: Case) -> Tool | None:
    tools = case.facts.tools or ()
    return next((one for name in ("nvcc", "cuda-toolkit") for one in tools if one.name == name and one.version), None)


@check("EC704", "toolkit-build-mismatch", cause="nvcc_mismatch_build", explains=("EC701",), needs=("anything_said",))
def toolkit_build_mismatch(this: Check, case: Case) -> Iterator[Finding]:
    """An extension cannot be built with this toolkit.

    What it means: extensions of torch must be compiled with the CUDA version that torch was built with. The toolkit
    that was found has another major version.

    Common causes: the newest toolkit on the system and an older torch, or the other way round; CUDA_HOME that points
    to another toolkit.

    What to do: take a ready wheel of the extension; or install the toolkit of torch's CUDA version and point
    CUDA_HOME to it; or a torch that was built for the toolkit's version.
    """
    said = case.said("nvcc_mismatch_build")
    if not said:
        return
    groups = said[0][1]
    yield this.finding(
        say(
            "The toolkit is CUDA {nvcc}, and torch was built with CUDA {built}",
            nvcc=groups["nvcc"],
            built=groups["built"],
        ),
        evidence=heard(said, 1),
        fixes=(
            remedies.step(say("Install the CUDA {built} toolkit and point CUDA_HOME to it", built=groups["built"])),
            *remedies.reinstall_torch(case, alternative=True),
        ),
    )


@check("EC705", "toolkit-missing-for-build", cause="cuda_home_unset", needs=("anything_said",))
def toolkit_missing_for_build(this: Check, case: Case) -> Iterator[Finding]:
    """An extension is to be built, and no CUDA toolkit was found.

    What it means: torch itself needs no toolkit. Compiling an extension for the GPU does, and none was found: neither
    by CUDA_HOME, nor by nvcc on PATH, nor at its usual place.

    Common causes: a package without a ready wheel for this torch, Python and system.

    What to do: look for a ready wheel of the package first. Otherwise install the toolkit of torch's CUDA version.
    """
    said = case.said("cuda_home_unset")
    if not said:
        return
    cuda = case.build_cuda
    toolkit = (
        remedies.command(
            case,
            say("Install the compiler of that CUDA version with conda"),
            *(
                "conda",
                "install",
                "-y",
                "-c",
                "conda-forge",
                f"cuda-nvcc={minor(cuda)}",
                f"cuda-version={minor(cuda)}",
            ),
        )
        if cuda and case.facts.python.kind == "conda"
        else remedies.step(say("Install the CUDA toolkit of torch's CUDA version and set CUDA_HOME to its folder"))
    )
    yield this.finding(
        say("A package must be compiled for CUDA, and no CUDA toolkit was found"),
        evidence=heard(said, 1),
        fixes=(remedies.step(say("Look for a ready wheel of that package for this torch, CUDA and Python")), toolkit),
    )


@check("EC706", "compiler-too-new", cause="compiler_too_new", needs=("anything_said",))
def compiler_too_new(this: Check, case: Case) -> Iterator[Finding]:
    """The CUDA compiler does not know this host compiler.

    What it means: every CUDA toolkit works with certain versions of gcc, clang or Visual Studio, and this one is
    newer.

    Common causes: a new distribution or a new Visual Studio with an older toolkit.

    What to do: install an older compiler and name it in CC and CXX, or a newer toolkit.
    """
    said = case.said("compiler_too_new")
    if not said:
        return
    newest = said[0][1].get("newest")
    fixes: tuple[Fix, ...] = (remedies.step(say("Use an older compiler, or a newer CUDA toolkit")),)
    if newest and case.facts.host.os != "windows":
        use = say("Use gcc {newest}, once it is installed", newest=newest)
        fixes = (remedies.line(use, f"export CC=gcc-{newest} CXX=g++-{newest}"),)
    yield this.finding(
        say("The host compiler is newer than this CUDA toolkit knows"),
        evidence=heard(said, 1),
        fixes=fixes,
    )


@check("EC703", "compiler-missing", cause="compiler_missing", needs=("anything_said",), hears=("compiler_missing",))
def compiler_missing(this: Check, case: Case) -> Iterator[Finding]:
    """There is no C compiler.

    What it means: something that needs a compiler ran and found none. torch itself runs without one;
    `torch.compile`, Triton kernels and extensions need one.

    Common causes: a slim image; Windows without the build tools.

    What to do: install a compiler when the program uses `torch.compile` or builds extensions.
    """
    said = case.said("compiler_missing")
    if not said:
        return
    message, groups = said[0]
    windows = case.facts.host.os == "windows" or "Visual C++" in message.text or groups.get("compiler") == "cl"
    yield this.finding(
        say("There is no C compiler, which torch.compile and extensions need"),
        evidence=heard(said, 1),
        fixes=(remedies.step(say("Install the Visual C++ build tools: {url}", url=page("build_tools"))),)
        if windows
        else remedies.install_compiler(case),
    )


@check("EC702", "cuda-home-astray", severity="info", needs=("tools", "variables"))
def cuda_home_astray(this: Check, case: Case) -> Iterator[Finding]:
    """CUDA_HOME points to no toolkit.

    What it means: the variable names a folder in which no CUDA toolkit was found. torch does not care. Building an
    extension would fail.

    Common causes: a toolkit that was removed or upgraded; a variable that was copied from another machine.

    What to do: correct or unset the variable when extensions are to be built.
    """
    tools = case.facts.tools
    for name in ("CUDA_HOME", "CUDA_PATH"):
        value = case.variable(name)
        if not value or tools is None or case.pasted:
            continue
        root = value.rstrip("/\\").casefold()
        found = any(
            (one.path or "").casefold().startswith(root) for one in tools if one.name in ("nvcc", "cuda-toolkit")
        )
        if not found:
            yield this.finding(
                say("{name} points to a folder without a CUDA toolkit: {path}", name=name, path=value),
                evidence=(fact(f"variables[{name}]", value, "environment"),),
                fixes=(remedies.unset(case, name),),
            )
            return


@check("EC701", "toolkit-differs", severity="info", needs=("tools", "build_cuda"))
def toolkit_differs(this: Check, case: Case) -> Iterator[Finding]:
    """The CUDA toolkit of the system is another version than torch's CUDA.

    What it means: nothing for running torch. Its builds bring their own CUDA libraries, and only the driver of the
    system matters. Building extensions would want the same major version.

    Common causes: a toolkit that was installed for something else.

    What to do: nothing.
    """
    nvcc, cuda = _nvcc(case), case.build_cuda
    if nvcc is None or nvcc.version is None or cuda is None or case.facts.host.jetson:
        return
    if numbers(nvcc.version)[:2] != numbers(cuda)[:2]:
        yield this.finding(
            say(
                "The installed CUDA toolkit is {nvcc}, torch's CUDA is {cuda}: that does not matter for running torch",
                nvcc=minor(nvcc.version),
                cuda=cuda,
            ),
            evidence=(
                fact("tools[nvcc]", nvcc.version, "settings", nvcc.path),
                fact("torch.cuda", cuda, case.facts.torch.look),
            ),
        )


CHECKS = (
    toolkit_build_mismatch,
    toolkit_missing_for_build,
    compiler_too_new,
    compiler_missing,
    cuda_home_astray,
    toolkit_differs,
)
