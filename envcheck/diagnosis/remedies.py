"""Fixes that more than one check offers. Pure: from what is known of the machine to steps and commands."""

from collections.abc import Iterable

import msgspec

from envcheck.catalogue.remedies import distribution, last_branch, page
from envcheck.diagnosis.case import Case
from envcheck.model.patterns import regex
from envcheck.model.plan import Plan
from envcheck.model.report import Fix
from envcheck.model.shell import Shell, join, quote
from envcheck.model.text import Text, say

_NAME = "CUDA_VISIBLE_DEVICES"
_VARIABLE = regex(r"[A-Za-z_][A-Za-z0-9_]{0,80}")
_BRANCH = regex(r"[0-9]{2,4}")


# --- building blocks ----------------------------------------------------------------------------------------------


def shell_of(case: Case) -> Shell:
    """The shell that the person will paste into: PowerShell on Windows, else sh."""
    return "powershell" if case.facts.host.os == "windows" else "sh"


def command(case: Case, what: Text, *argv: str, alternative: bool = False) -> Fix:
    """A step with one program call, quoted for the examined machine's shell."""
    return Fix(what=what, argv=argv, shell=join(argv, shell_of(case)), alternative=alternative)


def as_root(case: Case, what: Text, *argv: str, alternative: bool = False) -> Fix:
    """A program call with the rights of the administrator: by sudo, on Windows from a shell that has them."""
    if shell_of(case) != "powershell":
        return command(case, what, "sudo", *argv, alternative=alternative)
    return command(case, what, *argv, alternative=alternative)


def line(what: Text, shell: str, *, alternative: bool = False) -> Fix:
    """A step whose line needs a shell (a pipe, an expansion, two commands)."""
    return Fix(what=what, shell=shell, alternative=alternative)


def step(what: Text, *, alternative: bool = False) -> Fix:
    """A step without a command: a setting, a BIOS switch, a page to read."""
    return Fix(what=what, alternative=alternative)


def lines(what: Text, shells: Iterable[str], *, alternative: bool = False) -> tuple[Fix, ...]:
    """Several lines of one step: one fix with the lines joined by `&&`, none when there are no lines."""
    joined = " && ".join(shells)
    return (line(what, joined, alternative=alternative),) if joined else ()


def otherwise(*fixes: Fix) -> tuple[Fix, ...]:
    """The same steps as another way: its first is marked, the others follow it."""
    return tuple(msgspec.structs.replace(fix, alternative=not place) for place, fix in enumerate(fixes))


# --- Python and torch ---------------------------------------------------------------------------------------------


def python_of(case: Case) -> str:
    """How to call the examined interpreter in a command."""
    return case.facts.python.path or "python"


def pip(case: Case, *words: str) -> tuple[str, ...]:
    """`pip` of the examined interpreter as argv; uv's pip where the interpreter has none."""
    if case.facts.python.has_pip is False and words:
        if words == ("cache", "purge"):
            return ("uv", "cache", "clean")
        return ("uv", "pip", words[0], "--python", python_of(case), *(word for word in words[1:] if word != "-y"))
    return (python_of(case), "-m", "pip", *words)


def envcheck(case: Case, what: Text, *words: str, alternative: bool = False) -> Fix:
    """A call of envcheck itself, for the interpreter that was examined."""
    target = ("--python", python_of(case)) if case.facts.python.chosen_by == "--python" else ()
    return command(case, what, "envcheck", *words, *target, alternative=alternative)


def reinstall_torch(case: Case, *, alternative: bool = False) -> tuple[Fix, ...]:
    """Put the build in place that suits this machine: the plan's commands, else `envcheck install`."""
    plan = case.plan
    if plan is None or plan.build is None:
        if case.pasted and not alternative:
            from envcheck.diagnosis.conditional import conditional

            return conditional(case)
        return _nearest(plan, alternative=alternative) or (_envcheck_install(case, alternative),)
    fixes = case.commands(plan)
    if not fixes:
        return (_envcheck_install(case, alternative),)
    if case.facts.python.externally_managed and case.facts.python.kind not in ("venv", "conda", "uv"):
        from envcheck.diagnosis.environments import moved_into, own_environment

        fixes = (*own_environment(case), *moved_into(case, fixes))
    return otherwise(*fixes) if alternative else fixes


