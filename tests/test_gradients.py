"""The judge as a whole: devices, exceptions, what is unfinished, disagreements; and the checks EC5xx over it."""

import ast
import json
import sys
from typing import Any

import msgspec
import pytest
from helpers.backprop import WORKERS, ask_of, gradients_of, measure, mkldnn_set

from envcheck.commands.backprop import facts_of, observation, with_gradients
from envcheck.diagnosis.checks import CHECKS as ALL_CHECKS
from envcheck.gradients.ask import BESIDE, MAIN, Ask, make_ask, script, wanted
from envcheck.gradients.bits import inflate, split
from envcheck.gradients.failures import failed, not_offered
from envcheck.gradients.formats import pack, unpack
from envcheck.gradients.judge_exact import Book, judge_exact
from envcheck.gradients.record import Run, decode, encode
from envcheck.model.gradients import GradientCase, GradientDevice, Gradients, Parting
from envcheck.model.partings import decimal, in_words, parted_text, run_text
from envcheck.probes.interpreter import Choice
from envcheck.probes.system import System

CASES = ("linear", "conv2d", "relu")
OPS = ("linear", "gelu")
CHOICE = Choice("/home/quentin/venv/bin/python", "--python", ())


@pytest.fixture(scope="module")
def sound() -> Run:
    return measure(ask_of(CASES), OPS)


def changed(run: Run, **more: Any) -> Run:
    return msgspec.structs.replace(run, **more)


def on_gpus(run: Run, *names: str) -> dict[str, Any]:
    """The values of a run as if `cuda:0`, `cuda:1`, ... had given what the CPU gave."""
    values = dict(run.values)
    values["devices"] = [{"device": "cpu", "kind": "cpu"}]
    for index, name in enumerate(names):
        label = f"cuda:{index}"
        values["devices"].append({"device": label, "kind": "cuda", "name": name})
        for step, value in run.values.items():
            if step.startswith("cpu/"):
                values[step.replace("cpu", label, 1)] = value
                if "/random/" in step and "/float32/" in step:
                    values[step.replace("cpu/random", f"{label}/found", 1)] = value
    return values


# Devices


def test_a_device_is_trusted_when_all_was_measured(sound: Run) -> None:
    (device,) = gradients_of(sound).devices
    assert (device.verdict, device.parted) == ("trusted", None)
    assert len(device.of("exact")) == 4 * len(CASES)
    assert len(device.of("random")) == 3 * len(OPS)


def test_what_ended_early_is_not_trusted(sound: Run) -> None:
    values = {step: value for step, value in sound.values.items() if step not in ("cpu/end", "cpu/load")}
    found = gradients_of(changed(sound, values=values, state="timeout", stage="cpu/load"))
    assert found.devices[0].verdict == "unknown"
    assert not found.complete
    assert found.failed_in == "cpu/load"


def test_devices_that_were_not_reached_are_unknown(sound: Run) -> None:
    values = on_gpus(sound, "A")
    kept = {step: value for step, value in values.items() if not step.startswith("cuda:0/")}
    found = gradients_of(changed(sound, values=kept, state="timeout", stage="cpu/load"))
    assert [device.verdict for device in found.devices] == ["trusted", "unknown"]


def test_devices_that_were_not_asked_for_are_not_there(sound: Run) -> None:
    ask = msgspec.structs.replace(sound.ask, devices=("cuda:0",))
    found = gradients_of(changed(sound, values=on_gpus(sound, "A", "A"), ask=ask))
    assert [device.device for device in found.devices] == ["cuda:0"]


@pytest.mark.parametrize(
    ("device", "asked", "is_wanted"),
    [("cpu", (), True), ("cuda:1", ("cuda",), True), ("cuda:1", ("cuda:0",), False), ("cpu", ("cuda",), False)],
)
def test_devices_are_asked_for_by_name_or_kind(device: str, asked: tuple[str, ...], is_wanted: bool) -> None:
    assert wanted(device, asked) is is_wanted


def test_a_crash_condemns_its_device(sound: Run) -> None:
    crashes = ("cpu/random/lstm/bfloat16/0", "reference/gelu/float32/0")
    found = gradients_of(changed(sound, values=on_gpus(sound, "A"), crashes=crashes))
    assert [device.verdict for device in found.devices] == ["untrusted", "trusted"]
    assert found.devices[0].died_in == ("random/lstm/bfloat16/0", "reference/gelu/float32/0")


