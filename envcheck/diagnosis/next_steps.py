"""What to run to be sure, where the evidence does not decide."""

from collections.abc import Sequence

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.model.report import Finding, Fix
from envcheck.model.text import say


def next_steps(case: Case, roots: Sequence[Finding]) -> tuple[Fix, ...]:
    """Commands whose output would decide: none when the first cause is certain. `roots`: causes, best first."""
    decided = bool(roots) and roots[0].confidence == "certain"
    if case.facts.source != "text" or decided:
        return ()
    steps = [remedies.command(case, say("On that machine, look at it itself:"), "envcheck", "doctor")]
    if case.torch_version is None and case.torch_imported is not False:
        what = say("Show the PyTorch build and what it sees:")
        steps.append(remedies.command(case, what, remedies.python_of(case), "-m", "torch.utils.collect_env"))
    if case.driver_version is None and case.facts.host.os != "macos":
        steps.append(remedies.command(case, say("Show the driver and the GPUs:"), "nvidia-smi"))
    return tuple(steps)
