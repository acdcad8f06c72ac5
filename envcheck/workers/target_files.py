"""What the examined interpreter is and what is installed in it, from files; no package is imported.

Plain string work in place of patterns: `re` and `json` would be a third of what this look costs.
"""

import io
import os
import sys
import sysconfig

FAMILY = ("torch", "torchvision", "torchaudio", "numpy", "triton")
RELATED = tuple(
    "torch pytorch functorch libtorch triton nvidia- cuda cudnn nccl cupy xformers flash-attn bitsandbytes vllm intel-"
    " dpcpp mkl tbb onemkl libgomp llvm-openmp openmp libstdcxx libgcc openmp-mutex -openmp-mutex tensorflow jax"
    " accelerate transformers deepspeed onnxruntime rocm hip".split()
)
RELATED_WHOLE = frozenset(
    "numpy cupy pynvml pip setuptools uv conda mamba python typing-extensions sympy mpmath filelock networkx jinja2"
    " fsspec protobuf".split()
)
OURSELVES = "torch-envcheck"
FIRST = b"torch/__init__.py,"
ENDINGS = {"win32": (FIRST, b".dll", b".pyd"), "darwin": (FIRST, b".so", b".dylib")}.get(sys.platform, (FIRST, b".so"))
CONSTANTS = {"None": None, "True": True, "False": False}
PINS = ("torch", "nvidia-", "cuda", "triton", "pytorch", "numpy", "intel-", "rocm")


class Paths:
    """Where this interpreter imports from: `here`, the user's folder, None when it is not asked; then `entries`."""

    def __init__(self, entries):
        try:
            folder = os.getcwd()
        except OSError:
            folder = None
        safe = getattr(sys.flags, "safe_path", False) or getattr(sys.flags, "isolated", False)
        asked = folder is not None and any(
            os.path.realpath(entry or ".") == os.path.realpath(folder) for entry in entries
        )
        self.here = folder if folder and (asked or not safe) else None
        self.entries = [os.path.abspath(entry or ".") for entry in entries]
        self.elsewhere = [
            entry for entry in self.entries if not folder or os.path.realpath(entry) != os.path.realpath(folder)
        ]
        self.python_path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]

    def for_import(self):
        """The user's folder is left out: a stray file in it must not run. Unless torch really lives there."""
        path = provides(self.here, "torch") if self.here else None
        return ([self.here] if path and genuine(path) else []) + self.elsewhere


def read(path, cap=1 << 16):
    """Up to `cap` bytes of a file as text, or None."""
    data = contents(path, cap)
    return None if data is None else data.decode("utf-8", "replace")


def contents(path, cap):
    """Up to `cap` bytes of a file, or None."""
    try:
        with io.open(path, "rb") as file:
            return file.read(cap)
    except (OSError, IOError):
        return None


def names_in(folder):
    """Sorted names in a folder; empty when it cannot be listed."""
    try:
        return sorted(os.listdir(folder or "."))
    except OSError:
        return []


def normalised(name):
    """A distribution's name as PyPI compares names."""
    words = name.replace("_", "-").replace(".", "-").lower()
    while "--" in words:
        words = words.replace("--", "-")
    return words


def related(name):
    """Whether a distribution (its normalised name) has to do with torch."""
    return name in RELATED_WHOLE or (name.startswith(RELATED) and name != OURSELVES)


# The interpreter ------------------------------------------------------------------------------------------------


