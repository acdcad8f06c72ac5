"""Back-propagation worker: is it right here? Measures in the examined interpreter, judges nothing.

Reads ask.json beside it, appends to events.jsonl: hello, begin and end of each step, bye. Python 3.7 syntax; standard
library and torch only, no numpy. The modules named backprop_*.py are its own and lie beside it.
"""

import gc
import json
import os
import platform
import sys
import time

from backprop_exact import exact_step
from backprop_kit import Kit, Reporter
from backprop_probe import (
    PRODUCTS,
    elementwise_step,
    kernel_step,
    lesson_step,
    load_step,
    precision_step,
)
from backprop_random import RANDOM, random_step, reference_step

SWITCHES = (
    "backends.fp32_precision",
    "backends.cuda.matmul.allow_tf32",
    "backends.cuda.matmul.fp32_precision",
    "backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_fp16_accumulation",
    "backends.cudnn.allow_tf32",
    "backends.cudnn.benchmark",
    "backends.cudnn.deterministic",
    "backends.cudnn.conv.fp32_precision",
    "backends.cudnn.rnn.fp32_precision",
    "backends.mkldnn.enabled",
    "backends.mkldnn.is_available",
    "backends.mkldnn.matmul.fp32_precision",
    "backends.mkldnn.conv.fp32_precision",
    "get_float32_matmul_precision",
    "are_deterministic_algorithms_enabled",
    "is_autocast_enabled",
    "get_default_dtype",
    "get_num_threads",
)
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def import_torch():
    """The module torch, and how many milliseconds its import took."""
    begun = time.perf_counter()
    import torch

    return torch, round((time.perf_counter() - begun) * 1000, 1)


def about(torch):
    """What torch is."""
    version = getattr(torch, "version", None)
    capability = getattr(getattr(getattr(torch, "backends", None), "cpu", None), "get_cpu_capability", None)
    return {
        "version": str(torch.__version__),
        "file": str(getattr(torch, "__file__", None)),
        "cuda": getattr(version, "cuda", None),
        "hip": getattr(version, "hip", None),
        "threads": torch.get_num_threads(),
        "capability": capability() if capability else None,
    }


def switches(torch):
    """The switches that this torch has, as they were found."""
    found = {}
    for path in SWITCHES:
        value = torch
        try:
            for name in path.split("."):
                value = getattr(value, name)
            found[path] = str(value() if callable(value) else value)
        except Exception:
            continue
    return found


def devices(torch):
    """Every device that torch offers: name, kind, and what it says of itself."""
    found = [{"device": "cpu", "kind": "cpu", "name": platform.processor() or platform.machine()}]
    for kind in ("cuda", "xpu"):
        module = getattr(torch, kind, None)
        if module is not None and module.is_available():
            found += [_described(torch, module, kind, index) for index in range(module.device_count())]
    mps = getattr(getattr(torch, "backends", None), "mps", None)
    if mps is not None and mps.is_available():
        found.append({"device": "mps", "kind": "mps", "name": platform.machine()})
    return found


def _described(torch, module, kind, index):
    device = {"device": "%s:%d" % (kind, index), "kind": kind}
    if kind == "cuda" and getattr(torch.version, "hip", None):
        device["kind"] = "rocm"
    try:
        properties = module.get_device_properties(index)
        device["name"] = str(getattr(properties, "name", ""))
        uuid = getattr(properties, "uuid", None)
        if uuid is not None:
            device["uuid"] = str(uuid)
        major, minor = getattr(properties, "major", None), getattr(properties, "minor", None)
        if major is not None and minor is not None:
            device["capability"] = "%d.%d" % (major, minor)
    except Exception as error:
        device["error"] = str(error)[:500]
    return device


class Tf32Off:
    """float32 products in full float32 for a while, on whatever has a switch for it."""

    PATHS = (("cuda", "matmul"), ("cudnn",))

    def __init__(self, torch):
        self.holders = []
        for path in self.PATHS:
            holder = getattr(torch, "backends", None)
            for name in path:
                holder = getattr(holder, name, None)
            if holder is not None:
                self.holders.append(holder)

    def __enter__(self):
        self.found = []
        for holder in self.holders:
            try:
                value = holder.allow_tf32
                holder.allow_tf32 = False
            except Exception:
                continue
            self.found.append((holder, value))

    def __exit__(self, *_):
        for holder, value in self.found:
            try:
                holder.allow_tf32 = value
            except Exception:
                continue


