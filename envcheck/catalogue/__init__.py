"""What changes with the calendar, as data with source and date, and the questions that are asked of it.

Every file below `data/` is one table; a table is read when the first question needs it.
"""

import os
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from envcheck.catalogue.files import DATA, read_table
from envcheck.model.facts import Message
from envcheck.model.plan import Build
from envcheck.model.versions import capability, numbers

if TYPE_CHECKING:  # every table's module is imported with the table
    from envcheck.catalogue import capabilities, conda, drivers, gpus, messages, platforms, releases
    from envcheck.catalogue import mirrors as mirror_files
    from envcheck.catalogue.update import Update

Table = TypeVar("Table")


class Catalogue:
    """Typed questions over the tables in a folder (the shipped one, unless a test says otherwise)."""

    def __init__(self, folder: str | os.PathLike[str] = DATA, update: "Update | None" = None) -> None:
        self._folder = os.fspath(folder)
        self._update = update

    @classmethod
    def shipped(cls) -> "Catalogue":
        """The catalogue that came with this envcheck."""
        return cls()

    def with_update(self, update: "Update") -> "Catalogue":
        """This catalogue with the releases that an index told of since."""
        return Catalogue(self._folder, update)

    @property
    def update(self) -> "Update | None":
        """What was laid over the tables."""
        return self._update

    @cached_property
    def shipped_releases(self) -> "releases.Releases":
        """Releases and wheels as the tables in the folder have them."""
        from envcheck.catalogue.releases import Releases

        return self._table("releases", Releases)

    def minimum_driver(self, cuda: str, os: str) -> str | None:
        """The oldest driver on `os` that runs a build made with toolkit `cuda` (minor-version compatibility)."""
        from envcheck.catalogue import drivers

        return drivers.minimum(self._drivers, cuda, os)

    def exact_driver(self, cuda: str, os: str) -> str | None:
        """The driver on `os` that came with toolkit `cuda`: from it on, PTX of that toolkit can be compiled."""
        from envcheck.catalogue import drivers

        return drivers.exact(self._drivers, cuda, os)

    def cuda_of_driver(self, driver: str, os: str) -> str | None:
        """The CUDA version of a driver's branch, as `nvidia-smi` shows it; None when it is older than the table."""
        from envcheck.catalogue import drivers

        return drivers.cuda_of(self._drivers, driver, os)

    def builds(self) -> tuple[Build, ...]:
        """Every official wheel, newest release first."""
        return self.builds_on(None, None)

    def builds_on(self, os: str | None, machine: str | None) -> tuple[Build, ...]:
        """The official wheels for a system and an architecture (None: any), newest release first."""
        if (os, machine) not in self._builds:
            from envcheck.catalogue import releases

            self._builds[os, machine] = releases.builds(self._releases, self._capabilities, os, machine)
        return self._builds[os, machine]

    def torch_releases(self) -> tuple[str, ...]:
        """Every release of torch that is known."""
        return tuple(self._releases.release)

    def conda_builds(self) -> tuple[Build, ...]:
        """Every conda package of torch, newest release first; `index` is its era (`conda_era`)."""
        from envcheck.catalogue import conda

        return conda.builds(self._conda, self._releases.release)

    def conda_era(self, build: Build) -> "conda.Era":
        """How the channel of a conda build is asked for it."""
        return self._conda.channel[build.index or ""]

    def companions(self, torch: str) -> "releases.Release | None":
        """The torchvision and torchaudio that belong to a release of torch."""
        return self._releases.release.get(torch)

    def mirrors(self, own: str | None = None) -> "dict[str, mirror_files.Mirror]":
        """All mirrors by name; `own` is a folder of the person's (ENVCHECK_MIRRORS)."""
        from envcheck.catalogue import mirrors as mirror_files

        return mirror_files.mirrors(own)

    def newest_torch(self) -> str:
        """The newest release of torch that the catalogue knows."""
        return max(self.torch_releases(), key=numbers)

    def runs(self, kernel: str, device: str) -> bool:
        """Whether code for `kernel` (`sm_86`, `compute_90`, `gfx1100`) runs on `device` (`8.9`, `gfx1100`).

        PTX (`compute_90`) counts for every newer device: whether the driver can compile it is another question.
        """
        from envcheck.catalogue.architectures import runs

        return runs(kernel, device)

    def capability_of(self, gpu_name: str) -> str | None:
        """The compute capability of an NVIDIA product by its name, `8.6`; None when unknown or ambiguous."""
        from envcheck.catalogue import gpus

        return gpus.capability_of(self._gpus, gpu_name)

    def target_of(self, gpu_name: str) -> str | None:
        """The ROCm target of an AMD product by its name, `gfx1032`; None when it is not known."""
        from envcheck.catalogue import gpus

        return gpus.target_of(self._gpu_table, gpu_name)

    def newest_rocm_targets(self) -> tuple[str, ...]:
        """The targets that the builds for the newest ROCm have kernels for."""
        builds = [one for one in self.builds() if one.variant.startswith("rocm")]
        newest = max(builds, key=lambda one: numbers(one.variant.removeprefix("rocm")), default=None)
        return newest.capabilities if newest else ()

    def first_cuda(self, capability: str) -> str | None:
        """The first CUDA toolkit that compiles for a capability, `11.8`; None when that is not known."""
        return self._gpu_table.first_cuda.get(capability)

    def least_served(self, os: str | None, machine: str | None) -> tuple[int, int]:
        """The least compute capability that CUDA builds for this system have kernels for."""
        kernels = {kernel for one in self.builds_on(os, machine) if one.cuda for kernel in one.capabilities}
        return min((known for known in map(capability, kernels) if known), default=(0, 0))

    def oldest_served(self) -> str:
        """The least compute capability that any official build of torch ever had kernels for."""
        return self._gpu_table.oldest_served

    def beside_arm(self, gpu_name: str | None, capability: str | None) -> bool:
        """Whether such a GPU sits beside an Arm processor only."""
        from envcheck.catalogue import gpus

        return gpus.beside_arm(self._gpu_table, gpu_name, capability)

    def gpu_names(self) -> tuple[str, ...]:
        """Names of NVIDIA products whose capability is known."""
        from envcheck.catalogue import gpus

        return gpus.names(self._gpu_table)

    def recognise(self, said: Iterable[Message]) -> dict[str, tuple[tuple[Message, dict[str, str]], ...]]:
        """Signature (a cause slug) -> the messages that match it, each with the pattern's named groups."""
        listened = tuple(said)
        if not listened:
            return {}
        from envcheck.catalogue.messages import recognise

        return recognise(self._signatures, listened)

    @cached_property
    def platforms(self) -> "platforms.Platforms":
        """Machines and indexes with rules of their own."""
        from envcheck.catalogue.platforms import Platforms

        return self._table("platforms", Platforms)

    @cached_property
    def _drivers(self) -> "drivers.Drivers":
        from envcheck.catalogue.drivers import Drivers

        return self._table("drivers", Drivers)

    @cached_property
    def _gpu_table(self) -> "gpus.Gpus":
        from envcheck.catalogue.gpus import Gpus

        return self._table("gpus", Gpus)

    @cached_property
    def _gpus(self) -> "gpus.Index":
        from envcheck.catalogue import gpus

        return gpus.index(self._gpu_table)

    @cached_property
    def _releases(self) -> "releases.Releases":
        if self._update is None:
            return self.shipped_releases
        from envcheck.catalogue.update import laid_over

        return laid_over(self.shipped_releases, self._update)

    @cached_property
    def _conda(self) -> "conda.Conda":
        from envcheck.catalogue.conda import Conda

        return self._table("conda", Conda)

    @cached_property
    def _builds(self) -> dict[tuple[str | None, str | None], tuple[Build, ...]]:
        return {}

    @cached_property
    def _capabilities(self) -> "capabilities.Capabilities":
        from envcheck.catalogue import capabilities

        return capabilities.Capabilities(self._table("capabilities", capabilities.Table))

    @cached_property
    def _signatures(self) -> "tuple[messages.Signature, ...]":
        from envcheck.catalogue.messages import Signatures, signatures

        names = sorted(name.removesuffix(".toml") for name in os.listdir(os.path.join(self._folder, "messages")))
        return tuple(one for name in names for one in signatures(self._table(f"messages/{name}", Signatures)))

    def _table(self, name: str, kind: type[Table]) -> Table:
        return read_table(os.path.join(self._folder, f"{name}.toml"), kind)