def test_a_first_kernel_that_fails_condemns_its_device(sound: Run) -> None:
    values = {step: value for step, value in on_gpus(sound, "A").items() if not step.startswith("cuda:0/")}
    error = {"type": "RuntimeError", "text": "CUDA error: no kernel image is available for execution on the device"}
    found = gradients_of(changed(sound, values=values, errors={"cuda:0/kernel": error}))
    assert found.devices[1].verdict == "untrusted"
    assert found.devices[1].kernel_error == error["text"]


def test_wrong_rounds_under_load_condemn_their_device(sound: Run) -> None:
    values = {**sound.values, "cpu/load": {"seconds": 1.0, "rounds": 100, "wrong": 1}}
    assert gradients_of(changed(sound, values=values)).devices[0].verdict == "untrusted"


def test_gpus_of_one_model_are_held_against_each_other(sound: Run) -> None:
    values = on_gpus(sound, "A", "A", "B")
    same = gradients_of(changed(sound, values=values))
    assert [device.verdict for device in same.devices] == ["trusted"] * 4
    assert same.disagreements == ()
    other = measure(ask_of(CASES, seed=0), OPS, skip=["reference", "cpu/exact"])
    step = "cuda:1/random/gelu/float16/0"
    values[step] = {**other.values["cpu/random/gelu/bfloat16/0"], "runs": [0, 0, 0]}
    found = gradients_of(changed(sound, values=values))
    assert [(one.devices, one.ops) for one in found.disagreements] == [(("cuda:0", "cuda:1"), ("gelu/float16",))]
    values["cuda:2/random/gelu/float16/0"] = values[step]
    assert len(gradients_of(changed(sound, values=values)).disagreements) == 1


def test_tf32_as_found_is_judged_by_its_own_measure(sound: Run) -> None:
    switches = {**sound.values["switches"], "backends.cuda.matmul.allow_tf32": "True"}
    switches |= {"backends.cuda.matmul.fp32_precision": "tf32"}
    found = gradients_of(changed(sound, values={**on_gpus(sound, "A"), "switches": switches}))
    gpu = found.devices[1]
    reduced = [case for case in gpu.cases if case.dtype == "tf32"]
    assert {case.op for case in reduced} == {"linear", "gelu"}
    # The stand-in's numbers are full float32: in units of TF32 their error is nothing.
    assert all(float.fromhex(case.error or "nan") < 0.1 for case in reduced)
    assert float.fromhex(gpu.tf32_effect or "nan") == pytest.approx(1, rel=0.5)


def test_an_inexact_algorithm_of_a_gpu_is_told_from_a_wrong_one(sound: Run) -> None:
    pack_parts = sys.modules["backprop_kit"].encode
    step = sound.values["cpu/exact/conv2d/float32"]
    parts = split(step)
    for off, on_gpu, on_cpu in ((1e-5, "inexact", "wrong"), (0.3, "wrong", "wrong")):
        numbers = list(unpack(parts[0], "float32"))
        numbers[7] += off
        moved = [pack(numbers, "float32"), *parts[1:]]
        value = {**step, "data": pack_parts(moved)}
        book = Book(sound.ask.exact, (), sound.ask.pool)
        gpu = judge_exact(book, "conv2d", "float32", value, inexact_allowed=True)
        cpu = judge_exact(book, "conv2d", "float32", value, inexact_allowed=False)
        assert (gpu.outcome, cpu.outcome) == (on_gpu, on_cpu)


@pytest.mark.parametrize(("on", "outcome"), [(True, "ok"), (False, "inexact")])
def test_convolutions_without_onednn_may_be_nnpacks(on: bool, outcome: str) -> None:
    """NNPACK multiplies by fractions: right to a millionth, not bit for bit, and no fault."""
    with mkldnn_set(on):
        run = measure(ask_of(["conv2d_grouped"], large=True), [], skip=["cpu/lesson", "cpu/precision"])
    (device,) = gradients_of(run).devices
    step = {**run.values["cpu/exact/conv2d_grouped/float32"]}
    head = step["large"]["out"]
    numbers = list(unpack(inflate(head["head"]), "float32"))
    if outcome == "inexact":
        # Not every build has NNPACK: what it would give is put in the place of a sum that is 0.
        moved = pack([numbers[0] + 2**-20, *numbers[1:]], "float32")
        head = {**head, "head": sys.modules["backprop_kit"].encode([moved])}
        values = {**run.values, "cpu/exact/conv2d_grouped/float32": {**step, "large": {**step["large"], "out": head}}}
        (device,) = gradients_of(changed(run, values=values)).devices
    (case,) = (case for case in device.of("exact") if case.dtype == "float32")
    assert case.outcome == outcome
    assert device.verdict == "trusted"


