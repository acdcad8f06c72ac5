"""The door to the machine: files, environment, programs, network. With `child` and `web` the only one.

Everything is bounded: bytes read, seconds waited, redirects followed. Nothing here raises for what the machine
does; errors come back as names (`ENOENT`, `TIMEOUT`, ...). A test hands in a fake root, another environment,
another platform.
"""

import contextlib
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from envcheck.model.base import Plain
from envcheck.model.facts import DeviceNode
from envcheck.probes.child import Ran, run
from envcheck.probes.outcome import decode, error_name, since
from envcheck.probes.permissions import group_name, open_error, writable_by_others

Result = TypeVar("Result")


class ReadResult(Plain, frozen=True):
    """A file's text, or the name of the error; both when it was longer than the cap (`TOOBIG`, the beginning)."""

    text: str | None
    error: str | None


class Fetched(Plain, frozen=True):
    """What a server answered. `body` is unpacked; `headers` have lower-case names.

    `error`: None, `DNS`, `REFUSED`, `TIMEOUT`, `TLS`, `RESET`, `PROXY`, `TOOBIG`, `REDIRECTS`, `DOWNGRADE`,
    `SCHEME`, `HTTP` (a status of 400 or more; body and headers are there) or `PROTOCOL`.
    """

    url: str
    """The address that answered, after redirects."""
    status: int | None
    headers: dict[str, str]
    body: bytes
    error: str | None
    detail: str | None
    ms: float


