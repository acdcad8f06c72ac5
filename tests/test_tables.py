"""The compiled form of the tables: current, the same, and never believed over the table that a person edited."""

from pathlib import Path

import msgspec
import pytest
from helpers.tool import tool

from envcheck.catalogue import files
from envcheck.catalogue.drivers import Drivers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the table `data/drivers.toml`, and an empty one for its compiled form."""
    (tmp_path / "data").mkdir()
    (tmp_path / "compiled").mkdir()
    (tmp_path / "data" / "drivers.toml").write_bytes((Path(files.DATA) / "drivers.toml").read_bytes())
    monkeypatch.setattr(files, "COMPILED", str(tmp_path / "compiled"))
    return tmp_path


def test_they_are_current() -> None:
    assert tool("tables").stale() == [], "run tools/tables.py"


@pytest.mark.parametrize("path", sorted(Path(files.DATA).rglob("*.toml")), ids=lambda path: path.stem)
def test_they_say_what_the_tables_say(path: Path) -> None:
    assert files.read_table(path, dict) == msgspec.toml.decode(path.read_bytes())


def test_a_table_is_read_without_its_source_being_parsed(folder: Path) -> None:
    path = folder / "data" / "drivers.toml"
    source = b"this is no TOML: only the compiled form can answer"
    good = files.compiled_form(path.read_bytes()).partition(b"\n")[2]
    path.write_bytes(source)
    Path(files.compiled_path(path)).write_bytes(files.mark(source) + b"\n" + good)
    assert files.read_table(path, Drivers).toolkit


def test_a_table_that_was_edited_is_read_itself(folder: Path) -> None:
    path = folder / "data" / "drivers.toml"
    Path(files.compiled_path(path)).write_bytes(files.compiled_form(path.read_bytes()))
    before = files.read_table(path, Drivers)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f'cuda = "{before.toolkit[0].cuda}"', 'cuda = "99.9"'), encoding="utf-8")
    assert files.read_table(path, Drivers).toolkit[0].cuda == "99.9"


@pytest.mark.parametrize("form", [b"", b"\n", b"00000000", b"zz\n{", b"00000000\n{}"])
def test_a_damaged_form_is_not_believed(folder: Path, form: bytes) -> None:
    path = folder / "data" / "drivers.toml"
    Path(files.compiled_path(path)).write_bytes(form)
    assert files.read_table(path, Drivers).toolkit


def test_a_broken_table_is_named(folder: Path) -> None:
    path = folder / "data" / "drivers.toml"
    path.write_text("toolkit = 3\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"drivers\.toml: .*toolkit"):
        files.read_table(path, Drivers)
