"""All looks side by side under one budget, and their facts put together, redacted and frozen.

The target's child starts first and takes longest; the driver's child and the files are looked at meanwhile. Every
look runs in a thread of its own, so that one that hangs (a dead network home, a stuck driver file) costs its own
answer and nothing else.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from envcheck import __version__
from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError
from envcheck.model.facts import Facts, Message, Observation, Python, State
from envcheck.model.shell import join
from envcheck.model.text import say
from envcheck.probes import headstart, interpreter, packages
from envcheck.probes.launch import child_environment, target_worker
from envcheck.probes.outcome import since
from envcheck.probes.system import System
from envcheck.probes.worker import Worker, WorkerResult

START_LIMIT = 20.0
"""Seconds in which an interpreter must have said who it is; what takes longer is something else."""
MARGIN = 0.1
"""Seconds of the budget that are kept for ending children and for the report."""
GRACE = 0.005
"""Seconds for which a look has the processor to itself: most need less, and threads that take turns cost a tenth."""


class Watch(Protocol):
    """Is told when a look begins and when it has ended, from any thread."""

    def began(self, look: str) -> None:
        """A look has begun."""

    def ended(self, look: str) -> None:
        """A look has ended, however."""


class Options(Plain, frozen=True):
    """What to look at: `python` as given to `--python`, `deadline` in seconds for all looks together.

    `meanwhile` is called once the looks are under way: a little work for the time of waiting.
    """

    python: str | None = None
    deadline: float = headstart.DEADLINE
    torch: bool = True
    watch: Watch | None = None
    meanwhile: Callable[[], None] | None = None


def collect(system: System, options: Options | None = None) -> Facts:
    """Look at the machine; the facts are redacted.

    Raises:
        EnvcheckError: `options.python` names nothing that is a Python interpreter.
    """
    options = options or Options()
    # The deadline counts from the start of the program, as its user sees it.
    begun = time.monotonic() - min(time.process_time(), 0.3)
    until = begun + options.deadline - min(MARGIN, options.deadline / 4)
    choice = interpreter.choose(system, options.python)
    watch = options.watch or _Silent()
    watch.began("interpreter")
    target = _start(system, choice.path, options, until)
    try:
        return _gathered(system, options, choice, target, until, watch)
    finally:
        target.close()


def _start(system: System, python: str, options: Options, until: float) -> Worker:
    env, cwd = child_environment(system.environ), system.cwd()
    head = None if system.fake else headstart.taken(python, options.torch, options.deadline, env, cwd)
    headstart.abandon()
    script, files = target_worker(torch=options.torch, limit=until - time.monotonic()) if head is None else ("", {})
    return Worker([python, "-B"], script, {}, env, cwd, files, head)


def _gathered(
    system: System, options: Options, choice: interpreter.Choice, target: Worker, until: float, watch: Watch
) -> Facts:
    driver = _Look("driver", lambda: _driver(system, until), watch)
    host = _Look("host", lambda: _host(system), watch)
    amd = _Look("amd", lambda: _amd(system), watch)
    from envcheck.probes import network, redact, settings, variables  # noqa: F401 - for later, while the child works

    values = {"interpreter": target.value("interpreter", min(until, target.begun + START_LIMIT))}
    watch.ended("interpreter")
    seen = packages.interpreter_facts(values, choice.path, choice.chosen_by)
    route = _Look("settings", lambda: _route(system, seen), watch)
    pip = interpreter.pip_python(system)
    watch.began("torch")
    if options.meanwhile is not None:
        options.meanwhile()
    result = target.finish(until if values["interpreter"] is not None else time.monotonic())
    watch.ended("torch")
    if options.python is not None and result.values.get("interpreter") is None:
        _refuse(options.python, result)
    parts = [look.answer(until + MARGIN) for look in (driver, host, amd, route)]
    python = packages.interpreter_facts(result.values, choice.path, choice.chosen_by, choice.candidates, pip)
    return _together(system, options, python, result, parts)


def _together(system: System, options: Options, python: Python, result: WorkerResult, parts: list["Part"]) -> Facts:
    from envcheck.probes import variables
    from envcheck.probes.redact import redact, secrets_of

    facts = Facts(
        taken_by=f"envcheck {__version__}",
        taken_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        python=python,
        torch=packages.torch_facts(result),
        packages=packages.package_facts(result.values),
        variables=variables.look(system),
    )
    observations = [seen for part in parts for seen in part.observations]
    observations += packages.observations_of(result, torch=options.torch)
    messages = [said for part in parts for said in part.messages] + list(packages.messages_of(result))
    values: dict[str, Any] = {name: value for part in parts for name, value in part.facts.items()}
    if "host" in values:
        from envcheck.probes.host import with_target

        values["host"] = with_target(system, values["host"], python.prefix)
    whole = msgspec.structs.replace(facts, observations=tuple(observations), messages=tuple(messages), **values)
    return redact(whole, secrets_of(system))


class Part(Plain, frozen=True):
    """Some of the facts, by the names that they have in `Facts`."""

    facts: dict[str, Any] = {}
    observations: tuple[Observation, ...] = ()
    messages: tuple[Message, ...] = ()


class _Look:
    """A look under way in a thread of its own."""

    def __init__(self, name: str, work: Callable[[], Part], watch: Watch) -> None:
        self._name, self._work, self._watch = name, work, watch
        self._begun = time.monotonic()
        self._part: Part | None = None
        watch.began(name)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._thread.join(GRACE)

    def _run(self) -> None:
        try:
            self._part = self._work()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the other looks must go on
            self._part = Part(observations=(self._died("failed", f"{type(error).__name__}: {error}"),))
        finally:
            self._watch.ended(self._name)

    def answer(self, until: float) -> Part:
        """What it found by `until`; a look that takes longer is left alone."""
        self._thread.join(max(0.01, until - time.monotonic()))
        self._watch.ended(self._name)
        return self._part or Part(observations=(self._died("timeout", None),))

    def _died(self, state: State, detail: str | None) -> Observation:
        return Observation(look=self._name, state=state, ms=since(self._begun), detail=detail)


class _Silent:
    def began(self, look: str) -> None:
        """Nobody is told."""

    def ended(self, look: str) -> None:
        """Nobody is told."""


def _driver(system: System, until: float) -> Part:
    from envcheck.probes import nvidia

    found, observations, messages = nvidia.start(system, until).finish()
    return Part({"nvidia": found}, observations, messages)


def _host(system: System) -> Part:
    from envcheck.probes import host

    found, pci, observations = host.look(system)
    return Part({"host": found, "pci": pci}, observations)


def _amd(system: System) -> Part:
    from envcheck.probes import amd

    found, observations = amd.look(system)
    return Part({"amd": found}, observations)


def _route(system: System, python: Python) -> Part:
    from envcheck.probes import network, settings

    found, tools, observations = settings.look(system, python, system.cwd())
    proxies, routes, more = network.look(system, found, python)
    facts = {"settings": found, "tools": tools, "proxies": proxies, "routes": routes}
    return Part(facts, (*observations, *more))


def _refuse(asked: str, result: WorkerResult) -> None:
    """Say that what a person named is no interpreter, unless it is one that this look cannot read."""
    if "interpreter" in result.errors:
        return
    lines = packages.cleaned(result.output).split("\n")
    words = [line.strip() for line in lines if line.strip() and "script.py" not in line]
    why = result.signal or result.detail or result.state
    what = say("not a Python interpreter, or one that cannot start: {why}", why=": ".join([why, *words[-1:]])[:300])
    raise EnvcheckError(what, where=asked, mend=say("try `{command}`", command=join([asked, "--version"])))