class System:
    """The real machine, or a fake one below `root`.

    Paths are absolute as on the machine and are looked up below `root` (a path that already lies there is taken
    as it is). `environ` is the only environment that is seen.
    """

    def __init__(
        self,
        root: "str | os.PathLike[str]" = "/",
        environ: Mapping[str, str] | None = None,
        platform: str = sys.platform,
        machine: str | None = None,
    ) -> None:
        self.root = os.fspath(root)
        self.fake = self.root != "/"
        self.platform = platform
        given = os.environ if environ is None else environ
        # Windows does not tell http_proxy from HTTP_PROXY.
        self.environ: Mapping[str, str] = {name.upper() if self.windows else name: given[name] for name in given}
        named = (machine or _machine()).lower()
        self.machine = "x86_64" if named == "amd64" else named

    @property
    def windows(self) -> bool:
        """Whether the machine runs Windows."""
        return self.platform == "win32"

    def unrooted(self) -> "System":
        """The same environment with the real files: interpreters and their packages are always real."""
        return System("/", self.environ, self.platform, self.machine) if self.fake else self

    def place(self, path: str) -> str:
        """Where `path` lies for this process."""
        if not self.fake or path.startswith(self.root):
            return path
        drive, colon, rest = path.partition(":")  # C:\Users lies in C/Users; PCI addresses keep their colons
        plain = drive + rest if colon and len(drive) == 1 else path
        return os.path.join(self.root, plain.replace("\\", "/").lstrip("/"))

    # Files ---------------------------------------------------------------------------------------------------

    def read_bytes(self, path: str, cap: int = 65536) -> tuple[bytes | None, str | None]:
        """Up to `cap` bytes and the error's name; a pipe or a device never blocks the read."""
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(self.place(path), flags)
        except (OSError, ValueError) as error:
            return None, error_name(error)
        try:
            data = bytearray()
            while len(data) <= cap and (chunk := os.read(descriptor, cap + 1 - len(data))):
                data += chunk
        except OSError as error:
            return None, error_name(error)
        finally:
            os.close(descriptor)
        return bytes(data[:cap]), "TOOBIG" if len(data) > cap else None

    def read(self, path: str, cap: int = 65536) -> ReadResult:
        r"""The text of a file; bytes that are no UTF-8 are shown as `\xNN`."""
        data, error = self.read_bytes(path, cap)
        legacy = "mbcs" if sys.platform == "win32" and not self.fake else None
        return ReadResult(None if data is None else decode(data, legacy), error)

    def listdir(self, path: str) -> tuple[str, ...] | None:
        """Sorted names in a directory; None when it cannot be listed."""
        try:
            return tuple(sorted(entry.name for entry in os.scandir(self.place(path))))
        except (OSError, ValueError):
            return None

    def exists(self, path: str) -> bool:
        """Whether there is something at `path` (a broken link is not)."""
        return self.kind(path) is not None

    def kind(self, path: str) -> str | None:
        """`file`, `dir` or `other`; None when there is nothing, or it cannot be seen."""
        try:
            mode = os.stat(self.place(path)).st_mode
        except (OSError, ValueError):
            return None
        return "file" if stat.S_ISREG(mode) else "dir" if stat.S_ISDIR(mode) else "other"

    def executable(self, path: str) -> bool:
        """Whether this user may run what is at `path`."""
        return os.access(self.place(path), os.X_OK)

    def readlink(self, path: str) -> str | None:
        """What a symbolic link says; None when it is none."""
        try:
            return os.readlink(self.place(path))
        except (OSError, ValueError):
            return None

    def free_bytes(self, path: str) -> int | None:
        """Free bytes for this user on the file system of `path`, or of its nearest parent that exists."""
        place = self.place(path)
        while True:
            with contextlib.suppress(OSError, ValueError):
                return _free_bytes(place)
            above = os.path.dirname(place)
            if above == place:
                return None
            place = above

    def node(self, path: str, try_open: bool = False) -> DeviceNode | None:
        """A device node; None when it is not there.

        Opening /dev/nvidia0 starts the GPU, which may take seconds: only `try_open` does it, and then `error` is
        what open(2) said. Without it `error` is `EACCES` when access(2) refuses.
        """
        place = self.place(path)
        try:
            status = os.stat(place)
        except (OSError, ValueError) as error:
            name = error_name(error)
            return None if name in ("ENOENT", "ENOTDIR", "EINVAL") else DeviceNode(path=path, error=name)
        readable, writable = os.access(place, os.R_OK), os.access(place, os.W_OK)
        refused = None if readable and writable else "EACCES"
        return DeviceNode(
            path=path,
            readable=readable,
            writable=writable,
            mode=stat.filemode(status.st_mode),
            group=group_name(status.st_gid),
            error=open_error(place) if try_open else refused,
        )

    # Environment and user ------------------------------------------------------------------------------------

    def env(self, name: str) -> str | None:
        """An environment variable; None when unset."""
        return self.environ.get(name.upper() if self.windows else name)

    def home(self) -> str | None:
        """The user's home directory."""
        return self.env("USERPROFILE" if self.windows else "HOME") or self.env("HOME") or self._account("pw_dir")

    def cwd(self) -> str:
        """The working directory; the root when it was removed under our feet."""
        try:
            return os.getcwd()
        except OSError:
            return "/"

    def user(self) -> str | None:
        """The user's name."""
        return self.env("USER") or self.env("LOGNAME") or self.env("USERNAME") or self._account("pw_name")

    def _account(self, field: str) -> str | None:
        """What the account database says of this process' user."""
        if self.fake or not hasattr(os, "getuid"):
            return None
        import pwd

        try:
            return str(getattr(pwd.getpwuid(os.getuid()), field)) or None
        except KeyError:
            return None

    def hostname(self) -> str | None:
        """The machine's network name."""
        if self.fake:
            return (self.read("/proc/sys/kernel/hostname").text or "").strip() or self.env("HOSTNAME")
        return _uname(1) or self.env("COMPUTERNAME")

    def groups(self) -> tuple[str, ...] | None:
        """Names of the groups this process belongs to; None on Windows."""
        if not hasattr(os, "getgroups"):
            return None
        return tuple(sorted({group_name(group) for group in {*os.getgroups(), os.getegid()}}))

    def admin(self) -> bool | None:
        """Whether this process may install system-wide."""
        if hasattr(os, "geteuid"):
            return os.geteuid() == 0
        import ctypes

        try:
            return bool(getattr(ctypes, "windll").shell32.IsUserAnAdmin())  # noqa: B009 - only there on Windows
        except (AttributeError, OSError):
            return None

    def memory_bytes(self) -> int | None:
        """Physical memory of a Windows machine; other systems tell it in files."""
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = (("length", ctypes.c_uint32), ("load", ctypes.c_uint32), ("sizes", ctypes.c_uint64 * 7))

        status = Status(length=ctypes.sizeof(Status))
        kernel = None if self.fake else getattr(ctypes, "windll", None)
        if kernel is None or not kernel.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return None
        return int(status.sizes[0])

    # Programs ------------------------------------------------------------------------------------------------

    def which(self, name: str, trusted: bool = True) -> str | None:
        """The absolute path of a program on PATH; never one found through a relative PATH entry.

        `trusted`: it and its directory belong to root or to us, and nobody else may write there. On Windows
        System32 comes first.
        """
        separator = ";" if self.windows else ":"
        directories = [entry.strip('"') for entry in (self.env("PATH") or "").split(separator)]
        names = [name]
        if self.windows:
            directories.insert(0, (self.env("WINDIR") or "C:\\Windows") + "\\System32")
            names = [name] if os.path.splitext(name)[1] else [name + end for end in (".exe", ".bat", ".cmd")]
        for directory in directories:
            if not directory or not (directory.startswith("/") or (self.windows and directory[1:2] == ":")):
                continue
            for file_name in names:
                path = directory.rstrip("/\\") + ("\\" if self.windows else "/") + file_name
                place = self.place(path)
                if (
                    self.kind(path) == "file"
                    and os.access(place, os.X_OK)
                    and not (trusted and writable_by_others(place))
                ):
                    return path
        return None

    def run(
        self,
        argv: Sequence[str],
        *,
        limit: float,
        cap: int = 1 << 20,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> Ran:
        """Run a program for at most `limit` seconds, keeping at most `cap` bytes of each stream.

        It gets its own session, no input and no shell, and its process group is killed in every case. A program
        that prints more than `cap` is stopped (state `failed`, `detail` says so, the beginning is kept).
        """
        place = self.place(argv[0])
        command = [place if os.path.exists(place) else argv[0], *argv[1:]]
        return run(command, limit, cap, self.environ if env is None else env, cwd)

    # Network -------------------------------------------------------------------------------------------------

    def resolve(self, host: str, limit: float) -> tuple[str, ...] | None:
        """The addresses of a host; None when the name is unknown or nobody answered in time."""

        def work() -> tuple[str, ...]:
            import socket

            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return tuple(dict.fromkeys(str(address[4][0]) for address in found))

        return within(limit, work)

    def connect(self, host: str, port: int, limit: float) -> str | None:
        """None when a TCP connection was accepted, else why not: `ECONNREFUSED`, `TIMEOUT`, `DNS`, ..."""

        def work() -> str:
            import socket

            try:
                socket.create_connection((host, port), timeout=limit).close()
            except socket.gaierror:
                return "DNS"
            except TimeoutError:
                return "TIMEOUT"
            except (OSError, ValueError, OverflowError) as error:
                return error_name(error)
            return ""

        answer = within(limit, work)
        return "TIMEOUT" if answer is None else answer or None

    def fetch(
        self,
        url: str,
        *,
        limit: float = 30.0,
        cap: int = 16 << 20,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        method: str = "GET",
    ) -> Fetched:
        """Get an http or https address, directly or through `proxy` (an URL), never as the environment says.

        At most `limit` seconds in all, `cap` bytes before and after unpacking, 5 redirects, none from https to
        http. A user name and password in the address are not sent.
        """
        begun = time.monotonic()

        def work() -> Fetched:
            from envcheck.probes.web import fetch

            return fetch(url, begun + limit, cap, headers or {}, proxy, method)

        answer = within(limit, work)
        return answer or Fetched(url, None, {}, b"", "TIMEOUT", None, since(begun))


def within(limit: float, work: Callable[[], Result]) -> Result | None:
    """What `work` returns, or None when it raises or takes longer than `limit` seconds (it is then abandoned)."""
    box: list[Result] = []

    def fill() -> None:
        with contextlib.suppress(Exception):  # the caller is told by None
            box.append(work())

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    thread.join(limit)
    return box[0] if box else None


def _uname(part: int) -> str:
    """0 system, 1 host, 2 release, 3 version, 4 machine; empty on Windows (`platform` says it all, 4 ms later)."""
    return os.uname()[part] if hasattr(os, "uname") else ""


def _machine() -> str:
    if sys.platform == "darwin" and _uname(4) == "x86_64" and _is_apple_silicon():
        return "arm64"  # we run under Rosetta, which says what we were built for
    named = _uname(4) or os.environ.get("PROCESSOR_ARCHITEW6432") or os.environ.get("PROCESSOR_ARCHITECTURE")
    return named or "unknown"


def _is_apple_silicon() -> bool:
    """What macOS itself says of the processor (sysctl hw.optional.arm64), also to emulated programs."""
    import ctypes

    answer, size = ctypes.c_int(0), ctypes.c_size_t(4)
    try:
        ctypes.CDLL(None).sysctlbyname(b"hw.optional.arm64", ctypes.byref(answer), ctypes.byref(size), None, 0)
    except (OSError, AttributeError):
        return False
    return answer.value == 1


def _free_bytes(place: str) -> int:
    if hasattr(os, "statvfs"):  # shutil has it too, and brings three compression libraries along
        status = os.statvfs(place)
        return status.f_bavail * status.f_frsize
    import shutil

    return shutil.disk_usage(place).free