# Exceptions


@pytest.mark.parametrize(
    ("kind", "text", "is_absent"),
    [
        ("RuntimeError", "\"addmm_impl_cpu_\" not implemented for 'Half'", True),
        ("NotImplementedError", "Could not run 'aten::embedding' with arguments from the 'MPS' backend", True),
        (
            "RuntimeError",
            "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, Float, Double",
            True,
        ),
        ("AttributeError", "module 'torch.nn.functional' has no attribute 'scaled_dot_product_attention'", True),
        (
            "TypeError",
            "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64",
            True,
        ),
        ("RuntimeError", "CUDA error: no kernel image is available for execution on the device", False),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 MiB", False),
        ("RuntimeError", "CUDA error: operation not supported", False),
        ("AttributeError", "'NoneType' object has no attribute 'size'", False),
        ("RuntimeError", "no gradient came back for w", False),
    ],
)
def test_what_is_not_offered_is_told_from_what_fails(kind: str, text: str, is_absent: bool) -> None:
    error = {"type": kind, "text": text, "traceback": ""}
    assert not_offered(error) is is_absent
    assert failed("exact", "x", "float16", error).outcome == ("unsupported" if is_absent else "failed")
    # In a later pass of a case whose first one went well it is a failure, whatever it says.
    assert failed("exact", "x", "float16", error, run="strided").outcome == "failed"


def test_an_exception_in_one_pass_fails_the_case_and_names_the_pass(sound: Run) -> None:
    step = sound.values["cpu/exact/relu/float32"]
    error = {"type": "RuntimeError", "text": "boom\nmore", "traceback": ""}
    values = {**sound.values, "cpu/exact/relu/float32": {**step, "errors": {"strided": error}}}
    parted = gradients_of(changed(sound, values=values)).devices[0].parted
    assert parted is not None
    assert (parted.op, parted.outcome, parted.text) == ("relu", "failed", "strided: RuntimeError: boom")


def test_a_torch_without_anything_is_not_trusted(sound: Run) -> None:
    error = {"type": "NotImplementedError", "text": "no", "traceback": ""}
    kept = {step: value for step, value in sound.values.items() if "/" not in step or step.startswith("reference")}
    steps = ("cpu/exact/relu/float32", "cpu/random/gelu/float32/0")
    found = gradients_of(changed(sound, values=kept, errors=dict.fromkeys(steps, error)))
    assert {case.outcome for case in found.devices[0].cases} == {"unsupported"}
    assert found.devices[0].verdict == "unknown"


# Words


def parted(**more: Any) -> GradientCase:
    values = {"leg": "w", "expected": (3.0).hex(), "got": (4.0).hex(), "ulps": 2**21, "wrong": 2, "size": 9}
    found = Parting(**{**values, **more})
    return GradientCase(layer="exact", op="conv2d", dtype="float32", outcome="wrong", parting=found)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"got": (3 + 2**-22).hex(), "ulps": 1}, "1 ulp: the last bit"),
        ({"got": (3 + 2**-20).hex(), "ulps": 4}, "4 ulp: the last few bits"),
        ({"got": (3.003).hex(), "ulps": 12583}, "12,583 ulp: off by 0.1 %"),
        ({"got": (-3.0).hex()}, "the sign is turned"),
        ({"got": (0.0).hex()}, "the number is lost"),
        ({"got": "inf"}, "infinite"),
        ({"got": "nan", "ulps": None}, "not a number where there should be one"),
        ({}, "another number altogether; 2 of 9 numbers are wrong"),
        ({"expected": "9 numbers", "got": "8 numbers", "ulps": None}, "not a number"),
    ],
)
def test_how_far_in_words(more: dict[str, Any], says: str) -> None:
    found = parted(**more).parting
    assert found is not None
    assert says in in_words(found).english()


def test_what_parted_in_words() -> None:
    text = parted_text(parted(index=(1, 0), got=(3 + 2**-22).hex())).english()
    assert text == "conv2d in float32: the gradient of w at [1, 0] is 3.00000024, not 3"
    assert "the output at [2]" in parted_text(parted(leg="out", index=(2,))).english()
    assert parted_text(parted(leg="w, step 2")).english() == "conv2d in float32: w, step 2 is 4, not 3"
    lost = GradientCase(layer="exact", op="relu", dtype="float16", outcome="failed", text="RuntimeError: boom")
    assert parted_text(lost).english() == "relu in float16: RuntimeError: boom"


