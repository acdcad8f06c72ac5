"""Asks the NVIDIA driver, one fact an event, and never starts a GPU: NVML, then libcuda's version without cuInit.

Run by envcheck's own interpreter with `-I -S -B`. No json, no re: their import would take longer than all of this.
ask.json: `{"nvml": [names or paths to load, best first], "cuda": [the same]}`. The value of a step that is a driver
call is `[return code, what it gave or null]`; of a `dlopen(NAME)` step `{"path": ...}`, or `{"error": ...,
"exists": whether the file is there}`.
"""

import ctypes
import os
import sys
from ctypes import byref, c_char, c_int, c_ubyte, c_uint, c_ulonglong, c_void_p

try:  # the C parts of json, without its re
    from _json import encode_basestring_ascii as quoted
    from _json import make_scanner
except ImportError:
    make_scanner = None
    from json.encoder import encode_basestring_ascii as quoted

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
EVENTS = os.open(os.path.join(HERE, "events.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

FUNCTION_NOT_FOUND, VERSION_MISMATCH = 13, 25
GONE = (15, 16)  # a GPU that is lost or wants a reset is not asked further
KNOWN_CODES = (*range(31), 999)
MAX_GPUS = 64
MAX_MIG = 32
ENDING = {"win32": ".dll"}.get(sys.platform, ".so")


class ScanContext:
    """What the C scanner of json wants to know."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, str
    memo = {}


class PciV3(ctypes.Structure):
    """nvmlPciInfo_t; numbers: domain, bus, device, ids."""

    _fields_ = [("legacy", c_char * 16), ("numbers", c_uint * 5), ("bus_id", c_char * 32)]


class PciV2(ctypes.Structure):
    """nvmlPciInfo_v2_t."""

    _fields_ = [("bus_id", c_char * 16), ("numbers", c_uint * 9)]


class MemoryV2(ctypes.Structure):
    """nvmlMemory_v2_t, bytes."""

    _fields_ = [("version", c_uint), ("total", c_ulonglong), ("reserved", c_ulonglong), ("free", c_ulonglong)]
    _fields_ += [("used", c_ulonglong)]


class FabricV2(ctypes.Structure):
    """nvmlGpuFabricInfo_v2_t."""

    _fields_ = [("version", c_uint), ("cluster", c_ubyte * 16), ("status", c_int), ("clique", c_uint)]
    _fields_ += [("state", c_ubyte), ("health", c_uint)]


class FabricV1(ctypes.Structure):
    """nvmlGpuFabricInfo_t."""

    _fields_ = [("cluster", c_ubyte * 16), ("status", c_int), ("clique", c_uint), ("state", c_ubyte)]


# --- events -------------------------------------------------------------------------------------------------------


def written(value):
    """A value as JSON."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(written(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(quoted(key) + ":" + written(item) for key, item in value.items()) + "}"
    return quoted(value)


def emit(**event):
    """One line of events.jsonl."""
    os.write(EVENTS, (written(event) + "\n").encode())


def asked():
    """What ask.json says."""
    with open(os.path.join(HERE, "ask.json"), encoding="utf-8") as file:
        text = file.read()
    if make_scanner is not None:
        return make_scanner(ScanContext())(text, 0)[0]
    import json

    return json.loads(text)


def text_of(data):
    r"""Text of bytes from the driver: those that are no UTF-8 are shown as \xNN; none at all is None."""
    return data.decode("utf-8", "backslashreplace") or None


# --- libraries ----------------------------------------------------------------------------------------------------


def mapped():
    """Paths of the shared libraries in this process (Linux), in the order of their addresses."""
    paths = {}
    try:
        with open("/proc/self/maps", "rb") as file:
            for line in file:
                path = line.split(None, 5)[-1].strip().decode("utf-8", "backslashreplace")
                if path.startswith("/") and ENDING in path:
                    paths[path] = None
    except OSError:
        pass
    return paths


def path_of(library, name, before):
    """Where the loader found `name`."""
    if sys.platform == "win32":
        handle = c_void_p(library._handle)  # noqa: SLF001 - ctypes has no other name for it
        buffer = ctypes.create_unicode_buffer(1024)
        ctypes.windll.kernel32.GetModuleFileNameW(handle, buffer, 1023)
        return buffer.value or None
    stem = os.path.basename(name).split(ENDING)[0]
    found = [path for path in mapped() if os.path.basename(path).startswith(stem)]
    new = [path for path in found if path not in before]
    return (new or found or [None])[0]


def load(name):
    """The library (or None) and where it lies; the loader's own words are kept."""
    step = "dlopen(%s)" % name
    before = mapped()
    emit(event="begin", step=step)
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        emit(event="end", step=step, value={"error": str(error)[:2000], "exists": os.path.exists(name)})
        return None, None
    path = path_of(library, name, before)
    emit(event="end", step=step, value={"path": path})
    return library, path


class Asker:
    """Calls into one library, each one a step."""

    def __init__(self, library):
        self.library = library
        self.explained = set()

    def call(self, name, *args, read=None, at=""):
        """The return code; `read()` is what it gave. A missing symbol is FUNCTION_NOT_FOUND."""
        step = name + at
        emit(event="begin", step=step)
        function = getattr(self.library, name, None)
        code = FUNCTION_NOT_FOUND if function is None else function(*args)
        emit(event="end", step=step, value=[code, read() if read and code == 0 else None])
        if code not in KNOWN_CODES and name.startswith("nvml"):
            self.explain(code)
        return code

    def explain(self, code):
        """The library's own words for a code that we do not know."""
        function = getattr(self.library, "nvmlErrorString", None)
        if function is None or code in self.explained:
            return
        self.explained.add(code)
        step = "nvmlErrorString(%d)" % code
        function.restype = ctypes.c_char_p
        emit(event="begin", step=step)
        words = function(code) or b""
        emit(event="end", step=step, value=words[:500].decode("utf-8", "backslashreplace"))

    def string(self, name, *args, at=""):
        """A call that fills a buffer with text."""
        buffer = ctypes.create_string_buffer(257)
        return self.call(name, *args, buffer, c_uint(256), read=lambda: text_of(buffer.value), at=at)

    def numbers(self, name, *args, count=1, at=""):
        """A call that fills `count` unsigned numbers: its code, and they."""
        cells = [c_uint(0) for _ in range(count)]
        code = self.call(name, *args, *map(byref, cells), read=lambda: [cell.value for cell in cells], at=at)
        return code, [cell.value for cell in cells]

    def structure(self, versions, handle, read, at):
        """A call that fills a structure: the newest of `(name, structure)` that the library knows."""
        code = FUNCTION_NOT_FOUND
        for name, filled in versions:
            code = self.call(name, handle, byref(filled), read=lambda filled=filled: read(filled), at=at)
            if code not in (FUNCTION_NOT_FOUND, VERSION_MISMATCH):
                break
        return code


# --- questions ----------------------------------------------------------------------------------------------------


def devices(nvml):
    """Every GPU, in NVML's order."""
    code, (count,) = nvml.numbers("nvmlDeviceGetCount_v2")
    for index in range(min(count, MAX_GPUS) if code == 0 else 0):
        device(nvml, index)


def device(nvml, index):
    """One GPU; a lost one is not asked further."""
    at = "(%d)" % index
    handle = c_void_p()
    if nvml.call("nvmlDeviceGetHandleByIndex_v2", c_uint(index), byref(handle), at=at) != 0:
        return
    questions = (
        lambda: nvml.string("nvmlDeviceGetName", handle, at=at),
        lambda: nvml.string("nvmlDeviceGetUUID", handle, at=at),
        lambda: pci(nvml, handle, at),
        lambda: nvml.numbers("nvmlDeviceGetCudaComputeCapability", handle, count=2, at=at)[0],
        lambda: memory(nvml, handle, at),
        lambda: nvml.numbers("nvmlDeviceGetComputeMode", handle, at=at)[0],
        lambda: nvml.numbers("nvmlDeviceGetVirtualizationMode", handle, at=at)[0],
        lambda: fabric(nvml, handle, at),
        lambda: mig(nvml, handle, at),
    )
    for question in questions:
        if question() in GONE:
            return


def pci(nvml, handle, at):
    """The PCI address as the driver writes it, and as its numbers make it."""

    def read(info):
        domain, bus, slot = info.numbers[0], info.numbers[1], info.numbers[2]
        return [text_of(info.bus_id), "%08x:%02x:%02x.0" % (domain, bus, slot)]

    versions = (("nvmlDeviceGetPciInfo_v3", PciV3()), ("nvmlDeviceGetPciInfo_v2", PciV2()))
    return nvml.structure(versions, handle, read, at)


def memory(nvml, handle, at):
    """Total and free bytes."""
    newer, older = MemoryV2(version=ctypes.sizeof(MemoryV2) | 2 << 24), (c_ulonglong * 3)()
    versions = (("nvmlDeviceGetMemoryInfo_v2", newer), ("nvmlDeviceGetMemoryInfo", older))
    return nvml.structure(versions, handle, lambda m: [m.total, m.free] if m is newer else [m[0], m[1]], at)


def fabric(nvml, handle, at):
    """State and status of the NVLink fabric."""
    newer = FabricV2(version=ctypes.sizeof(FabricV2) | 2 << 24)
    versions = (("nvmlDeviceGetGpuFabricInfoV", newer), ("nvmlDeviceGetGpuFabricInfo", FabricV1()))
    return nvml.structure(versions, handle, lambda info: [info.state, info.status], at)


def mig(nvml, handle, at):
    """The MIG mode (current, pending), and the UUIDs of its instances."""
    code, (mode, _) = nvml.numbers("nvmlDeviceGetMigMode", handle, count=2, at=at)
    if code != 0 or mode != 1:
        return code
    code, (most,) = nvml.numbers("nvmlDeviceGetMaxMigDeviceCount", handle, at=at)
    for number in range(min(most, MAX_MIG) if code == 0 else 0):
        here = "%s/%d" % (at, number)
        instance = c_void_p()
        found = nvml.call("nvmlDeviceGetMigDeviceHandleByIndex", handle, c_uint(number), byref(instance), at=here)
        if found == 0:
            nvml.string("nvmlDeviceGetUUID", instance, at=here)
    return code


def ask_nvml(names):
    """Ask the first library that starts; one that does not start gives way to the next (WSL's stub does)."""
    seen = []
    for candidate in names:
        library, path = load(candidate)
        if library is None or path in seen:
            continue
        nvml, at = Asker(library), "[%s]" % candidate if seen else ""
        seen.append(path)
        code = nvml.call("nvmlInit_v2", at=at)
        nvml.string("nvmlSystemGetNVMLVersion", at=at)
        if code == 0:
            nvml.string("nvmlSystemGetDriverVersion")
            devices(nvml)
            # Last: the driver may load libcuda for it, which takes a second on some machines.
            if nvml.numbers("nvmlSystemGetCudaDriverVersion_v2")[0] != 0:
                nvml.numbers("nvmlSystemGetCudaDriverVersion")
            return


def ask_cuda(names):
    """The CUDA version of the libcuda that the loader finds."""
    for candidate in names:
        library, _ = load(candidate)
        if library is not None:
            Asker(library).numbers("cuDriverGetVersion")
            return


def main():
    """Ask, and leave without the library's own farewell."""
    if os.name == "posix":
        os.chdir("/")  # no library is found through, and no folder held by, where somebody happened to be
    emit(event="hello")
    libraries = asked()
    ask_nvml(libraries["nvml"])
    ask_cuda(libraries["cuda"])
    emit(event="bye")
    os._exit(0)


main()
