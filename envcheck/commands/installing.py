"""The steps of an installation, run with the installer's own words on the screen; then a second look."""

from collections.abc import Sequence

import msgspec

from envcheck.commands.looking import examine, look
from envcheck.commands.progress import Progress
from envcheck.commands.world import World
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.facts import Facts, Message, Torch
from envcheck.model.plan import Build
from envcheck.model.report import Examination, Fix
from envcheck.model.text import Text, say
from envcheck.model.versions import numbers

LOOK_AGAIN = 180.0
"""Seconds for the second look: the first import of a fresh torch reads gigabytes."""
LOOK_FOR_HALVES = 15.0
"""Seconds in which the packages that a broken step left are looked for."""
ASK_FIRST = 5.0
"""Seconds in which the package servers must answer before the download."""
_ERRORS = ("EC6",)


def carry_out(world: World, facts: Facts, build: Build, steps: Sequence[Fix], *, python: str | None) -> int:
    """Run the steps in order, then verify; the exit code."""
    _preflight(world, facts, steps)
    for step in steps:
        world.write("\n")
        try:
            failure = _run(world, step)
        except KeyboardInterrupt:
            _take_back(world, facts, step, python)
            raise
        if failure is not None:
            _explain(world, facts, step, failure)
            _take_back(world, facts, step, python)
            return Exit.STEP
    if steps[0].argv[0] in ("conda", "mamba", "pixi", "poetry"):
        world.write("\n" + world.voice(say("Activate the environment, then run: envcheck doctor")) + "\n")
        return Exit.OK
    return _verify(world, build, python=python)


def _preflight(world: World, facts: Facts, steps: Sequence[Fix]) -> None:
    """Proxies, settings, disks and hosts that would spoil the download, told before it."""
    from envcheck.probes.network import before_download

    name = world.voice(say("the way to the package servers"))
    with Progress(world, ASK_FIRST) as progress:
        progress.began(name)
        asked = before_download(world.system, facts, [word for step in steps for word in step.argv], ASK_FIRST)
        progress.ended(name)
    report = examine(world, asked, select=_ERRORS).report
    told = [finding for finding in report.findings if finding.severity != "info" and finding.caused_by is None]
    for finding in told:
        world.warn(finding.title)
        for fix in finding.fixes[:1]:
            world.warn(fix.what)
            if fix.shell:
                world.warn(Text(msgid="    {line}", values={"line": fix.shell}))


def _run(world: World, step: Fix) -> str | None:
    """Run one step; None when it went well, else what the installer said."""
    from envcheck.probes.follow import follow
    from envcheck.render.clean import clean

    argv = _real(world, step.argv)
    name = world.voice(step.what)
    with Progress(world, float("inf")) as progress:
        progress.began(name)

        def heard(line: str) -> None:
            world.write(clean(line) + "\n")

        ran = follow(argv, _environment(world), world.system.cwd(), heard)
        progress.ended(name)
    if ran.state == "absent":
        raise EnvcheckError(
            say("{program} is not installed here", program=step.argv[0]),
            mend=say("install it, or choose another with --with"),
            code=Exit.STEP,
        )
    return None if ran.state == "ok" else ran.stdout or (ran.detail or ran.state)


def _take_back(world: World, facts: Facts, step: Fix, python: str | None) -> None:
    """Take away what a broken step left: an installer calls a package installed before all its files are there."""
    from envcheck.probes.collect import Options, collect
    from envcheck.probes.follow import follow

    start = _uninstaller(step.argv)
    if facts.packages is None or start is None:
        return
    before = {package.name: package.version for package in facts.packages}
    now = collect(world.system, Options(python=python, deadline=LOOK_FOR_HALVES, torch=False)).packages or ()
    halves = [one for one in now if before.get(one.name) != one.version]
    if not halves:
        return
    argv = [*start, *(one.name for one in halves)]
    ran = follow(_real(world, argv), _environment(world), world.system.cwd(), lambda _: None)
    names = ", ".join(f"{one.name} {one.version}" for one in halves)
    if ran.state == "ok":
        world.warn(say("Taken away again, for they may be incomplete: {names}", names=names))
    else:
        world.warn(say("These may be incomplete; uninstall them before the next try: {names}", names=names))
    gone = ", ".join(f"{one.name} {before[one.name]}" for one in halves if one.name in before)
    if gone:
        world.warn(say("Replaced, and no longer there: {names}", names=gone))


def _uninstaller(argv: Sequence[str]) -> tuple[str, ...] | None:
    """The beginning of the command that undoes an `install` of pip or uv; conda undoes its own."""
    if "install" not in argv or not {"pip", "uv"} & set(argv):
        return None
    if argv[:2] == ("uv", "pip"):
        return ("uv", "pip", "uninstall", *argv[3:5]) if argv[3:4] == ("--python",) else None
    return (*argv[: argv.index("install")], "uninstall", "-y")


