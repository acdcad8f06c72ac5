"""`python -m benchmarks NAME`: one entry point for every figure that we claim."""

import importlib
import sys
from pathlib import Path

import click

NAMES = ("startup", "doctor", "faults", "picks", "gradients", "diagnosis", "robust")
DOCS = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Reproducible comparisons. Run them on a quiet machine; ratios count, not seconds."""


def _add(name: str) -> None:
    @main.command(name)
    @click.option(
        "--runs", type=click.IntRange(1, 1000), default=7, show_default=True, help="Counted runs of each command."
    )
    @click.option(
        "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the result here, too."
    )
    @click.option("--docs", is_flag=True, help="Replace this section of docs/benchmarks.md.")
    @click.argument("arguments", nargs=-1)
    def command(runs: int, json_path: Path | None, docs: bool, arguments: tuple[str, ...]) -> None:
        from benchmarks.result import save, show, write_docs

        module = importlib.import_module(f"benchmarks.{name}")
        found = module.run(runs, *arguments)
        show(found)
        if json_path:
            save(found, json_path)
        if docs:
            write_docs(found, DOCS)

    command.help = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").split("\n", 1)[0]


for _name in NAMES:
    if (Path(__file__).parent / f"{_name}.py").exists():
        _add(_name)


@main.command()
@click.argument("old", type=click.Path(exists=True, dir_okay=False))
@click.argument("new", type=click.Path(exists=True, dir_okay=False))
def compare(old: str, new: str) -> None:
    """Say which ratios lost more than 10 % from OLD to NEW; exit 1 when one did."""
    from benchmarks.compare import main as judge

    sys.exit(judge(old, new))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
