"""`envcheck install`: plan, show, ask, run, look again."""

from typing import TYPE_CHECKING, Any

import click

from envcheck.commands.clickwork import command, option
from envcheck.commands.looking import facts_from, look
from envcheck.commands.world import World
from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.facts import Facts
from envcheck.model.plan import Build, Plan, Rejection, Wish
from envcheck.model.report import Fix
from envcheck.model.shell import Shell
from envcheck.model.text import Text, say
from envcheck.recommend.commandline import COMPANIONS, MANAGERS, Manager, Place
from envcheck.recommend.fragments import FORMS, Form
from envcheck.recommend.imagine import SYSTEMS, Told

if TYPE_CHECKING:
    from envcheck.catalogue.mirrors import Mirror
    from envcheck.recommend.sources import Route

_PLANNERS = ("recommend.advice", "recommend.sources", "catalogue.releases", "catalogue.capabilities", "render.plans")
"""Modules that come after the look, to be imported while it waits."""
SHELLS = ("sh", "cmd", "powershell")


class Asked(Plain, frozen=True):
    """The command line."""

    requirements: tuple[str, ...]
    torch: str | None
    cuda: str | None
    variant: str | None
    pre: bool
    manager: str | None
    form: str
    mirror: str | None
    shell: str | None
    driver: str | None
    gpu: tuple[str, ...]
    os: str | None
    arch: str | None
    python_version: str | None
    glibc: str | None
    facts: str | None
    python: str | None
    deadline: float
    face: str
    yes: bool
    dry_run: bool
    verbose: bool

    @property
    def told(self) -> Told:
        """The machine as the command line describes it."""
        return Told(
            driver=self.driver,
            gpus=self.gpu,
            os=self.os,
            arch=self.arch,
            python=self.python_version,
            glibc=self.glibc,
        )

    @property
    def elsewhere(self) -> bool:
        """Whether the plan is for another machine, so that nothing can be run here."""
        return self.facts is not None or self.told.anything


@command("install")
@click.argument("requirements", nargs=-1)
@option("--torch", metavar="VERSION", help="The release: 2.6, or a specifier such as >=2.4,<2.9.")
@option("--cuda", metavar="VERSION", help="The CUDA toolkit of the build: 12.6.")
@option("--variant", metavar="NAME", help="The build's variant: cpu, cu126, rocm6.4, xpu, mps.")
@option("--pre", is_flag=True, help="Consider pre-releases too.")
@option(
    "--with", "manager", type=click.Choice(MANAGERS), help="What installs; pip unless the environment says otherwise."
)
@option("--print", "form", type=click.Choice(FORMS), default="commands", help="Print commands, or a piece of a file.")
@option(
    "--mirror", metavar="NAME", help="Fetch from a mirror: tuna, nju, ..., or auto to measure and take the fastest."
)
@option("--shell", type=click.Choice(SHELLS), help="Quote commands for this shell.")
@option("--driver", metavar="VERSION", help="Plan for a machine with this NVIDIA driver.")
@option("--gpu", metavar="NAME", multiple=True, help="Plan for this GPU: a product, a capability (8.6), or gfx1100.")
@option("--os", type=click.Choice(SYSTEMS), help="Plan for this operating system.")
@option("--arch", metavar="NAME", help="Plan for this architecture: x86_64, aarch64, arm64.")
@option("--python-version", metavar="VERSION", help="Plan for this version of Python.")
@option("--glibc", metavar="VERSION", help="Plan for a system with this glibc.")
@option("--facts", metavar="FILE", help="Plan for the machine of a snapshot or of pasted text (- for standard input).")
@option("--python", metavar="PATH", help="The interpreter or environment to install into.")
@option(
    "--deadline",
    type=click.FloatRange(min=0.5, max=86400),
    default=60.0,
    metavar="SECONDS",
    show_default=True,
    help="Stop looking after so many seconds.",
)
@option("--format", "face", type=click.Choice(("console", "json")), default="console", help="How to show the plan.")
@option("-y", "--yes", is_flag=True, help="Run the commands without asking.")
@option("--dry-run", is_flag=True, help="Show the plan and run nothing.")
@option("-v", "--verbose", is_flag=True, help="Show every other build for this system and why it is not the one.")
@click.pass_obj
def install(world: World, /, **given: Any) -> int:
    """Install the newest PyTorch that really works here, and say why it is that one.

    REQUIREMENTS narrow it as pip would write them: "torch>=2.4" torchvision.

    Without a terminal and without --yes nothing is run. Exit codes: 0 done or shown, 1 no build is right here,
    2 wrong usage, 4 a step failed, 130 interrupted.
    """
    asked = Asked(**given)
    _check_usage(asked)
    facts = _facts(world, asked)
    job = _job(world, asked, facts)
    shown = _show(world, asked, job)
    if job.plan.build is None:
        return Exit.FINDING
    if asked.dry_run or asked.elsewhere or asked.form != "commands" or not shown:
        return Exit.OK
    if not _agreed(world, asked):
        return Exit.OK
    from envcheck.commands.installing import carry_out

    return carry_out(world, facts, job.plan.build, job.steps, python=asked.python)


