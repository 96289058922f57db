"""The recipes of the paper's table: their figures, their rows, and what a dry run says of them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from frugalseg.experiments.cost import Images, cost_of, costs_of
from frugalseg.experiments.downloads import names_in
from frugalseg.experiments.dry_run import dry_run
from frugalseg.experiments.folder_of_recipes import load_recipes
from frugalseg.experiments.given_checkpoints import replace_checkpoint
from frugalseg.experiments.plan import Plan
from frugalseg.experiments.published import PublishedFigure, compared, said
from frugalseg.experiments.recipe import Recipe, load_recipe, parse_recipe, replaced
from frugalseg.experiments.rows import FeatureRow, StudentRow
from frugalseg.support.errors import InputError
from tests.cli.helpers import mistake, run
from tests.experiments.test_recipe import GOOD

PAPER = Path(__file__).parents[2] / "recipes" / "paper"

CURRENT = """
ALAE          | 20.0 ± 1.0 | 48.1 ± 1.3 | -          | -          | 49.7 ± 0.7 | 15.0 ± 0.5
VDVAE         | -          | 57.3 ± 1.1 | -          | -          | 54.1 ± 1.0 | -
GAN Inversion | 13.9 ± 0.6 | 51.7 ± 0.8 | 21.4 ± 1.7 | 17.7 ± 0.4 | 51.5 ± 2.3 | 11.1 ± 0.2
GAN Encoder   | 22.4 ± 1.6 | 53.9 ± 1.3 | 32.0 ± 1.8 | 26.7 ± 0.7 | 53.9 ± 0.8 | 15.7 ± 0.3
SwAV          | 41.0 ± 2.3 | 54.7 ± 1.4 | 44.1 ± 2.1 | 51.7 ± 0.5 | 53.2 ± 1.0 | 30.3 ± 1.5
SwAVw2        | 42.4 ± 1.7 | 56.9 ± 1.3 | 45.1 ± 2.1 | 54.0 ± 0.9 | 52.4 ± 1.3 | 30.6 ± 1.0
MAE           | 45.0 ± 2.0 | 58.8 ± 1.1 | 52.4 ± 2.3 | 63.4 ± 1.4 | 57.8 ± 0.4 | 31.7 ± 1.8
DatasetGAN    | 31.3 ± 2.7 | 57.0 ± 1.0 | 36.5 ± 2.3 | 45.4 ± 1.4 | -          | -
DatasetDDPM   | 47.9 ± 2.9 | 56.0 ± 0.9 | 47.6 ± 1.5 | 60.8 ± 1.0 | -          | -
DDPM          | 49.4 ± 1.9 | 59.1 ± 1.4 | 53.7 ± 3.3 | 65.0 ± 0.8 | 59.9 ± 1.0 | 34.6 ± 1.7
"""
FIRST_RELEASE = """
DatasetDDPM   | 46.9 ± 2.8 | 56.0 ± 0.9 | 45.4 ± 2.8 | 60.4 ± 1.2 | -          | -
DDPM          | 46.1 ± 1.9 | 57.0 ± 1.4 | 52.3 ± 3.0 | 63.1 ± 0.9 | 57.0 ± 1.0 | 32.3 ± 1.5
"""
"""Of the first release, the rows that differ; it had neither SwAVw2 nor MAE."""


def figures(text: str) -> dict[str, dict[str, str]]:
    """Benchmark -> method -> figure."""
    lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    columns = {name: {line[0]: line[1 + n] for line in lines} for n, name in enumerate(BENCHMARKS)}
    return {name: {row: each for row, each in column.items() if each != "-"} for name, column in columns.items()}


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    return load_recipes(PAPER)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("FRUGALSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_published_figures(recipes: dict[str, Recipe]) -> None:
    current, changed = figures(CURRENT), figures(FIRST_RELEASE)
    assert list(recipes) == list(BENCHMARKS)
    for name, recipe in recipes.items():
        assert recipe.title == BENCHMARKS[name].title and recipe.runs == 5
        assert [row.name for row in recipe.rows] == list(current[name])
        assert {row: str(figure) for row, figure in recipe.published().items()} == current[name]
        earlier = {row: each for row, each in current[name].items() if row not in ("SwAVw2", "MAE")}
        first = recipe.model_copy(update={"preset": "first-release"}).published()
        assert {row: str(figure) for row, figure in first.items()} == {**earlier, **changed[name]}


def test_every_row_is_the_paper_s(recipes: dict[str, Recipe]) -> None:
    """The protocol, ten members, no smoothing, and the networks that go with the benchmark."""
    for name, recipe in recipes.items():
        networks = BENCHMARKS[name].networks
        assert recipe.data.path == name and (recipe.data.train, recipe.data.test) == ("real/train", "real/test")  # type: ignore[union-attr]
        for row in recipe.rows:
            if isinstance(row, StudentRow):
                kind = {"DatasetGAN": "synthetic_gan", "DatasetDDPM": "synthetic_ddpm"}[row.name]
                settings = row.settings(3)
                assert (row.samples, row.drop, row.protocol) == (f"{kind}/{name}", 0.1, "paper")
                assert (settings.architecture, settings.encoder, settings.epochs) == ("deeplabv3", "resnet101", 20)
                continue
            assert isinstance(row, FeatureRow) and not row.options
            given = row.settings(3)
            assert (given["protocol"].name, given["smoothing"], given["seed"]) == ("paper", 0.0, 3)
            family = {"SwAV": "swav", "SwAVw2": "swav_w2", "MAE": "mae", "DDPM": "ddpm"}.get(row.name)
            assert row.checkpoint == (f"{family}/{networks}" if family else None) and bool(row.needs) != bool(family)


def test_what_the_recipes_name_can_be_downloaded(recipes: dict[str, Recipe], empty: Path) -> None:
    assert names_in(recipes["ade_bedroom_30"]) == [
        "ade_bedroom_30",
        *(f"{kind}/lsun_bedroom" for kind in ("swav", "swav_w2", "mae", "ddpm")),
    ]
    every = {name for recipe in recipes.values() for name in names_in(recipe)}
    assert len(every) == 6 + 16 + 8


def test_the_preset_of_the_first_release() -> None:
    recipe = load_recipe(PAPER / "cat_15.yaml", preset="first-release")
    options = {row.name: row.options for row in recipe.rows if isinstance(row, FeatureRow)}
    assert options.pop("DDPM") == {"preset": "first-release"} and not any(options.values())
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe
    assert costs_of(recipe)["DDPM"].passes == 5 * 50 * 4


def test_costs_are_of_the_images_that_were_counted(empty: Path) -> None:
    """A recipe's data are looked at once for all rows."""
    recipe = load_recipe(PAPER / "cat_15.yaml", data=empty / "nowhere")
    assert costs_of(recipe)["DDPM"].passes == 0
    assert cost_of(recipe.rows[-1], recipe, Images(7, 4)).passes == 5 * 11 * 3