def interpreter(paths):
    """Everything about the interpreter that decides which wheels it takes and where they go."""
    import site

    library, version = libc()
    base = getattr(sys, "base_prefix", getattr(sys, "real_prefix", sys.prefix))
    marker = os.path.join(os.path.dirname(os.__file__), "EXTERNALLY-MANAGED")
    return {
        "path": sys.executable,
        "version": ".".join(str(part) for part in sys.version_info[:3]) + release_suffix(),
        "implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(implementation(), implementation()),
        "bits": 64 if sys.maxsize > 1 << 32 else 32,
        "free_threaded": free_threaded(),
        "platform": sysconfig.get_platform(),
        "libc": library,
        "libc_version": version,
        "tags": tags(library, version),
        "prefix": sys.prefix,
        "base_prefix": base,
        "kind": kind(base),
        "externally_managed": sys.prefix == base and os.path.exists(marker),
        "has_pip": any(os.path.isfile(os.path.join(entry, "pip", "__init__.py")) for entry in paths.entries),
        "user_site": getattr(site, "USER_SITE", None),
        "user_site_enabled": bool(getattr(site, "ENABLE_USER_SITE", None)),
        "sys_path": ([paths.here] if paths.here else []) + paths.entries,
    }


def implementation():
    """The implementation's name, lower case."""
    return getattr(getattr(sys, "implementation", None), "name", "cpython")


def free_threaded():
    """Whether this build runs without the GIL."""
    return "t" in getattr(sys, "abiflags", "") or "free-threading" in sys.version


def release_suffix():
    """`rc1`, `b2`, ..., or empty."""
    level = sys.version_info[3]
    return "" if level == "final" else {"alpha": "a", "beta": "b", "candidate": "rc"}[level] + str(sys.version_info[4])


def libc():
    """The C library and its version."""
    if not sys.platform.startswith("linux"):
        return "none", None
    try:
        name, _, version = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")
        return name, version
    except (AttributeError, OSError, ValueError):
        pass
    with io.open(os.path.realpath(sys.executable), "rb") as file:
        return ("musl" if b"ld-musl" in file.read(1 << 16) else None), None


def tags(library, version):
    """The best tags for wheels with compiled code, best first."""
    short = "%d%d" % sys.version_info[:2]
    python = {"cpython": "cp", "pypy": "pp"}.get(implementation(), implementation()) + short
    place = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if sys.maxsize < 1 << 32:
        place = place.replace("x86_64", "i686").replace("aarch64", "armv7l")
    if place.startswith("linux_") and library == "glibc" and version:
        place = place.replace("linux_", "manylinux_%s_" % "_".join(version.split(".")[:2]))
    abi = python + ("t" if free_threaded() else "")
    return ["-".join((python, abi, place)), "-".join((python, "none", place)), "py3-none-any"]


def kind(base):
    """Where this interpreter came from."""
    home = base.replace("\\", "/")
    if sys.prefix != base:
        return "venv"
    if os.path.isdir(os.path.join(sys.prefix, "conda-meta")):
        return "conda"
    if "/uv/python/" in home:
        return "uv"
    if "/.pyenv/versions/" in home or "/pyenv-win/versions/" in home:
        return "pyenv"
    if any(name.endswith("._pth") for name in names_in(os.path.dirname(sys.executable))):
        return "embedded"
    return "system" if home in ("/usr", "/usr/local") or home.startswith(("/System/", "/Library/")) else "other"


def has_ssl():
    """Whether https works at all."""
    try:
        import _ssl
    except ImportError:
        return False
    return True


# Packages -------------------------------------------------------------------------------------------------------


def packages(paths):
    """Installed distributions that have to do with torch, from the names of their metadata."""
    found = []
    seen = set()
    for entry in paths.for_import():
        real = os.path.realpath(entry)
        if real not in seen:
            seen.add(real)
            found += [dist for dist in (distribution(entry, name) for name in names_in(entry)) if dist]
    return found + conda_packages()