def test_decimals_tell_neighbours_apart() -> None:
    assert decimal((3 + 2**-22).hex(), "float32") != decimal((3.0).hex(), "float32")
    assert decimal((3 + 2**-51).hex(), "float64") != decimal((3.0).hex(), "float64")
    assert decimal("12 numbers", "float32") == "12 numbers"


@pytest.mark.parametrize("run", ["first", "second", "again", "expanded", "strided", "nan", "frozen:w", "large"])
def test_every_pass_has_words(run: str) -> None:
    found = parted(run=run).parting
    assert found is not None
    assert run_text(found) is not None


# Facts and records


def test_a_record_is_read_back_whole(sound: Run) -> None:
    again = decode(encode(sound), "x")
    assert again == changed(sound, values=json.loads(json.dumps(sound.values)))
    assert gradients_of(again) == gradients_of(sound)


def test_observations(sound: Run) -> None:
    assert observation(sound).state == "ok"
    absent = changed(sound, errors={"import": {"type": "ModuleNotFoundError", "text": "No module named 'torch'"}})
    assert (observation(absent).state, observation(absent).stage) == ("failed", "import")
    assert facts_of(CHOICE, changed(absent, values={}), None).torch.installed is False
    died = changed(sound, state="crashed", signal="SIGSEGV", stage="import")
    assert (observation(died).state, observation(died).signal) == ("crashed", "SIGSEGV")


def test_words_of_exceptions_are_redacted_and_nothing_else_is_touched(sound: Run) -> None:
    error = {"type": "OSError", "text": "/home/quentin/lib/libtorch.so: cannot open", "traceback": ""}
    run = changed(sound, errors={"cpu/exact/relu/float64": error})
    system = System("/", {"HOME": "/home/quentin", "USER": "quentin"}, "linux")
    whole = with_gradients(system, facts_of(CHOICE, run, None), gradients_of(run))
    assert whole.gradients is not None
    (device,) = whole.gradients.devices
    assert len(device.cases) == len(gradients_of(run).devices[0].cases)
    assert device.precision == gradients_of(run).devices[0].precision
    assert [case.text for case in device.cases if case.text] == ["OSError: ~/lib/libtorch.so: cannot open"]
    assert "quentin" not in msgspec.json.encode(whole).decode()


# The worker


def test_the_worker_needs_python_3_7_and_nothing_but_torch() -> None:
    for name in (MAIN, *BESIDE):
        tree = ast.parse((WORKERS / name).read_text("utf-8"), feature_version=(3, 7))
        for node in ast.walk(tree):
            assert not isinstance(node, ast.NamedExpr)
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in names:
                root = module.partition(".")[0]
                assert root in sys.stdlib_module_names | {"torch"} or f"{root}.py" in BESIDE, name
    main, beside = script()
    assert "def main" in main
    assert set(beside) == set(BESIDE)


def test_the_question_survives_json() -> None:
    ask = make_ask(seed=4, rounds=3, devices=("cuda",), seconds=2.5)
    assert msgspec.json.decode(msgspec.json.encode(ask), type=Ask) == ask
    assert ask.seeds == (4, 5, 6)
    assert (ask.load.cpu, ask.load.other) == (2.5, 2.5)


CHECKS = [check for check in ALL_CHECKS if check.code.startswith("EC5")]


def test_codes_are_in_the_fives_and_say_what_to_do() -> None:
    codes = [check.code for check in CHECKS]
    assert len(set(codes)) == len(codes) == 15
    assert all(code.startswith("EC5") for code in codes)
    for check in CHECKS:
        for part in ("What it means:", "Common causes:", "What to do:"):
            assert part in check.page


def test_a_whole_set_of_verdicts() -> None:
    def gradients(*verdicts: Any) -> Gradients:
        return Gradients(
            devices=tuple(
                GradientDevice(device=f"cuda:{at}", kind="cuda", verdict=verdict) for at, verdict in enumerate(verdicts)
            )
        )

    assert gradients("trusted", "trusted").complete
    assert not gradients("trusted", "unknown").complete
    assert not Gradients().complete
    assert [one.device for one in gradients("trusted", "untrusted").untrusted] == ["cuda:1"]
    assert len(gradients("trusted").gpus) == 1