class Job(Plain, frozen=True):
    """The plan and all that carries it out."""

    plan: Plan
    manager: Manager
    place: Place
    way: "Route | None"
    packages: tuple[str, ...]
    steps: tuple[Fix, ...]
    remarks: tuple[Text, ...]


def _check_usage(asked: Asked) -> None:
    if asked.elsewhere and asked.yes:
        raise EnvcheckError(say("--yes installs here; --driver, --gpu, --os and --facts plan for another machine"))
    if asked.facts is not None and asked.python is not None:
        raise EnvcheckError(say("--facts reads a file; --python is for this machine"))
    if asked.yes and asked.form != "commands":
        raise EnvcheckError(say("--print writes a piece of a file; --yes runs commands"))


def _facts(world: World, asked: Asked) -> Facts:
    from envcheck.recommend.imagine import imagine

    if asked.facts is not None:
        base = facts_from(world, asked.facts)
    elif asked.os and asked.arch and asked.python_version:
        return imagine(asked.told, world.catalogue)
    else:
        base = _look(world, asked)
    return imagine(asked.told, world.catalogue, base) if asked.told.anything else base


def _look(world: World, asked: Asked) -> Facts:
    """Look at this machine without torch."""
    return look(world, python=asked.python, deadline=asked.deadline, torch=False, then=_PLANNERS)


def _wish(asked: Asked, manager: Manager) -> Wish:
    conda = manager in ("conda", "mamba", "pixi") or asked.form in ("environment", "pixi")
    return Wish(
        torch=asked.torch,
        cuda=_toolkit(asked.cuda),
        variant=asked.variant,
        pre=asked.pre,
        requirements=tuple(text for text in asked.requirements if text not in (*COMPANIONS, "torch")),
        conda=conda,
    )


def _toolkit(word: str | None) -> str | None:
    """`12.6`, also from `cu126` and `126`."""
    digits = (word or "").casefold().removeprefix("cuda").removeprefix("cu")
    return f"{digits[:-1]}.{digits[-1]}" if digits.isdigit() and len(digits) > 1 else digits or None


def _packages(asked: Asked) -> tuple[str, ...]:
    """The companions that are asked for: all of them unless requirements name some packages and not others."""
    if not asked.requirements:
        return COMPANIONS
    return tuple(name for name in COMPANIONS if any(text.startswith(name) for text in asked.requirements))


def _job(world: World, asked: Asked, facts: Facts) -> Job:
    from envcheck.recommend.commandline import place_of
    from envcheck.recommend.resolve import resolve
    from envcheck.recommend.wishes import check

    manager = _manager(asked, facts)
    wish = _wish(asked, manager)
    check(wish, world.catalogue)
    plan = resolve(facts, world.catalogue, wish)
    place = place_of(facts).but(has_gpu=not asked.elsewhere)
    if asked.elsewhere:
        place = place.but(python="python", prefix=None)
    packages = _packages(asked)
    if plan.build is None:
        return Job(plan, manager, place, None, packages, (), ())
    mirror = _mirror(world, asked, plan.build, place)
    plan = _as_mirrored(plan, mirror)
    way = _way(world, plan, mirror)
    steps = _steps(world, asked, facts, Job(plan, manager, place, way, packages, (), ()))
    return Job(plan, manager, place, way, packages, steps, (*way.notes, *_remarks(asked, facts)))