def test_results_do_not_depend_on_what_is_published() -> None:
    row: dict[str, Any] = {**GOOD["rows"][0], "published": "20 ± 1.5"}
    (with_figure, _), (without, _) = (
        parse_recipe({**GOOD, "rows": [each, GOOD["rows"][1]]}).rows for each in (row, GOOD["rows"][0])
    )
    assert with_figure != without and with_figure.described() == without.described()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            "53.7",
            "'53.7' is no published figure; write its mean and its standard deviation in per cent, as in",
        ),
        (53.7, "53.7 is no published figure"),
        ("53.7 ± 0.0", "no published figure"),
        ("153.7 ± 1", "no published figure"),
        ("-3 ± 1", "no published figure"),
        ([53.7, 3.3], "no published figure"),
        ({"curent": "53.7 ± 3.3"}, "no preset 'curent'; give '53.7 ± 3.3' in quotes, or one for current and"),
        ({"current": None}, "none is no published figure"),
    ],
)
def test_a_published_figure_of_the_wrong_form(value: Any, said: str) -> None:
    rows = [{**GOOD["rows"][0], "published": value}]
    with pytest.raises(InputError) as caught:
        parse_recipe({**GOOD, "rows": rows})
    assert str(caught.value).startswith("row 'colour': published: ") and said in str(caught.value)


@pytest.mark.parametrize("text", ["53.7 ± 3.3", "50.0 ± 0.00001", "0.000000001 ± 100.0"])
def test_a_figure_is_written_as_it_is_read(text: str) -> None:
    given = parse_recipe({**GOOD, "rows": [{**GOOD["rows"][0], "published": text}]})
    assert replaced(given, runs=1).rows == given.rows
    assert given.model_dump(mode="json")["rows"][0]["published"] == {"current": text, "first-release": text}