def leave_gpu(case: Case) -> tuple[Fix, ...]:
    """What is left where no build of torch serves the GPU."""
    return (
        step(say("Use a newer GPU, or compute on the CPU")),
        envcheck(case, say("Install the CPU build, the smallest"), "install", "--variant", "cpu"),
    )


def _nearest(plan: Plan | None, *, alternative: bool) -> tuple[Fix, ...]:
    """The smallest changes that would make a build fit; options of `envcheck install` are none."""
    changes = [text for text in (plan.nearest if plan else ()) if "--" not in text.msgid]
    return tuple(step(text, alternative=alternative) for text in changes)


def _envcheck_install(case: Case, alternative: bool) -> Fix:
    what = say("Install the build of torch that suits this machine")
    return envcheck(case, what, "install", alternative=alternative)


# --- variables ----------------------------------------------------------------------------------------------------


def unset(case: Case, *names: str, alternative: bool = False) -> Fix:
    """Take environment variables away in the present shell."""
    listed = ", ".join(names)
    what = say("Unset {name} in this shell, and where it is set (shell profile, job script, launcher)", name=listed)
    if not all(map(_VARIABLE.fullmatch, names)):
        return step(what, alternative=alternative)
    powershell = "Remove-Item " + ", ".join(f"Env:{name}" for name in names)
    return line(
        what, powershell if shell_of(case) == "powershell" else f"unset {' '.join(names)}", alternative=alternative
    )


def set_variable(case: Case, name: str, value: str, *, alternative: bool = False) -> Fix:
    """Set an environment variable in the present shell."""
    what = say("Set {name}={value} before Python starts", name=name, value=value)
    if not _VARIABLE.fullmatch(name):
        return step(what, alternative=alternative)
    if shell_of(case) != "powershell":
        return line(what, f"export {name}={quote(value)}", alternative=alternative)
    quoted = quote(value, "powershell")
    string = quoted if quoted[0] in "'\"" else f'"{quoted}"'
    return line(what, f"$Env:{name} = {string}", alternative=alternative)


def see_gpus(case: Case, indices: str) -> Fix:
    """Let CUDA see the GPUs of these indices."""
    return set_variable(case, _NAME, indices)


# --- driver -------------------------------------------------------------------------------------------------------


def install_driver(case: Case, minimum: str | None = None) -> tuple[Fix, ...]:
    """Install or update the NVIDIA driver, as this system does it; then restart."""
    host = case.facts.host
    if host.wsl:
        return _windows_driver_for_wsl(minimum)
    if host.container not in (None, "none"):
        return (_on_the_host(minimum),)
    if host.os == "windows":
        return (driver_page(minimum), reboot(case))
    return (*_linux_driver(case, minimum), reboot(case))


def _linux_driver(case: Case, minimum: str | None) -> tuple[Fix, ...]:
    known = distribution(case.facts.host.os_name)
    rows = (last_branch(card.device) for card in case.nvidia_pci or ())
    old = next((row for row in rows if row), None)
    if known is not None and known.open_only and old is not None:
        return (step(say("Install driver {branch} from {url}", branch=old.branch, url=page("nvidia_driver"))),)
    if known is None or not known.driver:
        return (driver_page(minimum),)
    first: tuple[Fix, ...] = ()
    if known.driver_note:
        first = (step(say("Add the package repository that carries the driver: {url}", url=page(known.driver_note))),)
    return first + lines(_install_text(case, minimum), known.driver)


def _install_text(case: Case, minimum: str | None) -> Text:
    if minimum is None:
        return say("Install the newest NVIDIA driver") if case.driver_traces else say("Install the NVIDIA driver")
    return say("Install an NVIDIA driver of version {minimum} or newer", minimum=minimum)


