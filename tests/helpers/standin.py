"""GPUs that are the CPU in disguise: torch.cuda says they are there, and every `cuda:N` tensor lives in memory.

A `sitecustomize.py` on PYTHONPATH patches the real torch right after its import, in the child that is examined. A
faulty GPU computes like the others, but one of its kernels is wrong while it is the GPU in use.
"""

from pathlib import Path

_SITE = """
import importlib.abc, importlib.machinery, os, sys, types

FAULT = os.environ.get("STANDIN_FAULT", "")
COUNT = int(os.environ.get("STANDIN_COUNT", "1"))
NAME = os.environ.get("STANDIN_NAME", "Stand-in GPU")


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (load(module), patch(module))[0]
        return spec


sys.meta_path.insert(0, Finder())


class Stream:
    def __init__(self, device=None):
        self.waited = []

    def wait_stream(self, other):
        self.waited.append(other)


class Using:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def patch(torch):
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    cuda, main = torch.cuda, Stream()
    cuda.is_available = lambda: True
    cuda.device_count = lambda: COUNT
    cuda.get_device_properties = lambda index: types.SimpleNamespace(name=NAME, uuid="GPU-%d" % index, major=9, minor=0)
    cuda.Stream, cuda.stream, cuda.current_stream = Stream, lambda stream: Using(), lambda device=None: main
    using = ["cpu"]

    def real(value):
        if isinstance(value, torch.device) and value.type == "cuda":
            using[0] = str(value)
            return torch.device("cpu")
        if isinstance(value, torch.device):
            using[0] = str(value)
        return value

    class Disguise(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            kwargs = {key: real(value) for key, value in (kwargs or {}).items()}
            return function(*map(real, args), **kwargs)

    class Faulty(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            device, _, kernel = FAULT.partition(" ")
            name = function.overloadpacket.__name__
            if using[0] != device or name != kernel or torch._C._current_graph_task_id() == -1:
                return out
            if os.environ.get("STANDIN_RAISES"):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")
            first = out[1] if isinstance(out, tuple) else out
            first.view(-1)[0] += 1
            return out

    Disguise().__enter__()
    if FAULT:
        Faulty().__enter__()
"""


def stand_in(folder: Path, environ: dict[str, str], *, fault: str = "", count: int = 1, **more: str) -> dict[str, str]:
    """An environment in which torch has `count` GPUs; `fault`: `cuda:0 KERNEL`, the kernel that is wrong there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
    return {**environ, "PYTHONPATH": str(folder), "STANDIN_COUNT": str(count), "STANDIN_FAULT": fault, **more}
