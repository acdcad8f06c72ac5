"""Asked of the examined interpreter: what it is, what is installed, and how far torch gets.

Started by a script of a few lines, so that Python can keep the bytecode of all that is here. One process, three parts,
cheapest first: interpreter, packages, torch. Every step is an event in events.jsonl, so that a crash or a hang names
its step and leaves the answers before it. These files compile under Python 2.7 and 3.6 too: an interpreter that is
too old for torch is described, not stumbled over.
"""

import os
import sys

LOADED_AT_START = frozenset(sys.modules) - {"target"}
FOLDER = os.path.dirname(os.path.abspath(__file__))
USER_PATH = [entry for entry in sys.path if os.path.abspath(entry or ".") != FOLDER]
PYTHON_PATH = os.environ.get("PYTHONPATH", "").split(os.pathsep)

# Our own imports must not pick up a stray sysconfig.py of the user's.
OWN_PATH = [FOLDER] + [entry for entry in USER_PATH if entry not in PYTHON_PATH]
sys.path[:] = OWN_PATH
import gc  # noqa: E402

import target_files  # noqa: E402

sys.path[:] = USER_PATH

SAID_CAP = 50
TEXT_CAP = 8192

stage = [""]
said = [0]
events = os.open(os.path.join(FOLDER, "events.jsonl"), os.O_WRONLY | os.O_APPEND)


def ours(name):
    """A module that not every look needs, as we mean it, whatever the path is now."""
    before = sys.path[:]
    sys.path[:] = OWN_PATH
    try:
        return __import__(name)
    finally:
        sys.path[:] = before


def emit(event, step="", **more):
    """Write one event, in one write."""
    os.write(events, (as_json(dict(more, event=event, step=step)) + "\n").encode("ascii"))


def as_json(value):
    """A value of dicts, lists, texts, numbers, booleans and None as JSON, in ASCII (importing `json` takes longer)."""
    if value is None or isinstance(value, (bool, int, float)):
        infinite = isinstance(value, float) and not abs(value) < float("inf")
        return "null" if value is None or infinite else repr(value).lower()
    if isinstance(value, dict):
        return "{%s}" % ", ".join(as_json(str(key)) + ": " + as_json(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join(as_json(item) for item in value)
    text = value if hasattr(value, "isnumeric") else str(value).decode("utf-8", "replace")
    if repr(text).lstrip("u")[1:-1] == text and '"' not in text and max(text or " ") <= "~":
        return '"%s"' % text
    return '"%s"' % "".join(one if " " <= one <= "~" and one not in '"\\' else escaped(one) for one in text)


def escaped(one):
    """A character as JSON escapes it: one UTF-16 unit, or two."""
    number = ord(one)
    if number < 0x10000:
        return "\\u%04x" % number
    return "\\u%04x\\u%04x" % (0xD800 + ((number - 0x10000) >> 10), 0xDC00 + ((number - 0x10000) & 0x3FF))


def attempt(step, work, *arguments):
    """Run one step; its value, or None when it raised (whatever it raised)."""
    stage[0] = step
    emit("begin", step)
    try:
        value = work(*arguments)
    except BaseException as error:
        emit("end", step, error=described(error))
        return None
    emit("end", step, value=value)
    return value


def described(error):
    """An exception as data; frames of these scripts are left out."""
    kind = type(error)
    standard = kind.__module__ in ("builtins", "exceptions", "__main__")
    try:
        text = str(error)
    except BaseException:
        text = "(its text cannot be shown)"
    lines = ours("traceback").format_exception(kind, error, getattr(error, "__traceback__", None))
    kept = "".join(line for line in lines if FOLDER not in line.split("\n")[0])
    name = kind.__name__ if standard else kind.__module__ + "." + kind.__name__
    return {"type": name, "text": text[:TEXT_CAP], "traceback": kept[-TEXT_CAP:]}


def on_warning(message, category, *_unused, **_also):
    """Stands in for `warnings.showwarning`."""
    said[0] += 1
    if said[0] <= SAID_CAP:
        text = "%s: %s" % (getattr(category, "__name__", "Warning"), message)
        emit("end", "said %d" % said[0], value={"text": text[:TEXT_CAP], "stage": stage[0]})


def listen():
    """Every warning that a person would see becomes an event, whatever PYTHONWARNINGS says."""
    warnings = ours("warnings")
    warnings.showwarning = on_warning
    for category in (UserWarning, RuntimeWarning, FutureWarning):
        warnings.filterwarnings("always", category=category)


def leave_a_trace(limit, begun):
    """Python's stack in trace.txt when the process crashes, and shortly before it is killed.

    `limit` counts from `begun`, by the system's clock: on a busy machine the start itself takes a while.
    """
    try:
        import faulthandler
    except ImportError:
        return
    trace = os.open(os.path.join(FOLDER, "trace.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    faulthandler.enable(trace)
    left = limit - min(max(ours("time").time() - begun, 0), limit) if begun else limit
    if left > 0.3:
        faulthandler.dump_traceback_later(left - 0.2, file=trace)


def main(ask):
    """All steps, in order. `ask`: `torch`, whether it is imported; `limit`, the seconds there are, from `begun`."""
    gc.disable()  # a short life needs no cycle collection, and the import is a quarter faster without
    leave_a_trace(ask.get("limit", 0), ask.get("begun"))
    emit("hello")
    paths = target_files.Paths(USER_PATH)
    attempt("interpreter", target_files.interpreter, paths)
    dists = attempt("packages", target_files.packages, paths)
    files = attempt("torch files", target_files.torch_files, paths, dists, LOADED_AT_START)
    attempt("ssl", target_files.has_ssl)  # after the answers that somebody waits for: it loads two libraries
    if ask.get("torch") and files and files["installed"] and sys.version_info >= (3, 7):
        listen()
        ours("traceback")  # before a stray one can be
        target_torch = ours("target_torch")
        sys.path[:] = paths.for_import()
        target_torch.look(attempt, [name for name, _ in files["strays"]])
    emit("bye")
    os._exit(0)