def driver_page(minimum: str | None = None) -> Fix:
    """The vendor's page, where no command is known to bring the driver."""
    url = page("nvidia_driver")
    if minimum is None:
        return step(say("Install the NVIDIA driver for your GPU from {url}", url=url))
    return step(say("Install NVIDIA driver {minimum} or newer for your GPU from {url}", minimum=minimum, url=url))


def _windows_driver_for_wsl(minimum: str | None) -> tuple[Fix, ...]:
    url = page("nvidia_driver")
    what = say("On Windows, not inside WSL, install the NVIDIA driver for your GPU from {url}", url=url)
    if minimum is not None:
        text = "On Windows, not inside WSL, install NVIDIA driver {minimum} or newer for your GPU from {url}"
        what = say(text, minimum=minimum, url=url)
    return (
        step(what),
        line(say("In PowerShell on Windows, update WSL and start it anew"), "wsl --update; wsl --shutdown"),
    )


def _on_the_host(minimum: str | None) -> Fix:
    if minimum is None:
        return step(say("Install the NVIDIA driver on the host: a container uses the host's"))
    return step(
        say("Update the driver of the host to {minimum} or newer: a container uses the host's", minimum=minimum)
    )


def reboot(case: Case) -> Fix:
    """Restart the machine."""
    if case.facts.host.os == "windows":
        return step(say("Restart the computer"))
    if case.in_container:
        return step(say("Restart the machine that the container runs on"))
    return command(case, say("Restart the machine"), "sudo", "reboot")


def load_module(case: Case, name: str = "nvidia") -> Fix:
    """Load a kernel module; its refusal, if any, is the next clue."""
    what = say("Load the kernel module {name}; if it is refused, the message says why", name=name)
    return command(case, what, "sudo", "modprobe", name)


def reload_uvm() -> Fix:
    """Unload and load `nvidia_uvm`, which mends CUDA after a suspend."""
    what = say("Load the nvidia_uvm module anew (stop the programs that use the GPU first)")
    return line(what, "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm")


def rebuild_module(case: Case) -> tuple[Fix, ...]:
    """Build the driver's kernel module for the kernel that runs, then load it."""
    known = distribution(case.facts.host.os_name)
    what = say("Build the kernel module for the running kernel")
    return (*lines(what, known.rebuild if known else ("sudo dkms autoinstall",)), load_module(case))


def initramfs(case: Case) -> tuple[Fix, ...]:
    """Renew the initial RAM disk, which holds the list of blocked modules."""
    known = distribution(case.facts.host.os_name)
    return lines(say("Renew the initial RAM disk"), known.initramfs if known else ())


def enrol_key(case: Case) -> tuple[Fix, ...]:
    """Ask the firmware to accept the key that signs this machine's kernel modules."""
    known = distribution(case.facts.host.os_name)
    what = say("Ask the firmware to accept the key of this machine's modules (choose a password for it)")
    return lines(what, known.enrol_key if known else ()) or (step(what),)


def driver_libraries(case: Case, branch: str) -> tuple[Fix, ...]:
    """Install the driver's user-space libraries of the branch that the kernel module has."""
    known = distribution(case.facts.host.os_name)
    what = say("Install the driver's libraries in the version of the kernel module")
    shells = _of_branch(known.libraries if known else (), branch)
    return lines(what, shells) or (step(what),)


def _of_branch(shells: Iterable[str], branch: str) -> list[str]:
    """Command lines for a branch of the driver; none where it is not known, or no number."""
    return [text.replace("{branch}", branch) for text in shells] if _BRANCH.fullmatch(branch) else []


