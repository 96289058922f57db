"""Everything that is measured on a GPU, in order of value, within a number of minutes.

The tests that need a GPU; prediction at the LSUN-256 layout against the literal method, with the share of the card's
matrix-product rate; generation; a student; prediction with a compiled network; and, in the time that is left, networks
of a recipe trained on photographs, with the mIoU that follows. Each stage runs in a process of its own, is stopped when
its time is up, and leaves DIR/STAGE.json. Stages that have succeeded in DIR are not run again.

    python -m benchmarks.gpu -o DIR --data street_fashion_15     # on one GPU, 8 minutes
    python -m benchmarks.gpu --table DIR                         # puts what was found into docs/performance.md
    python -m benchmarks.gpu -o DIR --quick --device cpu         # a dry run on tiny sizes
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.stages import PRETRAINING, STAGES, command, finished, result_of, run_stage
from benchmarks.gpu.table import update_page

RECIPE = Path(__file__).parents[2] / "recipes" / "street_gpu.yaml"
LEAST_PRETRAINING = 60
"""Seconds under which no network is trained."""
ENDING = 10
"""Seconds in which the last stage may be late before it is stopped."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stages, or write the table."""
    options = parsed(arguments)
    if options.table is not None:
        print(f"written to {update_page(options.table)}")
        return
    until = time.monotonic() + 60 * options.minutes
    folder: Path = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for stage in STAGES:
        if wanted(stage.name, options):
            line = command(stage, folder, options.device, options.quick)
            failed += told(stage.name, line, folder, min(stage.seconds, until - time.monotonic()))
    if wanted(PRETRAINING, options) and (options.data is not None or options.quick):
        left = until - time.monotonic()
        if left < LEAST_PRETRAINING:
            print(f"{PRETRAINING}: left out, {left:.0f} s remain")
        else:
            failed += told(PRETRAINING, pretraining(options, folder, left), folder, left)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*(stage.name for stage in STAGES), PRETRAINING]
    what = options.add_mutually_exclusive_group(required=True)
    what.add_argument("-o", "--output", type=Path, help="folder for the results")
    what.add_argument("--table", type=Path, help="folder of results to put into docs/performance.md")
    options.add_argument("--minutes", type=float, default=8, help="for everything together")
    options.add_argument("--data", type=Path, help="data folder of the recipe; without it no network is trained")
    options.add_argument("--recipe", type=Path, default=RECIPE, help="whose networks are trained, and what is compared")
    options.add_argument("--only", nargs="+", choices=names, default=names, metavar="STAGE", help=f"{', '.join(names)}")
    options.add_argument("--device", default="cuda", help="cuda, or cpu for a dry run")
    options.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, not the speed")
    return options.parse_args(arguments)


def wanted(name: str, options: argparse.Namespace) -> bool:
    """Whether a stage is asked for and not there yet."""
    return name in options.only and not finished(name, options.output)


def told(name: str, line: Sequence[str], folder: Path, seconds: float) -> list[str]:
    """Run a stage and say how it went; its name where it failed."""
    print(f"== {name}: at most {seconds:.0f} s", flush=True)
    record = run_stage(name, line, folder, max(seconds, 1))
    ended = "stopped, its time was up" if record["returncode"] is None else f"exit status {record['returncode']}"
    print(f"{record['tail']}\n== {name}: {ended}, {record['seconds']} s", flush=True)
    return [] if record["returncode"] == 0 else [name]


def pretraining(options: argparse.Namespace, folder: Path, seconds: float) -> list[str]:
    """The command of the last stage."""
    line = [sys.executable, "-m", "benchmarks.gpu.pretraining", "--work", str(folder / PRETRAINING)]
    line += [
        "--seconds",
        str(int(seconds - ENDING)),
        "--device",
        options.device,
        "--json",
        str(result_of(PRETRAINING, folder)),
    ]
    if options.quick:
        return [*line, "--quick"]
    return [*line, "--recipe", str(options.recipe.resolve()), "--data", str(options.data.resolve())]


if __name__ == "__main__":
    main()