def test_the_difference_is_in_standard_deviations() -> None:
    figure = PublishedFigure(53.7, 3.3)
    assert said(figure, 50.4) == ("53.7 ± 3.3", "-3.3 (-1.0 SD)") and said(None, 50.4) == ("–", "–")
    found = compared(figure, 55.35)
    assert found["difference"]["in_standard_deviations"] == pytest.approx(0.5)
    assert found["difference"]["mean"] == pytest.approx(0.0165) and found["published"]["mean"] == pytest.approx(0.537)


def test_checkpoints_are_given_to_rows_that_need_one(recipes: dict[str, Recipe]) -> None:
    given = ("ffhq_34/alae=mine", "SwAVw2=wide", "gan_encoder=e4e")
    found = load_recipes(PAPER, checkpoint=given)

    def place(recipe: str, name: str) -> str | None:
        return next(row.checkpoint for row in found[recipe].rows if row.name == name)  # type: ignore[union-attr]

    assert [place(name, "ALAE") for name in ("ffhq_34", "celeba_19")] == ["mine", None]
    assert place("cat_15", "SwAVw2") == "wide" and place("cat_15", "SwAV") == "swav/lsun_cat"
    assert {place(name, "GAN Encoder") for name in found} == {"e4e"} and place("cat_15", "GAN Inversion") is None
    rows = [{"name": "one", "backbone": "alae", "checkpoint": None, "needs": "a network"}]
    replace_checkpoint(rows, "anywhere")
    assert rows[0]["checkpoint"] == "anywhere"


@pytest.mark.parametrize("given", [("alae=mine", "alae=mine"), ("cat_15/ddpm=ddpm/lsun_cat",)])
def test_a_checkpoint_that_is_there_already_may_be_given(given: tuple[str, ...], recipes: dict[str, Recipe]) -> None:
    assert load_recipes(PAPER, checkpoint=given) == load_recipes(PAPER, checkpoint=given[1:])


