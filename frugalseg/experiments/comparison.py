"""Fit and evaluate every method of a recipe with every seed. Finished runs are kept and never done twice."""

from dataclasses import asdict, replace
from pathlib import Path

from frugalseg.experiments.data import Datasets, open_data, with_tables
from frugalseg.experiments.networks import training_facts, with_networks
from frugalseg.experiments.one_run import of_row, one_run
from frugalseg.experiments.plan import Plan
from frugalseg.experiments.recipe import Recipe
from frugalseg.experiments.records import Records, folder_name
from frugalseg.experiments.results import Comparison, Run, spare_others
from frugalseg.experiments.rows import Context, Row, StudentRow, build
from frugalseg.support.files import remove_leftovers, write_json
from frugalseg.support.folders import spare_inputs
from frugalseg.support.progress import Progress, line, silent
from frugalseg.support.runs import alone


def run_comparison(
    recipe: Recipe, folder: str | Path, *, device: str = "cpu", progress: Progress = silent
) -> Comparison:
    """Compare the methods of a recipe and write ``results.json`` and ``index.html``.

    Args:
        recipe: from `load_recipe` or `frugalseg.experiments.demo.demo_recipe`. Networks that it says how to train are
            trained first; see `with_networks`. Rows whose network or samples are not here are left out; see
            `frugalseg.experiments.plan.Plan`.
        folder: gets ``runs/ROW/seed-N.json`` as each run ends, then the results. Runs that are there already are
            kept, unless the row, the data or the checkpoint has changed since. So a killed comparison continues where
            it stopped, and a row that is added later takes only its own time.
        device: where everything runs.
        progress: told of the trainings, then of each method: (name, per cent of all its runs, total).

    Raises:
        InputError: the data, a checkpoint or an option is wrong, which is found before the first run; `folder` is one
            of them, or lies inside; its page or its results are of something else; or another process is at work in it.
    """
    folder = Path(folder)
    spare_inputs(folder, *recipe.inputs(), holding=True)
    spare_others(folder)
    plan = Plan.of(recipe)
    left_out = {name: found.words for name, found in plan.left_out.items()}
    recipe = plan.runnable()
    for name, words in left_out.items():
        line(progress, f"not run: {name}: {words}")
    with alone(folder):
        remove_leftovers(folder)
        data = open_data(recipe.data, folder)
        data.check()  # before the networks, whose training may take long
        digest = with_tables(data.digest(), (data.train, data.test), folder)
        context = Context(recipe.rows, recipe.data, folder, digest, device)
        waiting = [row.name for row in recipe.rows if waits(row, recipe)]
        # Built once and thrown away: a mistake in the last row is found before the first one runs.
        for row in recipe.rows:
            if row.name not in waiting:
                build(row, 0, context)
        recipe = with_networks(recipe, folder, device=device, progress=progress)
        context = replace(context, rows=recipe.rows)
        for row in recipe.rows:
            if row.name in waiting:
                build(row, 0, context)
        training_facts(recipe)  # so is a run folder that was damaged, and a record below
        records = records_of(recipe, data, context)
        done = {row.name: [records[row.name].load(seed) for seed in range(recipe.runs)] for row in recipe.rows}
        runs = {
            row.name: runs_of(row, done[row.name], records[row.name], data, context, progress) for row in recipe.rows
        }
        page, published = folder / "index.html", plan.recipe.published()
        result = Comparison(recipe.title, data.train.classes, runs, page, published, left_out)
        write_results(result, recipe, data, records, folder)
    return result


def waits(row: Row, recipe: Recipe) -> bool:
    """Whether a row, or its teacher, reads a network that the recipe trains first."""
    teacher = row.teacher_in(recipe.rows) if isinstance(row, StudentRow) else None
    rows = [row] if teacher is None else [row, teacher]
    return any(place in recipe.networks for each in rows for place in each.checkpoints().values())


def records_of(recipe: Recipe, data: Datasets, context: Context) -> dict[str, Records]:
    """Where the runs of each row are kept, by the name of the row."""
    digests = data.further_digests().items()
    further = {name: with_tables(digest, [data.tests[name]], context.folder) for name, digest in digests}
    pictures = tuple(data.test.size(number) for number in range(min(recipe.pictures, len(data.test))))
    tests = {"tests": further} if further else {}
    return {
        row.name: Records(
            context.folder / "runs" / folder_name(row.name),
            len(data.train.classes),
            {**row.key(context), **tests},
            pictures,
        )
        for row in recipe.rows
    }


def runs_of(
    row: Row, done: list[Run | None], records: Records, data: Datasets, context: Context, progress: Progress
) -> list[Run]:
    """All runs of a row: those that are done, and the others done now and kept."""
    runs = []
    for seed, run in enumerate(done):
        advance = of_row(progress, row.name, seed, len(done))
        if run is None:
            run, predictions = one_run(build(row, seed, context), row.name, seed, data, len(records.pictures), advance)
            records.save(run, predictions)
        advance("evaluate", 1, 1)
        runs.append(run)
    return runs


def write_results(
    result: Comparison, recipe: Recipe, data: Datasets, records: dict[str, Records], folder: Path
) -> None:
    """Write ``results.json`` and the page."""
    from frugalseg.experiments.comparison_page import comparison_page

    networks = [asdict(facts) for facts in training_facts(recipe)]
    written = {**result.to_json(), "networks": networks, "recipe": recipe.model_dump(mode="json")}
    write_json(folder / "results.json", written)
    drawn = {name: kept.load_pictures() for name, kept in records.items()}
    comparison_page(result, recipe, data, drawn).save(result.page)