class Session:
    """All steps, in the order in which a reader wants to see what parted first."""

    def __init__(self, torch, ask, reporter, few=1):
        self.torch, self.ask, self.reporter, self.few = torch, ask, reporter, few
        self.threads = torch.get_num_threads()

    def run(self):
        """The references, then every device that was asked for."""
        # Small work costs more in waking threads than in itself; the load uses all of them.
        self.torch.set_num_threads(self.few)
        references = [(name, seed, narrow) for seed in self.ask["seeds"] for name in RANDOM for narrow in (False, True)]
        for name, seed, narrow in references:
            if not (narrow and RANDOM[name].dtypes):
                step = "reference/%s/%s/%d" % (name, "narrow" if narrow else "float32", seed)
                self.reporter.step(step, reference_step, self.torch, name, seed, narrow)
        found = self.reporter.step("devices", devices, self.torch) or [{"device": "cpu", "kind": "cpu"}]
        wanted = self.ask["devices"]
        for one in found:
            if not wanted or one["device"] in wanted or one["device"].split(":")[0] in wanted:
                self.device(one)

    def device(self, one):
        """Every layer on one device."""
        label, step = one["device"], self.reporter.step
        kit = step_value(self.reporter, label + "/open", lambda: Kit(self.torch, label))
        if kit is None or step(label + "/kernel", kernel_step, kit) is None:
            return
        for dtype in ("float64", "float32"):
            if not (dtype == "float64" and label == "mps"):
                step("%s/lesson/%s" % (label, dtype), lesson_step, kit, self.ask["lesson"], dtype)
        self.exact(kit, label)
        for name in PRODUCTS:
            for dtype in self.ask["dtypes"]:
                step("%s/precision/%s/%s" % (label, name, dtype), precision_step, kit, name, dtype)
        step(label + "/elementwise", elementwise_step, kit)
        self.random(kit, label)
        self.load(kit, label)
        self.reporter.note(label + "/end", True)

    def exact(self, kit, label):
        """The exact layer."""
        large = {case["name"]: case for case in self.ask["large"]}
        for case in self.ask["exact"]:
            for dtype in self.ask["dtypes"] + (["float64"] if label == "cpu" else []):
                step = "%s/exact/%s/%s" % (label, case["name"], dtype)
                batch = large.get(case["name"]) if dtype == "float32" else None
                brief = dtype == "float64"
                self.reporter.step(step, exact_step, kit, case, batch, self.ask["pool"], dtype, brief)

    def random(self, kit, label):
        """The random layer; float32 on other devices than the CPU without TF32, and as it was found."""
        for seed in self.ask["seeds"]:
            for name, op in RANDOM.items():
                for dtype in op.dtypes or self.ask["dtypes"]:
                    step = "%s/random/%s/%s/%d" % (label, name, dtype, seed)
                    if label != "cpu" and dtype == "float32":
                        with Tf32Off(self.torch):
                            self.reporter.step(step, random_step, kit, name, seed, dtype)
                        self.reporter.step(step.replace("/random/", "/found/"), random_step, kit, name, seed, dtype)
                    else:
                        self.reporter.step(step, random_step, kit, name, seed, dtype)

    def load(self, kit, label):
        """Work under load, on all threads."""
        seconds = self.ask["load"]["cpu" if label == "cpu" else "other"]
        if seconds <= 0:
            return
        self.torch.set_num_threads(self.threads)
        name = label + "/load"

        def tell(part):
            self.reporter.write(event="begin", step="%s@%d" % (name, part * 100))

        self.reporter.step(name, load_step, kit, seconds, tell)
        self.torch.set_num_threads(self.few)


def step_value(reporter, name, function):
    """A step whose value stays here: only that it went well is told."""
    kept = []
    reporter.step(name, lambda: kept.append(function()))
    return kept[0] if kept else None


def main():
    """Everything; never returns."""
    # Collecting cycles while torch is imported costs a quarter of the import.
    gc.disable()
    # Threads that wait without spinning: the same numbers, and far less time where the processors are busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = os.path.dirname(os.path.abspath(__file__))
    if folder in sys.path:
        sys.path.remove(folder)
    with open(os.path.join(folder, "ask.json"), encoding="utf-8") as file:
        ask = json.load(file)
    reporter = Reporter(folder, ask.get("skip", ()))
    reporter.write(event="hello")
    python = {"version": platform.python_version(), "implementation": platform.python_implementation()}
    reporter.note("python", python)
    watch_for_crashes(folder, ask.get("trace_after"))
    kept = []
    reporter.step("import", lambda: kept.append(import_torch()) or {"ms": kept[0][1]})
    if kept:
        torch = kept[0][0]
        reporter.step("torch", about, torch)
        reporter.step("switches", switches, torch)
        reporter.note("variables", {name: os.environ[name] for name in VARIABLES if name in os.environ})
        Session(torch, ask, reporter).run()
    reporter.write(event="bye")
    leave()


def watch_for_crashes(folder, after):
    """Leave Python's stack in trace.txt at a crash, and shortly before the deadline."""
    try:
        import faulthandler

        file = open(os.path.join(folder, "trace.txt"), "w")
        faulthandler.enable(file)
        if after:
            faulthandler.dump_traceback_later(after, file=file)
    except Exception:
        pass


def leave():
    """End without destructors: a library that hangs or crashes on the way out says nothing about gradients."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