def distribution(folder, file_name):
    """One package from the name of its metadata, which is read only when it has to do with torch."""
    if not file_name.endswith((".dist-info", ".egg-info", ".egg-link")):
        return None
    stem, suffix = os.path.splitext(file_name)
    stem, _, version = stem.partition("-") if stem[0] != "-" else ("~" + stem[1:]).partition("-")
    name = normalised(stem)
    # pip renames what it is about to remove, torch to ~orch; an interrupted run leaves it so.
    if not related("t" + name[1:] if name[0] == "~" else name):
        return None
    dist = {"name": name, "version": version.split("-py")[0] or None, "location": folder}
    path = os.path.join(folder, file_name)
    if suffix == ".dist-info":
        dist["installer"] = (read(os.path.join(path, "INSTALLER")) or "").strip() or None
    metadata = read(os.path.join(path, "METADATA" if suffix == ".dist-info" else "PKG-INFO"), 1 << 18)
    if metadata is not None:
        head = metadata.replace("\r\n", "\n").split("\n\n")[0].split("\n")
        stated = [line[len("Version:") :].strip() for line in head if line.startswith("Version:")]
        needs = [line[len("Requires-Dist:") :].strip() for line in head if line.startswith("Requires-Dist:")]
        dist["version"] = dist["version"] or (stated or [None])[0]
        dist["requires"] = [need for need in needs if need.lower().startswith(PINS) and "extra ==" not in need]
    return dist


def conda_packages():
    """What conda says it has put into this prefix."""
    folder = os.path.join(sys.prefix, "conda-meta")
    found = []
    for file_name in names_in(folder):
        parts = file_name[: -len(".json")].rsplit("-", 2) if file_name.endswith(".json") else []
        if len(parts) == 3 and related(normalised(parts[0])):
            channel = stated_text(read(os.path.join(folder, file_name), 8 << 20) or "", "channel")
            dist = {"name": parts[0].lower(), "version": parts[1], "build": parts[2], "location": folder}
            found.append(dict(dist, installer="conda", channel=channel))
    return found


def stated_text(text, key):
    """The first text that stands under a key of a JSON object; None where there is none."""
    for rest in text.split('"%s"' % key)[1:]:
        colon, quote, value = rest.lstrip().partition('"')
        if colon.strip() == ":" and quote:
            return value.split('"')[0]
    return None


# Files of torch, and what stands in their way ---------------------------------------------------------------------


def provides(entry, name):
    """The file that `import name` would load from a folder, or None."""
    for path in (os.path.join(entry, name, "__init__.py"), os.path.join(entry, name + ".py")):
        if os.path.isfile(path):
            return path
    return None


def genuine(path):
    """Whether a file that `import` would find belongs to an installed package and not to somebody's project."""
    folder, base = os.path.split(path)
    name = os.path.splitext(base)[0]
    if name == "__init__":
        if any(is_extension(inside) for inside in names_in(folder)):
            return True
        folder, name = os.path.split(folder)
    wanted = normalised(name) + "-"
    metadata = [normalised(other) for other in names_in(folder) if other.endswith((".dist-info", ".egg-info"))]
    return any(other.startswith(wanted) and other[len(wanted)].isdigit() for other in metadata)


def is_extension(file_name):
    """Whether a file is compiled code of a package: `_C.cpython-311-x86_64-linux-gnu.so`."""
    return file_name[:1] == "_" and file_name[1:2].isalpha() and file_name.endswith((".so", ".pyd", ".dylib"))


def find(paths, name):
    """What `import name` loads without the user's folder, and what would win over the installed package."""
    here = provides(paths.here, name) if paths.here else None
    if here and genuine(here):
        return here, []
    hits = [hit for hit in (provides(entry, name) for entry in paths.elsewhere) if hit]
    real = [hit for hit in hits if genuine(hit)]
    files = [hit for hit in (hits[: hits.index(real[0])] if real else []) if not hit.endswith("__init__.py")]
    return (hits[0] if hits else hooked(paths, name)), ([here] if here else []) + files


