"""What the benchmarks do with their figures. Nothing here is timed."""

import os
import re
import sys
from pathlib import Path

import pytest

from benchmarks import faults
from benchmarks.compare import losses
from benchmarks.compare import main as compare
from benchmarks.corpus import pasted
from benchmarks.measure import Command, Sample, interleaved, median, ratios, run
from benchmarks.result import Ratio, Result, Row, load, markdown, save, write_docs
from envcheck.diagnosis.checks import CHECKS


def sample(wall: float, cpu: float = 0.0) -> Sample:
    return Sample(wall=wall, cpu=cpu, peak_kib=0, returncode=0)


def ratio(name: str, value: float, bar: float | None = None) -> Ratio:
    return Ratio(name=name, median=value, least=value, greatest=value, bar=bar)


def result(*found: Ratio, name: str = "startup", rows: tuple[Row, ...] = ()) -> Result:
    return Result(
        benchmark=name, date="2026-11-25", machine="a machine", versions={"b": "2", "a": "1"}, rows=rows, ratios=found
    )


def program(code: str) -> Command:
    return Command(name="it", argv=(sys.executable, "-c", code))


# Ratios ---------------------------------------------------------------------------------------------------------


def test_ratios_are_taken_pair_by_pair() -> None:
    """A machine that got slower half-way slows both: 10 / 5 and 40 / 10, never 40 / 5."""
    ours, theirs = [sample(10.0), sample(40.0), sample(30.0)], [sample(5.0), sample(10.0), sample(10.0)]
    assert ratios(ours, theirs) == (3.0, 2.0, 4.0)
    assert median(ours) == 30.0
    assert ratios([sample(1, cpu=6)], [sample(1, cpu=2)], "cpu") == (3.0, 3.0, 3.0)
    with pytest.raises(ValueError, match="shorter"):
        ratios(ours, theirs[:2])


@pytest.mark.parametrize(("value", "bar", "holds"), [(0.85, 0.85, True), (0.851, 0.85, False), (9.0, None, None)])
def test_a_bar_holds_up_to_its_very_value(value: float, bar: float | None, holds: bool | None) -> None:
    assert ratio("a / b", value, bar).holds is holds


# Comparing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [(1.0, 1.11, True), (1.0, 1.09, False), (1.0, 0.5, False), (0.0, 0.0, False), (0.0, 0.1, True)],
)
def test_a_loss_of_more_than_a_tenth_is_seen(before: float, after: float, lost: bool) -> None:
    old, new = result(ratio("a / b", before)), result(ratio("a / b", after), ratio("c / d", 9.0))
    assert bool(losses(old, new)) is lost


def test_compare_ends_with_one_after_a_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, worse, fewer = tmp_path / "old.json", tmp_path / "worse.json", tmp_path / "fewer.json"
    save(result(ratio("a / b", 1.0), ratio("c / d", 0.0)), old)
    save(result(ratio("a / b", 1.2), ratio("c / d", 0.0)), worse)
    save(result(ratio("a / b", 1.0)), fewer)
    assert load(old) == result(ratio("a / b", 1.0), ratio("c / d", 0.0))
    assert compare(str(old), str(old)) == 0
    assert "LOST" not in capsys.readouterr().out
    assert compare(str(old), str(worse)) == 1
    assert "LOST: a / b: 1.000 -> 1.200 (+20.0%)" in capsys.readouterr().out
    assert compare(str(old), str(fewer)) == 1
    assert "LOST: c / d: not measured" in capsys.readouterr().out


# Tables ---------------------------------------------------------------------------------------------------------


def test_the_table_has_every_column_and_the_bars() -> None:
    rows = (Row(name="x", figures={"wall s": 0.5}), Row(name="y", figures={"exit": "0/1"}))
    text = markdown(result(ratio("a / b", 0.9, 0.85), ratio("c / d", 0.1, 0.85), rows=rows))
    assert text.startswith("## startup\n\n2026-11-25, a machine. a 1, b 2.\n\n| | wall s | exit |\n|---|---:|---:|\n")
    assert "| x | 0.500 |  |\n| y |  | 0/1 |\n" in text
    assert "| a / b | 0.900 | 0.900 | 0.900 | 0.85 | **missed** |" in text
    assert "| c / d | 0.100 | 0.100 | 0.100 | 0.85 | holds |" in text


