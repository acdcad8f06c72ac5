"""How far torch gets: its import, its build, and the first kernel of every device, one step each."""

import os
import re
import sys
import time

MAPPED = re.compile(
    r"lib(cud|nv|cublas|cufft|curand|cusolver|cusparse|nccl|gomp|iomp|omp|mkl_rt|torch|c10|stdc\+\+|amdhip|hip|roc"
    r"|MIOpen|rccl|ze_|sycl)[^/]*$"
)
DEVICES_CAP = 64


def look(attempt, strays):
    """All steps; `attempt(step, work, *arguments)` runs one. Stops when the import fails."""
    imported = attempt("import", import_torch)
    if imported is None:
        attempt("libraries", libraries, strays)
        return
    import torch

    build = attempt("build", build_of, torch) or {}
    attempt("kernel cpu", first_kernel, torch, "cpu")
    available = attempt("is_available", lambda: bool(torch.cuda.is_available()))
    if build.get("cuda") or build.get("hip") or available:
        accelerators(attempt, torch, build, available)
    if build.get("xpu"):
        others(attempt, torch, "xpu", torch.xpu)
    if sys.platform == "darwin" and hasattr(torch.backends, "mps"):
        others(attempt, torch, "mps", torch.backends.mps)
    attempt("libraries", libraries, strays)
    attempt("cpu", processor, torch)


def import_torch():
    """The import and how long it took."""
    begun = time.time()
    import torch

    return {"ms": (time.time() - begun) * 1000, "file": getattr(torch, "__file__", None)}


def build_of(torch):
    """What the build says of itself."""
    version = getattr(torch, "version", None)
    facts = {name: getattr(version, name, None) for name in ("cuda", "hip", "xpu", "debug", "git_version")}
    facts = {name: value if isinstance(value, (bool, type(None))) else str(value) for name, value in facts.items()}
    stated = getattr(torch, "__version__", None)
    return dict(facts, version=None if stated is None else str(stated), arch_list=arch_list(torch, facts))


def arch_list(torch, facts):
    """Architectures of the build, asked so that CUDA is not started."""
    if not (facts["cuda"] or facts["hip"]):
        return []
    flags = getattr(getattr(torch, "_C", None), "_cuda_getArchFlags", None)
    if flags is not None:
        return (flags() or "").split()
    ask = getattr(torch.cuda, "get_arch_list", None)
    return None if ask is None else list(ask())


def accelerators(attempt, torch, build, available):
    """CUDA, or ROCm behind the same interface."""
    if not available:
        attempt("init", torch.cuda.init)
    count = attempt("device_count", torch.cuda.device_count) or 0
    if available:
        kind = "rocm" if build.get("hip") else "cuda"
        for index in range(min(count, DEVICES_CAP)):
            attempt("device %s:%d" % (kind, index), properties, torch.cuda, kind, index)
        for index in range(min(count, DEVICES_CAP)):
            attempt("kernel %s:%d" % (kind, index), first_kernel, torch, "cuda:%d" % index)
    attempt("cudnn", cudnn_version, torch)
    if hasattr(getattr(torch, "_C", None), "_nccl_version"):
        attempt("nccl", nccl_version, torch)


def others(attempt, torch, kind, module):
    """XPU and MPS."""
    if attempt("%s is_available" % kind, lambda: bool(module.is_available())):
        count = 1 if kind == "mps" else attempt("%s device_count" % kind, module.device_count) or 0
        for index in range(min(count, DEVICES_CAP)):
            if kind == "xpu":
                attempt("device xpu:%d" % index, properties, module, kind, index)
            attempt("kernel %s:%d" % (kind, index), first_kernel, torch, "%s:%d" % (kind, index))


def properties(module, kind, index):
    """One device as torch sees it."""
    found = module.get_device_properties(index)
    major, minor = getattr(found, "major", None), getattr(found, "minor", None)
    gfx = getattr(found, "gcnArchName", None) if kind == "rocm" else None
    uuid = getattr(found, "uuid", None)
    return {
        "name": str(getattr(found, "name", "")) or None,
        "memory_bytes": getattr(found, "total_memory", None),
        "compute_capability": "%d.%d" % (major, minor) if kind == "cuda" and major is not None else None,
        "gfx": gfx.split(":")[0] if gfx else None,
        "uuid": None if uuid is None else str(uuid),
    }


def first_kernel(torch, device):
    """Allocation, a matrix product and its backward pass; every number is small and exact in any dtype."""
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
    w = torch.tensor([[1.0, -1.0], [2.0, 0.5]], device=device, requires_grad=True)
    y = x.matmul(w)
    (y * y).sum().backward()
    got = [y.tolist(), w.grad.tolist()]
    if got != [[[5.0, 0.0], [11.0, -1.0]], [[76.0, -6.0], [108.0, -8.0]]]:
        return {"ok": False, "text": "wrong numbers: %r" % (got,)}
    return {"ok": True}


def cudnn_version(torch):
    """CuDNN's version, one number: 8902 is 8.9.2, 90100 is 9.1.0. None for ROCm, whose number means MIOpen."""
    version = torch.backends.cudnn.version()
    if not version or torch.version.cuda is None:
        return None
    thousands = 1000 if version < 10000 else 10000
    return "%d.%d.%d" % (version // thousands, version % thousands // 100, version % 100)


def nccl_version(torch):
    """NCCL's version, which was one number before it was a tuple."""
    version = torch.cuda.nccl.version()
    if isinstance(version, int):  # 2.8.3 was 2803, 2.10.3 is 21003
        thousands = 1000 if version < 10000 else 10000
        version = (version // thousands, version % thousands // 100, version % 100)
    return ".".join(str(part) for part in version)


def libraries(strays):
    """Mapped libraries (Linux), and which of the stray files' names were imported on the way."""
    mapped = None
    if os.path.exists("/proc/self/maps"):
        with open("/proc/self/maps", "rb") as file:
            paths = {line.split(None, 5)[5].strip() for line in file if b"/" in line}
        names = [path.decode("utf-8", "replace") for path in paths]
        mapped = sorted(name for name in names if MAPPED.search(name))
    return {"mapped": mapped, "strays": [name for name in strays if name in sys.modules]}


def processor(torch):
    """Threads and vector instructions that torch uses."""
    ask = getattr(getattr(torch.backends, "cpu", None), "get_cpu_capability", None)
    return {"threads": torch.get_num_threads(), "capability": ask() if ask else None}