def test_a_dry_run_of_the_whole_table(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("benchmark", PAPER, "--dry-run", "-o", empty / "out", capsys=capsys)
    assert code == 0 and not err and not list(empty.iterdir())
    lines = out.splitlines()
    assert "6 recipes" in lines[0] and "0 of 50 rows can be run now" in lines[0]
    states = {line.split("  ")[0]: line.split()[-6:] for line in lines}
    assert states["DDPM"] == ["download"] * 6
    assert states["DatasetGAN"] == ["download"] * 4 + ["–"] * 2
    assert states["GAN Inversion"] == ["checkpoint"] * 6 and states["VDVAE"][:2] == ["–", "checkpoint"]
    assert f"  frugalseg download --for {PAPER}" in lines
    words = " ".join(out.split())
    assert "47 MB, one archive of all benchmarks: bedroom_28, ffhq_34" in words and "2.2 GB each: ddpm/lsun" in words
    # 47 MB, four of 2.2 GB and four of 7 GB; nobody says how large SwAV's and MAE's files are, nor DatasetGAN's sets.
    assert "together 36.8 GB and 16 files of unknown size" in words
    assert "frugalseg pretrain e4e IMAGES --generator GENERATOR -o FOLDER" in words
    assert "--checkpoint RECIPE/gan_inversion=PLACE" in words and "holds none of these runs" in words
    # 5 runs of 50 + 650 images: through six networks once, and through the diffusion network at three steps.
    assert "ADE-Bedroom-30 35 31 500 350 –" in words and "together 250 66 600 2 100 4 500 000" in words


def test_a_dry_run_of_one_recipe(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--checkpoint", "gan_encoder=nowhere", "--runs", 2, "--preset", "first-release")
    code, out, _ = run("benchmark", PAPER / "cat_15.yaml", "--dry-run", *given, capsys=capsys)
    words = " ".join(out.split())
    assert code == 0 and "preset first-release" in words
    names = (
        "cat_15 swav/lsun_cat swav_w2/lsun_cat mae/lsun_cat synthetic_gan/cat_15 synthetic_ddpm/cat_15 ddpm/lsun_cat"
    )
    assert f"frugalseg download {names} " in words
    assert "GAN Encoder: there is no nowhere; give another place with --checkpoint gan_encoder=FOLDER" in words
    assert "DatasetDDPM 2 – – 225 000" in words and "DDPM 2 400 20 –" in words


def test_recipes_of_one_title_are_counted_apart() -> None:
    plans = {str(runs): Plan.of(parse_recipe({**GOOD, "runs": runs})) for runs in (1, 4)}
    # Of each run: 3 + 2 images, 10 pixel classifiers, and 2 steps of a U-Net.
    words = " ".join(dry_run(plans, PAPER).split())
    assert "a test 2 5 10 2 a test 8 20 40 8 together 10 25 50 10 " in words


def test_a_dry_run_loads_no_torch(empty: Path) -> None:
    code = (
        "import sys\nfrom frugalseg import cli\n"
        f"sys.argv = ['frugalseg', 'benchmark', {str(PAPER)!r}, '--dry-run']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_a_row_without_its_network_is_a_mistake(empty: Path) -> None:
    row = {"kind": "features", "name": "mine", "backbone": "alae"}
    with pytest.raises(InputError, match="row 'mine': the alae backbone needs a checkpoint: name one, or say which"):
        Plan.of(parse_recipe({**GOOD, "rows": [row]}))
    with pytest.raises(InputError, match="row 'mine': needs: a colour backbone needs no checkpoint"):
        parse_recipe({**GOOD, "rows": [{**row, "backbone": "colour", "needs": "a network"}]})
    plan = Plan.of(parse_recipe({**GOOD, "rows": [{**row, "needs": "a network"}]}))
    with pytest.raises(InputError, match="no row can be run: mine: needs a network; if you have one, add --checkpoint"):
        plan.runnable()


def test_samples_and_their_source_belong_together() -> None:
    for given in ({"source": "set"}, {"source": "annotated", "samples": "synthetic_ddpm/cat_15"}):
        with pytest.raises(InputError, match="row 's': source set and samples belong together"):
            parse_recipe({**GOOD, "rows": [{"kind": "student", "name": "s", **given}]})


def test_mistakes(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "none").mkdir()
    cat = yaml.safe_load((PAPER / "cat_15.yaml").read_text(encoding="utf-8"))
    cat["rows"][2]["checkpoint"] = "swav/lsun_cats"
    (empty / "wrong.yaml").write_text(yaml.safe_dump(cat), encoding="utf-8")
    cat["data"]["path"] = "cat_16"
    (empty / "data.yaml").write_text(yaml.safe_dump({**cat, "rows": cat["rows"][3:]}), encoding="utf-8")
    for arguments, words in (
        ((PAPER.with_name("papr"), "--dry-run"), "did you mean"),
        ((PAPER, "--dry-run", "--preset", "old"), "no preset 'old'; known: current, first-release"),
        ((PAPER, "--dry-run", "--checkpoint", "aale=x"), "no family or row is named 'aale'; did you mean alae?"),
        ((PAPER, "--dry-run", "--checkpoint", "cat15/mae=x"), "no recipe is named 'cat15'; did you mean cat_15?"),
        ((PAPER, "--dry-run", "--checkpoint", "colour=x"), "no row of these recipes takes it"),
        ((PAPER, "--dry-run", "--data", "x"), "holds several recipes"),
        ((PAPER,), "--out: give a folder"),
        ((PAPER, "-o", empty / "out"), "none of these recipes can be run: bedroom_28 is not downloaded yet"),
        ((empty / "none", "--dry-run"), "holds no recipe"),
        (
            (empty / "wrong.yaml", "--dry-run"),
            "row 'SwAV': swav/lsun_cats: no such file or folder; did you mean",
        ),
        ((empty / "data.yaml", "--dry-run"), "did you mean cat_15?"),
    ):
        assert words in mistake("benchmark", *arguments, capsys=capsys)
    assert not (empty / "out").exists()


@pytest.mark.parametrize("given", ["", "ddpm=", "DDPM=", "cat_15/ddpm="])
def test_a_checkpoint_that_names_nothing(given: str) -> None:
    """An empty path would be the folder that the command runs in."""
    with pytest.raises(InputError, match=r"^checkpoint .*; give (a file or a folder|one), such as ddpm=FOLDER$"):
        load_recipes(PAPER, checkpoint=[given])


def test_a_data_folder_that_is_half_there(tmp_path: Path) -> None:
    (tmp_path / "data" / "real" / "train").mkdir(parents=True)
    recipe = load_recipe(PAPER / "cat_15.yaml", data=tmp_path / "data")
    found = Plan.of(recipe).data
    assert found is not None and not found.left_out
    assert found.words == f"there is no {tmp_path / 'data' / 'real' / 'test'}; add that folder, or correct the recipe"