def test_a_section_of_the_document_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    for name in ("startup", "doctor", "faults"):
        write_docs(result(ratio(f"{name} ratio", 1.0), name=name), document)
    write_docs(result(ratio("another", 2.0), name="doctor"), document)
    text = document.read_text(encoding="utf-8")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == ["startup", "doctor", "faults"]
    assert "doctor ratio" not in text
    assert all(word in text for word in ("startup ratio", "another", "faults ratio", "# Benchmarks"))
    before = text
    write_docs(result(ratio("another", 2.0), name="doctor"), document)
    assert document.read_text(encoding="utf-8") == before


# Whole processes ------------------------------------------------------------------------------------------------


def test_a_process_is_seen_whole() -> None:
    seen = run(program("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), base_env=os.environ)
    assert (seen.returncode, seen.timed_out) == (3, False)
    assert "out" in seen.output
    assert "err" in seen.output
    assert seen.peak_kib > 1000
    assert seen.wall > 0


def test_the_time_of_children_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    seen = run(program(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}], check=True)"))
    assert seen.cpu >= 0.2


def test_a_process_that_hangs_is_ended_with_its_children() -> None:
    seen = run(program("import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(99)'])"),
               limit=0.3)  # fmt: skip
    assert (seen.timed_out, seen.returncode) == (True, -9)


def test_commands_run_in_turn(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = [
        Command(name=name, argv=(sys.executable, "-c", f"open({str(log)!r}, 'a').write({name!r})")) for name in "ab"
    ]
    found = interleaved(commands, runs=2, warmup=1)
    assert log.read_text() == "ababab"
    assert {name: len(samples) for name, samples in found.items()} == {"a": 2, "b": 2}


# Faults ---------------------------------------------------------------------------------------------------------


def test_the_faults_name_codes_that_exist() -> None:
    table = faults.faults()
    assert {fault.code for fault in table} <= {check.code for check in CHECKS}
    assert len({fault.name for fault in table}) == len(table) >= 10


@pytest.mark.parametrize(
    ("output", "code", "hung", "letter"),
    [
        ("Traceback (most recent call last):\n  File x\nImportError: no", 1, False, "T"),
        ("", 0, False, "T"),
        ("", -11, False, "S"),
        ("", 139, False, "S"),
        ("half a report\n" * 9, -9, True, "H"),
        ("one\nreport\nof some\nlines\n", 0, False, "R"),
        ("one\nreport\nwhich says: torch is not installed\n", 0, False, "R+"),
        ("x" * 999 + "\nTraceback (most recent call last):\nImportError: late\n", 1, False, "T"),
    ],
)
def test_a_peer_is_judged_by_what_it_printed(output: str, code: int, hung: bool, letter: str) -> None:
    seen = Sample(wall=1.0, cpu=0.0, peak_kib=0, returncode=code, timed_out=hung, output=output)
    assert faults._judge(faults.faults()[0], seen) == f"{letter} 1.0"


def test_ours_has_to_name_the_very_cause() -> None:
    absent = faults.faults()[0]

    def cell(report: str) -> tuple[str, bool]:
        return faults._judge_ours(absent, Sample(wall=1.0, cpu=0, peak_kib=0, returncode=1, output=report))

    finding = '{"code": "EC300", "title": "torch is not installed"}'
    assert cell(f'{{"report": {{"primary": {finding}, "findings": [{finding}]}}}}') == ("R+ 1.0 EC300", True)
    other = '{"code": "EC311", "title": "torch is not installed"}'
    assert cell(f'{{"report": {{"primary": {other}, "findings": [{other}, {finding}]}}}}') == ("R 1.0 EC311", False)
    assert cell("Traceback (most recent call last):") == ("T 1.0", False)


def test_pasted_text_has_so_many_lines() -> None:
    assert len(pasted(200).splitlines()) == 200


def test_the_end_of_a_long_output_is_kept() -> None:
    seen = run(program("print('first'); print('x' * 3_000_000); print('last')"))
    assert seen.output.startswith("first\n")
    assert seen.output.endswith("last\n")
    assert len(seen.output) == 1 << 20