def hooked(paths, name):
    """The file behind an editable install, whose import hook knows it (as importlib.util asks, without its import)."""
    before = sys.path[:]
    sys.path[:] = paths.elsewhere
    try:
        specs = (finder.find_spec(name, None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((spec for spec in specs if spec is not None), None)
    except Exception:
        return None
    finally:
        sys.path[:] = before
    return spec.origin if spec is not None and spec.has_location else None


def strays(paths, loaded):
    """Files in the user's folder and on PYTHONPATH named like modules of the standard library not yet `loaded`."""
    standard = frozenset(getattr(sys, "stdlib_module_names", ())) - loaded
    places = ([paths.here] if paths.here else []) + paths.python_path
    names = [(place, os.path.splitext(name)[0]) for place in places for name in names_in(place)]
    hits = [(name, provides(place, name)) for place, name in sorted(set(names)) if name in standard]
    return [(name, hit) for name, hit in hits if hit]


def torch_files(paths, dists, loaded):
    """Torch as its files show it."""
    path, shadows = find(paths, "torch")
    for name in FAMILY[1:]:
        shadows += find(paths, name)[1]
    mine = [dist for dist in dists or () if dist["name"] == "torch"]
    facts = {"installed": bool(path or mine), "file": path, "cuda_known": False, "broken_files": []}
    if mine:
        facts["version"] = mine[0]["version"]
        facts["installer"] = mine[0].get("installer")
        facts["broken_files"] = broken_files(mine[0]["location"], path)
    if path:
        facts.update(stated_build(read(os.path.join(os.path.dirname(path), "version.py")) or ""))
    facts["broken_files"] += [dist["name"] for dist in dists or () if dist["name"].startswith("~")]
    return dict(facts, shadows=shadows, strays=strays(paths, loaded))


def stated_build(text):
    """What torch/version.py says, read as text."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        name, value = name.partition(":")[0].rstrip(), literal(value.strip())
        if equals and name.replace("_", "a").isalnum() and value != ():
            values[name] = value
    if "__version__" not in values:
        return {}
    facts = {name: str(values[name]) if values.get(name) is not None else None for name in ("cuda", "hip", "xpu")}
    facts.update(version=str(values["__version__"]), git=values.get("git_version"), debug=values.get("debug"))
    return dict(facts, cuda_known="cuda" in values)


def literal(text):
    """The text or constant that an assignment gives, without the comment behind it; () for anything else."""
    text = text[1:] if text[:2] in ("u'", 'u"', "U'", 'U"') else text
    quote = text[:1]
    if quote in ("'", '"'):
        value, end, rest = text[1:].partition(quote)
        plain = end and "\\" not in value and not rest.partition("#")[0].strip()
        return value if plain else ()
    return CONSTANTS.get(text.partition("#")[0].strip(), ())


def broken_files(folder, path):
    """Libraries and first modules that RECORD names and that are missing or shorter than it says."""
    if path is None:
        return ["torch/__init__.py"]
    records = [
        name
        for name in names_in(folder)
        if name[:6] == "torch-" and name[6:7].isdigit() and name.endswith(".dist-info")
    ]
    record = contents(os.path.join(folder, records[0], "RECORD"), 16 << 20) if records else None
    rows = [line.decode("utf-8", "replace").split(",") for line in lines_with(record or b"", ENDINGS)]
    sizes = [(row[0], row[-1].strip()) for row in rows if len(row) == 3 and is_torch_code(row[0])]
    return [
        name for name, size in sizes if (size.isdigit() or not size) and not whole(os.path.join(folder, name), size)
    ][:20]


def is_torch_code(path):
    """Whether a path of RECORD is torch's first module or a library of it: `torch/lib/libgomp.so.1`."""
    if path == "torch/__init__.py":
        return True
    stem = path.rstrip("0123456789.")
    return path.startswith("torch/") and stem.endswith((".so", ".dll", ".pyd", ".dylib"))


def lines_with(text, words):
    """Lines that hold one of the words, in order; fast on a megabyte that has few of them."""
    starts = set()
    for word in words:
        place = text.find(word)
        while place >= 0:
            starts.add(text.rfind(b"\n", 0, place) + 1)
            place = text.find(word, place + 1)
    return [text[start : text.find(b"\n", start) % (len(text) + 1)] for start in sorted(starts)]


def whole(path, size):
    """Whether a file is there and not shorter than it should be."""
    try:
        return os.stat(path).st_size >= int(size or 0)
    except OSError:
        return False
