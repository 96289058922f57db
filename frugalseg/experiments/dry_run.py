"""`benchmark --dry-run`: what would run, what is missing and how to get it, and what all of it takes."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from textwrap import wrap

from frugalseg.backbones.registry import FAMILIES, trainer_of
from frugalseg.data.catalogue.items import DATASETS, ITEMS
from frugalseg.data.catalogue.store import cache_folder
from frugalseg.experiments.cost import Cost, costs_of, total
from frugalseg.experiments.obstacles import CHECKPOINT, DOWNLOAD, PATH
from frugalseg.experiments.plan import Plan
from frugalseg.experiments.recipe import NetworkRecipe
from frugalseg.experiments.records import folder_name
from frugalseg.experiments.results import text_table
from frugalseg.experiments.rows import FeatureRow
from frugalseg.support.files import FileError
from frugalseg.support.records import not_negative, understood
from frugalseg.support.text import count, listed, size_text

WIDTH = 110
RUNS, ABSENT, UNKNOWN = "runs", "–", "unknown size"
MEANINGS = {
    RUNS: "everything is here",
    DOWNLOAD: "runs after a download, see below",
    CHECKPOINT: "needs a network that you train or find yourself, see below",
    PATH: "something is not where the recipe says, see below",
}
PASSES = (
    "A pass is one image through a pretrained network, at one step of a diffusion model. A step from scratch is one "
    "batch of the training of a student or a U-Net. How long they take depends on the machine and is not estimated."
)


def dry_run(plans: Mapping[str, Plan], place: Path, out: Path | None = None) -> str:
    """What a run of recipes would do, in words.

    Args:
        plans: of one recipe, or of those of a folder by name.
        place: of the recipe or folder, as the user has given it.
        out: the folder for the results, to say which runs are there; None leaves that out.

    Returns:
        Text of several lines. Nothing was run, loaded or written for it.
    """
    found = list(plans.values())
    parts = [
        heading(found, place),
        states(found),
        paths(found),
        downloads(found, place),
        networks(found),
        trained_first(found),
        costs(found),
        *([finished(plans, place, out)] if out is not None else []),
    ]
    return "\n\n".join(filter(None, parts))


def heading(plans: list[Plan], place: Path) -> str:
    """What it is about, and how much of it can be run."""
    rows, ready = sum(len(plan.rows) for plan in plans), sum(len(plan.ready) for plan in plans)
    what = plans[0].recipe.title if len(plans) == 1 else count(len(plans), "recipe")
    presets = sorted({plan.recipe.preset for plan in plans})
    said = f"{what} ({place}), preset {listed(presets)}: {ready} of {count(rows, 'row')} can be run now."
    return f"{said}\nThis is a dry run: nothing is run, loaded or written."


def states(plans: list[Plan]) -> str:
    """A table of methods by recipes, and what its words mean."""
    longest = sorted(plans, key=lambda plan: -len(plan.rows))
    methods = dict.fromkeys(name for plan in longest for name in plan.rows)
    rows = [[name, *(state(plan, name) for plan in plans)] for name in methods]
    used = {word for row in rows for word in row[1:]}
    meanings = [f"{word}: {meaning}" for word, meaning in MEANINGS.items() if word in used]
    return f"{text_table([['method', *(plan.recipe.title for plan in plans)], *rows])}\n\n" + "\n".join(meanings)


def state(plan: Plan, name: str) -> str:
    """What stands in the way of a row, in a word; a wrong path first, then a checkpoint that nobody has given."""
    if name not in plan.rows:
        return ABSENT
    kinds = {each.kind for each in (plan.data, plan.rows[name]) if each is not None}
    return next((kind for kind in (PATH, CHECKPOINT, DOWNLOAD) if kind in kinds), RUNS)


def paths(plans: list[Plan]) -> str:
    """What is not at its place."""
    found = []
    for plan in plans:
        named = {"data": plan.data, **plan.rows}
        found += [
            f"  {plan.recipe.title}, {name}: {each.words}" for name, each in named.items() if each and each.kind == PATH
        ]
    return "\n".join(["Not where the recipe says:", *found]) if found else ""


def downloads(plans: list[Plan], place: Path) -> str:
    """The command that fetches what is missing, and how large it is."""
    names = list(dict.fromkeys(name for plan in plans for name in plan.to_download))
    if not names:
        return ""
    command = "frugalseg download " + (" ".join(names) if len(plans) == 1 else f"--for {place}")
    return "\n".join(["To download:", f"  {command}", "", *sizes(names), f"  {together(names)}, to {cache_folder()}"])


def sizes(names: list[str]) -> list[str]:
    """Lines of names with the same size."""
    together: dict[str, list[str]] = {}
    for name in names:
        item = ITEMS[name]
        archive = ", one archive of all benchmarks" if item.remote == DATASETS else ""
        together.setdefault((item.remote.size or UNKNOWN) + archive, []).append(name)
    known_first = sorted(together.items(), key=lambda found: found[0] == UNKNOWN)
    return [line for size, found in known_first for line in indented(f"{each(size, found)}: {', '.join(found)}")]


def together(names: list[str]) -> str:
    """The size of all downloads, as far as it is known."""
    sizes = [remote.bytes for remote in {ITEMS[name].remote for name in names}]
    known = [size for size in sizes if size is not None]
    unknown = len(sizes) - len(known)
    parts = [size_text(sum(known))] * bool(known) + [f"{count(unknown, 'file')} of unknown size"] * bool(unknown)
    return f"together {listed(parts)}"


def each(size: str, names: list[str]) -> str:
    """The size of each of some names, in words; an archive is fetched once."""
    return f"{size} each" if len(names) > 1 and "archive" not in size else size


def networks(plans: list[Plan]) -> str:
    """The networks that nobody has given, and how to get them."""
    lines: list[str] = []
    for family, needs in needed(plans).items():
        for method, wanted in needs.items():
            lines += indented(f"{method} needs {wanted}")
        where = f"RECIPE/{family}" if len(plans) > 1 else family
        lines += indented(f"to train one: {training(family)}", 4)
        lines += indented(f"to use it, or another: --checkpoint {where}=PLACE", 4)
    return "\n".join(["Networks that the catalogue does not have:", *lines]) if lines else ""


def training(family: str) -> str:
    """The command that trains a network of a family; networks that it needs itself are options."""
    trained = trainer_of(FAMILIES[family])
    given = "".join(f" --{name} {name.upper()}" for name in trained.settings_class().given_networks)
    return f"frugalseg pretrain {trained.pretrain_name} IMAGES{given} -o FOLDER"


def needed(plans: list[Plan]) -> dict[str, dict[str, str]]:
    """By family, the methods that lack a network, and what they need."""
    found: dict[str, dict[str, list[str]]] = {}
    for plan in plans:
        for row in plan.recipe.rows:
            obstacle = plan.rows[row.name]
            family = row.without_checkpoint() if isinstance(row, FeatureRow) else None
            if obstacle is not None and obstacle.kind == CHECKPOINT and isinstance(row, FeatureRow) and family:
                wanted = found.setdefault(family.name, {}).setdefault(row.name, [])
                wanted += [row.needs] if row.needs not in wanted else []
    return {family: {row: "; ".join(all_) for row, all_ in rows.items()} for family, rows in found.items()}


def trained_first(plans: list[Plan]) -> str:
    """The networks that recipes train before they compare; those that no row needs are not trained."""
    lines = [training_line(name, plan.recipe.networks[name]) for plan in plans for name in plan.recipe.trained_first()]
    return "\n".join(["Networks that are trained first:", *lines]) if lines else ""


def training_line(name: str, network: NetworkRecipe) -> str:
    """A network that a recipe trains, and for how long."""
    return f"  {name}: {network.family}, {network.training_settings(name).steps} steps"


def costs(plans: list[Plan]) -> str:
    """What everything takes: the rows of one recipe, or the recipes of a folder."""
    if len(plans) == 1:
        parts = list(costs_of(plans[0].recipe).items())
    else:  # several may have one title
        parts = [(plan.recipe.title, total(list(costs_of(plan.recipe).values()))) for plan in plans]
    header = ["what all of it takes", "runs", "passes", "pixel classifiers", "steps from scratch"]
    rows = [[name, *figures(cost)] for name, cost in parts]
    table = text_table([header, *rows, ["together", *figures(total([cost for _, cost in parts]))]])
    return "\n".join([table, "", *wrap(PASSES, WIDTH)])


def figures(cost: Cost) -> list[str]:
    """The numbers of a cost, with spaces between thousands."""
    numbers = (cost.runs, cost.passes, cost.classifiers, cost.steps)
    return [f"{number:,}".replace(",", " ") if number else ABSENT for number in numbers]


def finished(plans: Mapping[str, Plan], place: Path, out: Path) -> str:
    """How many runs an output folder holds, and what one of them took."""
    seconds: list[float] = []
    for name, plan in plans.items():
        folder = out / name if place.is_dir() else out
        for row in plan.recipe.rows:
            for seed in range(plan.recipe.runs):
                seconds += run_seconds(folder / "runs" / folder_name(row.name) / f"seed-{seed}.json")
    if not seconds:
        return f"{out} holds none of these runs."
    mean = sum(seconds) / len(seconds)
    return (
        f"{out} holds {len(seconds)} of these runs, which are kept unless their row, data or network has changed. One "
        f"took {mean:.0f} s on average."
    )


def run_seconds(record: Path) -> list[float]:
    """What a finished run took; nothing where there is no readable record."""
    with suppress(FileError):
        return [understood(record, lambda values: not_negative(values["fit_seconds"] + values["evaluate_seconds"]))]
    return []


def indented(text: str, depth: int = 2) -> list[str]:
    """A text in lines that are not too long."""
    margin = " " * depth
    return wrap(text, WIDTH, initial_indent=margin, subsequent_indent=margin + "  ", break_long_words=False)