def _real(world: World, argv: Sequence[str]) -> list[str]:
    """The argv with the places that redaction wrote as `~` and `$USER`; programs by their absolute paths."""
    home, user = world.system.home(), world.system.user()
    words = [_unredacted(word, home, user) for word in argv]
    if "/" not in words[0] and "\\" not in words[0]:
        words[0] = world.system.which(words[0], trusted=False) or words[0]
    return words


def _unredacted(word: str, home: str | None, user: str | None) -> str:
    if home and (word == "~" or word.startswith(("~/", "~\\"))):
        word = home + word[1:]
    return word.replace("$USER", user) if user else word


def _environment(world: World) -> dict[str, str]:
    """Installers ask no questions, draw no bars into a pipe, and speak UTF-8 on Windows too."""
    quiet = {
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "CONDA_ALWAYS_YES": "1",
    }
    return {**world.system.environ, **quiet}


def _explain(world: World, facts: Facts, step: Fix, said: str) -> None:
    """What the failed installer's lines mean, and the next honest step."""
    message = Message(kind="error", text=said[-65536:], look="text", where="installer")
    command = Message(kind="command", text=step.shell, look="text", where="installer")
    told = msgspec.structs.replace(facts, messages=(*facts.messages, command, message))
    finding = _root(examine(world, told, select=_ERRORS))
    world.write("\n")
    world.warn(say("The step failed: {what}", what=world.voice(step.what)))
    if finding is None:
        world.warn(say("Its own last lines say why; nothing was recognised in them."))
        return
    code, title, why, fixes = finding
    world.warn(Text(msgid="{code}  {title}", values={"code": code, "title": world.voice(title)}))
    if why is not None:
        world.warn(why)
    for fix in fixes:
        world.warn(Text(msgid="  {what}", values={"what": world.voice(fix.what)}))
        if fix.shell:
            world.warn(Text(msgid="    {line}", values={"line": fix.shell}))


def _root(examination: Examination) -> tuple[str, Text, Text | None, tuple[Fix, ...]] | None:
    """The primary finding, if any is worse than a hint."""
    report = examination.report
    found = report.primary_finding
    if found is None:
        found = next((one for one in report.findings if one.severity != "info"), None)
    return None if found is None else (found.code, found.title, found.why, found.fixes)


def _verify(world: World, build: Build, *, python: str | None) -> int:
    """Look again: the version that was planned, and a first kernel with its backward pass on every device."""
    facts = look(world, python=python, deadline=LOOK_AGAIN, torch=True)
    trouble = trouble_with(facts.torch, build)
    if trouble is None:
        world.write("\n" + world.voice(_success(facts.torch)) + "\n")
        return Exit.OK
    world.write("\n")
    world.warn(trouble)
    world.warn(say("envcheck doctor says why"))
    return Exit.STEP


def trouble_with(torch: Torch, build: Build) -> Text | None:
    """What is wrong with the torch that is there now, compared with the build that was planned."""
    if not torch.imported:
        said = (torch.error_text or "?").splitlines() or ["?"]
        return say("installed, but torch cannot be imported: {error}", error=said[-1])
    if torch.version is None or numbers(torch.version) != numbers(build.torch):
        return say("torch {there} is there instead of {planned}", there=torch.version or "?", planned=build.torch)
    if build.variant == "cpu":
        return None if torch.cpu_kernel_ok else say("a first computation on the processor went wrong")
    return _trouble_with_cuda(torch, build) if build.cuda else _broken_device(torch)


def _trouble_with_cuda(torch: Torch, build: Build) -> Text | None:
    if torch.cuda is None:
        return say("a build without CUDA was installed instead of {variant}", variant=build.variant)
    if not torch.cuda_available:
        return say("torch.cuda.is_available() is False: {error}", error=torch.available_error or "?")
    return _broken_device(torch)


def _broken_device(torch: Torch) -> Text | None:
    broken = next((one for one in torch.devices or () if one.kind != "cpu" and one.kernel_ok is False), None)
    if broken is None:
        return None
    name = broken.name or f"{broken.kind}:{broken.index}"
    return say("a first kernel on {name} failed: {error}", name=name, error=broken.kernel_error or "?")


def _success(torch: Torch) -> Text:
    devices = ", ".join(one.name or f"{one.kind}:{one.index}" for one in torch.devices or () if one.kernel_ok)
    version = torch.version or "?"
    if not devices:
        return say("torch {version} works: a first computation with its backward pass went right.", version=version)
    return say("torch {version} works on {devices}: a first kernel with its backward pass went right.", version=version,
               devices=devices)  # fmt: skip