def fabric_manager(case: Case, version: str | None) -> tuple[Fix, ...]:
    """Install the fabric manager of exactly the driver's version, and start it."""
    known = distribution(case.facts.host.os_name)
    what = say("Install the fabric manager of exactly the driver's version ({version})", version=version or "?")
    shells = _of_branch(known.fabric_manager if known else (), (version or "").split(".", maxsplit=1)[0])
    return (*(lines(what, shells) or (step(what),)), start_service(case, "nvidia-fabricmanager"))


def start_service(case: Case, name: str) -> Fix:
    """Start a systemd service now and at every boot."""
    return command(case, say("Start {name}", name=name), "sudo", "systemctl", "enable", "--now", name)


def kernel_log(case: Case) -> Fix:
    """Read what the driver told the kernel log; on Windows the event log, where the driver is `nvlddmkm`."""
    if case.facts.host.os == "windows":
        events = "Get-WinEvent -ProviderName nvlddmkm -MaxEvents 20 | Format-List TimeCreated, Message"
        return line(say("Read what the driver told the event log"), events)
    return line(
        say("Read what the driver told the kernel log"), "sudo dmesg | grep -iE 'nvrm|xid|nvidia|secure' | tail -n 30"
    )


def install_compiler(case: Case) -> tuple[Fix, ...]:
    """Install the C and C++ compilers of this Linux system."""
    known = distribution(case.facts.host.os_name)
    what = say("Install the system's packages gcc and g++")
    return lines(what, known.compiler if known else ()) or (step(what),)


# --- containers ---------------------------------------------------------------------------------------------------


_CHOOSE = {
    "colab": say("In Colab choose Runtime > Change runtime type > a GPU, then run all cells again"),
    "kaggle": say("In Kaggle's notebook choose Settings > Accelerator > a GPU"),
    "autodl": say("On AutoDL shut the instance down, and start it in the mode that has its GPU"),
}
"""By the names of `catalogue.remedies.rented`."""


def give_container_gpus(case: Case) -> tuple[Fix, ...]:
    """Start the container with its GPUs, as its runtime or its provider's site has it."""
    if case.rented is not None:
        return (step(_CHOOSE[case.rented]),)
    kind = case.facts.host.container
    if kind == "kubernetes":
        return (step(say("Ask for a GPU in the pod: resources: limits: nvidia.com/gpu: 1")),)
    if kind in ("apptainer", "singularity"):
        return (line(say("Start the container with its GPUs"), f"{kind} exec --nv IMAGE COMMAND"),)
    if kind == "podman":
        return (line(say("Start the container with its GPUs"), "podman run --device nvidia.com/gpu=all IMAGE COMMAND"),)
    if kind == "lxc":
        return (line(say("Give the container the GPU, from the host"), "lxc config device add CONTAINER gpu gpu"),)
    return (line(say("Start the container with its GPUs"), "docker run --gpus all IMAGE COMMAND"),)


def set_in_container(name: str, value: str) -> Fix:
    """Start the container with a variable set."""
    return line(
        say("Start the container with {name}={value}", name=name, value=value),
        f"docker run --gpus all -e {name}={value} IMAGE COMMAND",
    )


def install_container_toolkit(case: Case) -> tuple[Fix, ...]:
    """Install nvidia-container-toolkit on the host and tell docker of it."""
    known = distribution(case.facts.host.os_name)
    guide = step(say("On the host, add NVIDIA's package repository: {url}", url=page("container_toolkit")))
    what = say("On the host, install nvidia-container-toolkit")
    return (
        guide,
        *lines(what, known.toolkit if known else ()),
        command(case, say("Tell docker of it"), "sudo", "nvidia-ctk", "runtime", "configure", "--runtime=docker"),
        command(case, say("Restart docker"), "sudo", "systemctl", "restart", "docker"),
    )


# --- when nothing more is known -----------------------------------------------------------------------------------


def report_it(case: Case) -> tuple[Fix, ...]:
    """Keep a snapshot, which a person who helps can examine elsewhere."""
    what = say("Save what envcheck saw (secrets removed) and show it to whoever helps you")
    return (envcheck(case, what, "snapshot", "machine.json"),)
