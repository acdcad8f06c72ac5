"""Run the checks over a case, fold symptoms under their causes, name the one primary cause."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check
from envcheck.diagnosis.needs import NOT_KNOWN
from envcheck.diagnosis.next_steps import next_steps
from envcheck.model.facts import Sighting
from envcheck.model.gradients import GradientDevice
from envcheck.model.patterns import regex
from envcheck.model.report import CONFIDENCES, SEVERITIES, CheckResult, Evidence, Finding, Report, Status, Verdict
from envcheck.model.text import Text, say

_SUDO = regex(r"(?:^|(?<=[|&;] ))sudo (?=\w)")


def diagnose(case: Case, checks: Sequence[Check], *, select: Sequence[str] = (), ignore: Sequence[str] = ()) -> Report:
    """The report over `case`. `checks` stand in dependency order; `select` and `ignore` are code prefixes."""
    findings: list[Finding] = []
    results: list[CheckResult] = []
    muted: dict[str, str] = {}
    for one in checks:
        if not _wanted(one.code, select, ignore):
            results.append(_result(one, "skipped", say("not selected")))
            continue
        muter = next((code for prefix, code in muted.items() if one.code.startswith(prefix)), None)
        if muter is not None:
            results.append(_result(one, "skipped", say("{code} makes it moot", code=muter)))
            continue
        result, found = _judge(one, case)
        results.append(result)
        findings += found
        if found:
            muted |= {prefix: one.code for prefix in one.mutes if prefix not in muted}
    if case.pasted and not any(found.cause and found.severity != "info" for found in findings):
        from envcheck.diagnosis.guesses import guess

        wanted = [one for one in checks if _wanted(one.code, select, ignore)]
        last = guess(case, wanted)
        if last is not None:
            findings.append(last)
            results = [
                msgspec.structs.replace(one, status="fail", why=None) if one.code == last.code else one
                for one in results
            ]
    linked = [_for_this_user(_located(found, case.facts.sightings), case) for found in _link(findings, checks)]
    roots = _ranked(linked)
    return Report(
        verdict=_verdict(case, linked, results),
        can_train=can_train(case),
        primary=roots[0].code if roots else None,
        runner_up=next((root.code for root in roots[1:] if root.severity == roots[0].severity), None),
        findings=tuple(linked),
        checks=tuple(results),
        probes=case.facts.observations,
        next_steps=next_steps(case, roots),
    )


def can_train(case: Case) -> tuple[str, ...]:
    """Devices on which a first kernel with its backward pass was seen to work, and no gradient was seen to be wrong."""
    torch, gradients = case.facts.torch, case.facts.gradients
    works = ["cpu"] if torch.cpu_kernel_ok else []
    works += [f"{device.kind}:{device.index}" for device in torch.devices or () if device.kernel_ok]
    wrong = {_called(device) for device in gradients.untrusted} if gradients else set()
    return tuple(device for device in works if device not in wrong)


def _called(device: GradientDevice) -> str:
    """`rocm:0` for a GPU that torch calls `cuda:0`, as the other looks name it."""
    return device.kind + device.device[len(device.device.partition(":")[0]) :]


def _wanted(code: str, select: Sequence[str], ignore: Sequence[str]) -> bool:
    chosen = not select or any(code.startswith(prefix) for prefix in select)
    return chosen and not any(code.startswith(prefix) for prefix in ignore)


def _judge(one: Check, case: Case) -> tuple[CheckResult, list[Finding]]:
    heard = any(case.said(signature) for signature in one.hears)
    for need in () if heard else one.needs:
        if getattr(case, need) is None:
            dead = case.died(need)
            if dead is None:
                return _result(one, "skipped", NOT_KNOWN[need]), []
            return _result(one, "unknown", say("the look `{look}` gave no answer", look=dead.look)), []
    found = list(one.judge(case))
    return _result(one, "fail" if found else "pass"), found


def _result(one: Check, status: Status, why: Text | None = None) -> CheckResult:
    return CheckResult(code=one.code, slug=one.slug, status=status, why=why)


def _link(findings: Sequence[Finding], checks: Iterable[Check]) -> list[Finding]:
    """Fill `caused_by` (the first finding that explains it) and `explains` (what it explains here).

    A hint explains nothing that is worse than a hint. What an effect explains in its turn goes to its own root.
    """
    reach = {one.code: one.explains for one in checks}
    cause: dict[str, str] = {}
    for root in findings:
        for other in findings:
            explained = any(other.code.startswith(prefix) for prefix in reach[root.code])
            explained = explained and (root.severity != "info" or other.severity == "info")
            explained = explained and not _rivals(root, other)
            if explained and other.code != root.code and cause.get(root.code) != other.code:
                cause.setdefault(other.code, root.code)
    cause = {effect: _root(effect, cause) for effect in cause}
    effects: dict[str, list[str]] = {}
    for effect, root_code in cause.items():
        effects.setdefault(root_code, []).append(effect)
    return [
        msgspec.structs.replace(
            found, caused_by=cause.get(found.code), explains=tuple(sorted(effects.get(found.code, ())))
        )
        for found in findings
    ]


def _rivals(root: Finding, other: Finding) -> bool:
    """Two causes that are both no more than possible stand beside each other."""
    both = root.confidence == other.confidence == "possible"
    return both and root.cause is not None and other.cause not in (None, root.cause)


def _located(found: Finding, sightings: Mapping[str, tuple[Sighting, ...]]) -> Finding:
    """Evidence of pasted text names the line that it stands on."""
    if not sightings:
        return found
    evidence = tuple(
        msgspec.structs.replace(one, where=sightings[one.fact][0].where)
        if one.where is None and one.fact in sightings
        else one
        for one in found.evidence
    )
    return msgspec.structs.replace(found, evidence=tuple(_once(evidence)))


def _once(evidence: Iterable[Evidence]) -> Iterator[Evidence]:
    """Of several facts that one line tells, the first: the line is quoted whole."""
    quoted: set[str] = set()
    for one in evidence:
        number, colon, line = (one.where or "").partition(": ")
        whole = bool(colon) and number.isdigit() and (one.value in line or one.fact == "messages")
        if not whole or number not in quoted:
            yield one
        if whole:
            quoted.add(number)


def _for_this_user(found: Finding, case: Case) -> Finding:
    """Root needs no sudo, and a container where one is root often has none."""
    if not case.facts.host.admin or case.facts.host.os == "windows":
        return found
    fixes = (
        msgspec.structs.replace(
            fix,
            argv=fix.argv[1:] if fix.argv[:1] == ("sudo",) else fix.argv,
            shell=_SUDO.sub("", fix.shell),
        )
        for fix in found.fixes
    )
    return msgspec.structs.replace(found, fixes=tuple(fixes))


def _root(effect: str, cause: dict[str, str]) -> str:
    """The end of the chain of causes; a circle is cut where it closes."""
    seen = [effect]
    while seen[-1] in cause and cause[seen[-1]] not in seen:
        seen.append(cause[seen[-1]])
    return seen[-1]


def _ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Root findings above info: most severe first, then most certain, then in dependency order."""
    roots = [found for found in findings if found.caused_by is None and found.severity != "info"]
    return sorted(roots, key=lambda found: (SEVERITIES.index(found.severity), CONFIDENCES.index(found.confidence)))


def _verdict(case: Case, findings: Sequence[Finding], results: Sequence[CheckResult]) -> Verdict:
    """Healthy only where it is known whether torch is there at all: of an empty page nothing is healthy."""
    if any(found.severity == "error" for found in findings):
        return "problem"
    undecided = case.torch_installed is None or any(result.status == "unknown" for result in results)
    # A thread is written because something failed: what no check understands is not health.
    failed = case.pasted and any(message.kind == "error" for message in case.facts.messages)
    missed = case.pasted and not case.cuda_available and case.cuda_was_missed
    silent = case.pasted and case.cuda_available is None  # a version, or a list of packages, trains nothing
    return "unknown" if undecided or failed or missed or silent else "healthy"
