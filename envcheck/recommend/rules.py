"""The rules that drop builds: each names itself and says why, in order from the least to the most changeable."""

from collections.abc import Callable, Hashable, Iterator

from envcheck.catalogue import Catalogue
from envcheck.catalogue.drivers import reaches
from envcheck.model.base import Plain
from envcheck.model.plan import Build, Wish
from envcheck.model.text import Text, say
from envcheck.model.versions import at_least, capability
from envcheck.recommend.target import Accelerator, Device, Target
from envcheck.recommend.wishes import meets, spoken

NAMES = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "apple": "Apple", "cpu": "CPU"}


def kind_of(build: Build) -> Accelerator | None:
    """The accelerator that a build is for; None: the processor."""
    if build.cuda:
        return "nvidia"
    if build.variant.startswith("rocm"):
        return "amd"
    return {"xpu": "intel", "mps": "apple"}.get(build.variant)  # type: ignore[return-value]  # names of the type


class Rule(Plain, frozen=True):
    """A rule's name, what of a build it looks at, and its judgement: None when it has nothing against the build."""

    name: str
    looks_at: Callable[[Build], Hashable]
    objection: Callable[[Build], Text | None]


class Judge:
    """The rules bound to one target and one wish; what builds have in common is judged once."""

    def __init__(self, target: Target, catalogue: Catalogue, wish: Wish) -> None:
        self.target = target
        self.wish = wish
        self._catalogue = catalogue
        self._asked = meets(wish)
        self._memory: dict[tuple[str, Hashable], Text | None] = {}
        self.rules = (
            Rule("os", lambda build: build.os, self._os),
            Rule("machine", lambda build: build.machine, self._machine),
            Rule("kind", lambda build: (build.variant, build.cuda), self._kind),
            Rule("wish", lambda build: (build.torch, build.variant, build.torchvision, build.torchaudio), self._wish),
            Rule("capability", lambda build: (build.capabilities, build.cuda, build.variant), self._capability),
            Rule("python", lambda build: build.pythons, self._python),
            Rule("libc", lambda build: build.libc, self._libc),
            Rule("os-version", lambda build: build.os_version, self._os_version),
            Rule("driver", lambda build: (build.cuda, build.variant), self._driver),
        )

    def objections(self, build: Build) -> Iterator[tuple[str, Text]]:
        """Every rule that drops `build`, with its reason."""
        for rule in self.rules:
            key = (rule.name, rule.looks_at(build))
            if key not in self._memory:
                self._memory[key] = rule.objection(build)
            reason = self._memory[key]
            if reason is not None:
                yield rule.name, reason

    def right(self, build: Build) -> bool:
        """Whether no rule drops it."""
        return next(self.objections(build), None) is None

    def native(self, build: Build) -> bool:
        """Whether every GPU finds kernels of its own in it (else the driver compiles some at the first start)."""
        return all(self._kernels_for(build, device) for device in self.target.nvidia)

    def own_toolkit(self, build: Build) -> bool:
        """Whether the driver speaks the build's CUDA version itself, not by minor-version compatibility."""
        return build.cuda is None or (self.target.cuda is not None and at_least(self.target.cuda, build.cuda))

    def _os(self, build: Build) -> Text | None:
        if build.os == self.target.os:
            return None
        return say("made for {os}", os=build.os)

    def _machine(self, build: Build) -> Text | None:
        here = self.target.machine
        if self.target.bits == 32:
            return say("this Python is a 32-bit program, and every build is 64-bit")
        if build.machine == here:
            return None
        return say("made for {machine} processors, not {here}", machine=build.machine, here=here or "?")

    def _kind(self, build: Build) -> Text | None:
        kind, here = kind_of(build), self.target.accelerators
        if self._named(build):
            return None
        if here is None:
            return say("it is not known whether a GPU is in this machine")
        if kind is None:
            return say("a CPU build would leave the {name} GPU idle", name=NAMES[here[0]]) if here else None
        return None if kind in here else say("made for {name} GPUs, and none was found", name=NAMES[kind])

    def _named(self, build: Build) -> bool:
        """Whether the wish names this build's variant or toolkit."""
        return build.variant == self.wish.variant or (self.wish.cuda is not None and build.cuda == self.wish.cuda)

    def _wish(self, build: Build) -> Text | None:
        return None if self._asked(build) else say("not what was asked for: {wish}", wish=spoken(self.wish))

    def _python(self, build: Build) -> Text | None:
        here = self.target.python
        if here in build.pythons and self.target.implementation in (None, "CPython"):
            return None
        if self.target.implementation not in (None, "CPython"):
            return say("there are builds for CPython only, this is {name}", name=self.target.implementation)
        return say("no wheel for Python {here}, only for {pythons}", here=here or "?", pythons=_span(build.pythons))

    def _libc(self, build: Build) -> Text | None:
        if build.libc is None or self.target.os != "linux" or self.target.libc is None:
            return None
        if self.target.libc != "glibc":
            return say("needs glibc, this system has {libc}", libc=self.target.libc)
        here = self.target.libc_version
        if here is None or at_least(here, build.libc):
            return None
        return say("needs glibc {needed} or newer, this system has {here}", needed=build.libc, here=here)

    def _os_version(self, build: Build) -> Text | None:
        here = self.target.os_version
        if build.os_version is None or here is None or at_least(here, build.os_version):
            return None
        return say("needs macOS {needed} or newer, this is {here}", needed=build.os_version, here=here)

    def _driver(self, build: Build) -> Text | None:
        if build.cuda is None:
            return None
        needed = self._catalogue.minimum_driver(build.cuda, self.target.driver_os)
        if needed is None:
            return say("the driver that CUDA {cuda} needs on this system is not known", cuda=build.cuda)
        here = self.target.driver or self._oldest_driver()
        if here is None and self._named(build) and "nvidia" not in (self.target.accelerators or ()):
            return None
        if here is None:
            return say("CUDA {cuda} needs driver {needed} or newer; none is known here", cuda=build.cuda, needed=needed)
        if reaches(here, needed) or self.own_toolkit(build):
            return None
        return say(
            "CUDA {cuda} needs driver {needed} or newer, here is {here}", cuda=build.cuda, needed=needed, here=here
        )

    def _oldest_driver(self) -> str | None:
        """Where only the driver's CUDA version is known: the first driver that speaks it."""
        cuda = self.target.cuda
        return self._catalogue.exact_driver(cuda, self.target.driver_os) if cuda else None

    def _capability(self, build: Build) -> Text | None:
        kind = kind_of(build)
        if kind == "nvidia" and self.target.accelerators and "nvidia" in self.target.accelerators:
            return self._lacking(build, self.target.nvidia, self._serves)
        if kind == "amd" and self.target.amd:
            return self._lacking(build, self.target.amd, self._kernels_for)
        return None

    def _lacking(
        self, build: Build, devices: tuple[Device, ...], serves: Callable[[Build, Device], bool]
    ) -> Text | None:
        if not build.capabilities:
            return None if self.wish.torch else say("what it holds kernels for is not known")
        for device in devices:
            if device.code is None:
                return say("the compute capability of {name} is not known", name=device.name)
            if not serves(build, device):
                return say(
                    "no kernels for {code} ({name}), only for {kernels}",
                    code=device.code,
                    name=device.name,
                    kernels=" ".join(kernel for kernel in build.capabilities if not kernel.startswith("compute_")),
                )
        return None

    def _serves(self, build: Build, device: Device) -> bool:
        return self._kernels_for(build, device) or (self.own_toolkit(build) and self._compiles_for(build, device))

    def _kernels_for(self, build: Build, device: Device) -> bool:
        return any(
            self._catalogue.runs(kernel, device.code or "")
            for kernel in build.capabilities
            if not kernel.startswith("compute_")
        )

    def _compiles_for(self, build: Build, device: Device) -> bool:
        """PTX counts only for the newest architecture of a build: its math libraries go no further than that."""
        intermediate = [kernel for kernel in build.capabilities if kernel.startswith("compute_")]
        if not intermediate:
            return False
        newest = max(made_for for kernel in build.capabilities if (made_for := capability(kernel)))
        return any(
            capability(kernel) == newest and self._catalogue.runs(kernel, device.code or "") for kernel in intermediate
        )


def _span(pythons: tuple[str, ...]) -> str:
    plain = [python for python in pythons if not python.endswith("t")]
    return f"{plain[0]} - {plain[-1]}" if len(plain) > 1 else " ".join(pythons)