def _manager(asked: Asked, facts: Facts) -> Manager:
    from envcheck.recommend.commandline import manager_of

    if asked.manager is not None:
        return next(name for name in MANAGERS if name == asked.manager)
    return "pip" if asked.elsewhere else manager_of(facts)


def _mirror(world: World, asked: Asked, build: Build, place: Place) -> "Mirror | None":
    if asked.mirror is None:
        return None
    from envcheck.catalogue.mirrors import mirror, mirrors

    own = world.system.env("ENVCHECK_MIRRORS")
    if asked.mirror != "auto":
        return mirror(asked.mirror, own)
    from envcheck.commands.fastest import fastest

    return fastest(world, build, mirrors(own), place.python_version)


def _as_mirrored(plan: Plan, mirror: "Mirror | None") -> Plan:
    """Another right variant of the same release where only that one is on a mirror of the default index."""
    from msgspec.structs import replace

    from envcheck.recommend.sources import prefers_default_index

    chosen = plan.build
    if chosen is None or mirror is None or not prefers_default_index(chosen, mirror):
        return plan
    other = next((one for one in plan.rejected if one.rule == "variant" and one.build.on_default_index), None)
    if other is None:
        return plan
    why = say("{variant} and not {other}: it is the one that {mirror} has", variant=other.build.variant,
              other=chosen.variant, mirror=mirror.title)  # fmt: skip
    rejected = tuple(
        Rejection(build=chosen, rule="variant", reason=why) if one is other else one for one in plan.rejected
    )
    return replace(plan, build=other.build, rejected=rejected, notes=(*plan.notes, why))


def _way(world: World, plan: Plan, mirror: "Mirror | None") -> "Route":
    from envcheck.recommend.sources import route

    assert plan.build is not None
    if mirror is None:
        return route(plan.build, world.catalogue)
    from envcheck.catalogue.mirrors import mirrors

    return route(plan.build, world.catalogue, mirror, mirrors(world.system.env("ENVCHECK_MIRRORS")).values())


def _steps(world: World, asked: Asked, facts: Facts, job: Job) -> tuple[Fix, ...]:
    from envcheck.recommend.commandline import install_steps

    assert job.plan.build is not None
    assert job.way is not None
    steps = install_steps(job.plan.build, job.manager, job.way, world.catalogue, job.place, job.packages)
    shell = _shell(asked, facts)
    return tuple(Fix(what=step.what, argv=step.argv, shell=step.shown(shell)) for step in steps)


def _shell(asked: Asked, facts: Facts) -> Shell:
    words: dict[str, Shell] = {"sh": "sh", "cmd": "cmd", "powershell": "powershell"}
    return words[asked.shell or ("powershell" if facts.host.os == "windows" else "sh")]


def _remarks(asked: Asked, facts: Facts) -> tuple[Text, ...]:
    """What stands in the way of running the commands here."""
    if asked.elsewhere or asked.manager in ("conda", "mamba", "pixi", "poetry"):
        return ()
    if facts.python.externally_managed and facts.python.kind != "venv":
        return (say("this Python belongs to the system and refuses pip: make a virtual environment and use --python"),)
    return ()


def _show(world: World, asked: Asked, job: Job) -> bool:
    """Show the plan, or the piece of a file that was asked for; whether there is something to run."""
    from envcheck.render.plans import Shown, document, screen

    if asked.form != "commands" and job.plan.build is not None and job.way is not None:
        from envcheck.recommend.fragments import render

        form: Form = next(name for name in FORMS if name == asked.form)
        text = render(form, job.plan.build, job.way, world.catalogue, job.place, job.packages, job.manager)
        world.write(text)
        for note in (job.plan.reason, *job.plan.notes, *job.remarks):
            world.warn(note)
        return False
    shown = Shown(job.plan, job.steps, job.remarks)
    if asked.face == "json":
        world.write(document(shown, world.voice, world.out))
        return asked.yes
    world.write(screen(shown, world.voice, world.terminal, verbose=asked.verbose))
    return True


def _agreed(world: World, asked: Asked) -> bool:
    """Whether the commands may run: `--yes`, or a person at a terminal who says so."""
    if asked.yes:
        return True
    if not (world.terminal.tty and world.stdin.isatty()):
        return False
    world.write("\n" + world.voice(say("Run this? [y/N] ")))
    world.flush()
    return world.stdin.readline().strip().casefold() in ("y", "yes", "是", "好")
