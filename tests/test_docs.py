"""The code blocks of README and docs: commands are parsed by the real command line, and run on small stand-ins.

Names in the docs (photos, DATA, MODEL, ...) are folders here: toy images, networks of a few thousand weights.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from runpy import run_module
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.backbones.registry import pretrainable
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.cli import app
from frugalseg.cli.families import spellings
from frugalseg.cli.model import FIT_OPTIONS
from frugalseg.cli.synthetic import GENERATE_OPTIONS
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.jobs.generate import GenerateRequest, generate_folder
from tests.cli.helpers import run
from tests.conftest import save_tiny_ddpm
from tests.data.helpers import deep_tiff, halves, save_image

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"bash", "python", "json", "yaml", "text", "bibtex"}

by_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


# Reading the documents


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    language: str
    code: str


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def prose(text: str) -> str:
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> list[list[str]]:
    """The words of each command of a document, in order."""
    code = "\n".join(block.code for block in blocks(text) if block.language == "bash")
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def ours(text: str) -> list[list[str]]:
    """The arguments of each `frugalseg` command of a document."""
    return [words[1:] for words in command_lines(text) if words[0] == "frugalseg"]


# Whether a command is right, without running it


def check_command(words: list[str]) -> None:
    """Raise what the command line raises for wrong arguments."""
    command = typer.main.get_command(app)
    context = command.make_context("frugalseg", [])
    while hasattr(command, "get_command"):
        name, *words = words
        command = command.get_command(context, name)
        assert command is not None, f"no command {name}"
        if not hasattr(command, "get_command"):
            command.make_context(name, words, parent=context)


def all_flags() -> set[str]:
    """Every option of every command, whatever the family."""
    group = typer.main.get_command(app)
    context = group.make_context("frugalseg", [])
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    pretrain = next(command for command in commands if command.name == "pretrain")
    commands += [pretrain.get_command(context, family.pretrain_name) for family in pretrainable()]
    found = {"--help"}
    for command in commands:
        found.update(*(each.opts + each.secondary_opts for each in command.params))
    for choice in (FIT_OPTIONS, GENERATE_OPTIONS):
        found.update(*(spellings(choice.flags(family)) for family in choice.families()))
    return found


@by_document
def test_blocks_say_their_language(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert {block.language for block in blocks(text)} <= LANGUAGES
    assert text.count("\n```") % 2 == 0
    assert not re.search(r"^\n {4,}\S", prose(text), re.MULTILINE), "an indented block; fence it, with its language"


@by_document
def test_commands_are_right(document: Path) -> None:
    for words in ours(document.read_text(encoding="utf-8")):
        check_command(words)


WRONG = [
    ("fit DATA --chekpoint my_ddpm -o MODEL", "No such option"),
    ("fit DATA --checkpoint my_ddpm", "Missing option"),
    ("fit DATA --blocks 1 -o MODEL", "an option of ddpm, mae and alae"),
    ("predict MODEL", "Missing"),
    ("pretrain gan PHOTOS -o my_gan", "not a backbone family"),
    ("generate MODEL -n many -o SYNTHETIC", "Invalid value"),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_a_wrong_command_is_found(line: str, words: str) -> None:
    """The check above bites."""
    text = f"Some words.\n\n```bash\nfrugalseg check photos  # fine\nfrugalseg {line}   # wrong\n```\n"
    fine, wrong = ours(text)
    check_command(fine)
    with pytest.raises(Exception) as error:  # typer does not export its class
        check_command(wrong)
    message = getattr(error.value, "format_message", lambda: str(error.value))()
    assert words in message


FOREIGN_FLAGS = {"--nproc-per-node": "torchrun", "--local-dir": "hf", "--unet": "benchmarks", "--mapped": "benchmarks"}
"""Options in the prose that are those of other programs."""


@by_document
def test_options_in_the_prose_exist(document: Path) -> None:
    spans = re.findall(r"`([^`]+)`", prose(document.read_text(encoding="utf-8")))
    named = {flag for span in spans for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}
    assert named <= all_flags() | FOREIGN_FLAGS.keys()


@by_document
def test_commands_in_the_prose_exist(document: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    spans = re.findall(r"`frugalseg (\w+)[^`]*`", prose(document.read_text(encoding="utf-8")))
    assert set(spans) <= set(commands)


@by_document
def test_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:frugalseg|tests|benchmarks|recipes|examples|docs)/[\w/.]*)`", text)
    named += re.findall(r"\brecipes/\w+\.yaml", text)
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


@by_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, section = target.partition("#")
        linked = document.parent / path if path else document
        assert linked.is_file(), target
        if section:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert section in slugs, target


def benchmark_commands() -> Iterator[tuple[str, list[str]]]:
    for document in DOCUMENTS:
        for words in command_lines(document.read_text(encoding="utf-8")):
            if words[:2] == ["python", "-m"]:
                yield words[2], [word for word in words[3:] if word.startswith("--")]


@pytest.mark.parametrize(("module", "flags"), benchmark_commands())
def test_options_of_benchmarks_exist(module: str, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    shown = StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        run_module(module, run_name="__main__")
    assert set(flags) <= set(re.findall(r"--[a-z-]+", shown.getvalue()))


# Running the blocks


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the docs take for given, under the names that they use."""
    place = tmp_path_factory.mktemp("docs")
    for name in ("photos", "DATA"):
        write_toy_folder(place / name, 5, seed=1)
    for name in ("test_photos", "photos_test"):
        write_toy_folder(place / name, 2, seed=1, first=100)
    for name, count in (("photos_unlabeled", 3), ("more_photos", 2), ("PHOTOS", 50)):
        write_toy_folder(place / name, count, seed=2, masks=False)
    shutil.copy(place / "DATA" / "classes.json", place / "classes.json")
    Image.new("RGB", (60, 40), (90, 120, 60)).save(place / "photo.jpg")
    for name in ("FOLDER", "NETWORK", "path/to/pipeline"):
        save_tiny_ddpm(place / name)
    for name, channels in (("cells", 1), ("more_cells", 1), ("fields", 4), ("fields_test", 4), ("stacks", 5)):
        write_stacks(place / name, channels, masks=name != "more_cells")
    options = {"members": 1, "protocol": replace(PROTOCOLS["default"], steps=5)}
    backbone = load_backbone("ddpm", place / "NETWORK", timesteps=(50,), blocks=(1, 2))
    Segmenter(backbone, **options).fit(SegmentationFolder(place / "DATA")).save_pretrained(place / "MODEL")
    return place


def write_stacks(folder: Path, channels: int, *, masks: bool) -> None:
    """Two images of 12 bits, with masks of two classes or without."""
    for number in range(2):
        values = np.random.default_rng(number).integers(0, 4096, (24, 32, channels)).astype(np.uint16)
        deep_tiff((folder / "images" if masks else folder) / f"{number}.tif", values)
        if masks:
            save_image(folder / "masks" / f"{number}.png", halves(0, 1, 24, 32))


@pytest.fixture
def here(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stand-ins of its own, as the current folder."""
    shutil.copytree(stand_ins, tmp_path / "docs")
    monkeypatch.chdir(tmp_path / "docs")
    return tmp_path / "docs"


NOT_RUN = {
    "frugalseg demo": "takes minutes; tests/experiments runs a smaller one",
    "frugalseg benchmark": "takes hours, and needs the street photographs",
    "--backbone timm": "downloads weights, or needs a file of them",
    "owner/name": "downloads a network",
    "frugalseg download": "needs a network connection; tests/jobs/download has a server",
    "cat_15": "needs a download; tests/jobs/download has a server",
    "lsun_cat.pt": "a published file",
    "ffhq.pth": "a published file",
    "celeba-hq256.pth": "a published file",
    "e4e_church.pt": "a published file",
    "street_fashion_15/train/images": "takes hours, and needs the street photographs",
    "-n 800": "800 images are for a benchmark",
}
"""Commands that cannot be run here: what they contain, and why."""

STUDENT = "--epochs 1 --least-steps 1 --validations 1 --batch-size 2 --size 32x32 --overwrite"
STEPS = "--sampling-steps 2 --first-step 900"
PRETRAINING = "--steps 1 --size 16x16 --batch-size 2"
TINY = {
    "ddpm": "--base-channels 8 --multipliers 1,2 --layers 1",
    "swav": "--prototypes 4 --queue 0",
    "alae": "--latent-size 8 --base-channels 4 --max-channels 8 --mapping-layers 1",
    "stylegan2": "--latent-size 4 --base-channels 4 --max-channels 6 --mapping-layers 1",
    "e4e": "--width 4 --units 1,1,1,1",
    "mae": "--patch 2 --width 64 --depth 1 --decoder-width 32 --decoder-depth 1",
}


def smaller(words: list[str]) -> list[str]:
    """A command with further options, which make it short; of an option that is given twice the last one counts."""
    command, *rest = words
    sampling = "" if any(word.startswith(("ALAE", "GAN", "my_gan")) for word in rest) else STEPS
    drawing = f"{sampling} --overwrite -n 4"
    if "--images" in rest:
        drawing = ""
    if "--for-annotation" in rest:
        drawing = f"{sampling} --for-annotation 2"
    reading = "--scales 1" if "filters" in rest else "--timesteps 50 --blocks 1,2"
    asked = rest[rest.index("--what") + 1].split(",") if "--what" in rest else []
    exploring = " ".join(
        option
        for option, subjects in {"--sizes 1": {"all", "images"}, "--corruptions fog": {"corruptions"}}.items()
        if subjects & {*asked}
    )
    choosing = " --timesteps 50,150 --blocks 1,2" if "--choose" in rest else ""
    more = {
        "toy": "-n 3",
        "pretrain": f"{PRETRAINING} {TINY.get(rest[0], '')}",
        "fit": "--members 1 --overwrite"
        + choosing
        + ("" if {"--checkpoint", "--backbone"} & {*rest} else " --size 64x64"),
        "evaluate": "--overwrite",
        "explore": f"--members 1 --folds 2 --runs 1 --pictures 1 --severities 1 --overwrite {reading} {exploring}",
        "predict": "--overwrite",
        "generate": drawing,
        "distill": STUDENT,
    }
    return [
        command,
        *rest,
        *more.get(command, "").split(),
        *([] if command in ("toy", "check") else ["--device", "cpu"]),
    ]


def reason_not_to_run(words: list[str]) -> str | None:
    line = shlex.join(["frugalseg", *words])
    return next((reason for part, reason in NOT_RUN.items() if part in line), None)


def annotate(folder: Path) -> None:
    """What the docs ask of annotators between two commands."""
    for mask in (folder / "masks").glob("*.png"):
        ids = np.zeros((16, 16), np.uint8)
        ids[8:] = 1
        Image.fromarray(ids).save(mask)


def run_commands(document: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """Run a document's commands in order, each on what the earlier ones have left; returns how many."""
    commands = [words for words in ours(document.read_text(encoding="utf-8")) if reason_not_to_run(words) is None]
    for words in commands:
        code, out, err = run(*smaller(words), capsys=capsys)
        assert code == 0, f"{shlex.join(words)}: {out}{err}"
        if "--for-annotation" in words:
            annotate(Path(words[words.index("-o") + 1]))
    return len(commands)


@pytest.mark.slow  # it fits, trains a student, and fits in folds
def test_the_commands_of_the_readme_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_commands(ROOT / "README.md", capsys) >= 12
    assert (here / "masks" / "overlays").is_dir() or list(here.glob("masks/*.png"))
    assert (here / "my_student" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["alae", "data", "diffusion", "explore", "filters", "mae", "stylegan2", "swav", "synthetic"]
)
def test_the_commands_of_the_docs_run(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_commands(ROOT / "docs" / f"{name}.md", capsys) >= 2


def test_what_is_not_run_is_in_the_docs() -> None:
    lines = [shlex.join(["frugalseg", *w]) for d in DOCUMENTS for w in ours(d.read_text(encoding="utf-8"))]
    assert [part for part in NOT_RUN if not any(part in line for line in lines)] == []


SHORTER = {
    'student_settings(encoder="resnet34")': "student_settings(epochs=1, least_steps=0, validations=1, size=(32, 32))",
    "Segmenter(backbone)": "Segmenter(backbone, members=1)",
    "Segmenter(load_backbone())": "Segmenter(load_backbone(), members=1, network_size=(64, 64))",
    'Segmenter(load_backbone("filters"))': 'Segmenter(load_backbone("filters", scales=(1.0,)), members=1)',
    "torch.rand(1, 3, 256, 256)": "torch.rand(1, 3, 64, 64)",
    "40_000": "4_000",
    'load_backbone("filters")\n': 'load_backbone("filters", scales=(1.0, 3.5))\n',
    "choose_places(Segmenter(backbone)": "choose_places(Segmenter(backbone, protocol=QUICK)",
    'Segmenter(load_backbone("ddpm", "my_ddpm"))': 'Segmenter(load_backbone("ddpm", "NETWORK"), members=1)',
}
"""What is replaced in the Python blocks, to save time."""
ONNX = "onnxruntime"
"""In the one block that needs what a command of the same document has written."""


def python_blocks(document: Path) -> list[str]:
    return [block.code for block in blocks(document.read_text(encoding="utf-8")) if block.language == "python"]


def execute(codes: Iterable[str], image: Any) -> dict[str, Any]:
    """Run Python blocks one after another with the same names; returns these."""
    names = {"image": image, "QUICK": replace(PROTOCOLS["default"], steps=5)}
    for code in codes:
        for written, shorter in SHORTER.items():
            code = code.replace(written, shorter)
        exec(compile(code, "block", "exec"), names)
    return names


LONG = {"explore.md", "python.md"}
"""Documents whose Python takes most of a minute."""
WITH_PYTHON = [
    pytest.param(document, marks=[pytest.mark.slow] if document.name in LONG else [])
    for document in DOCUMENTS
    if python_blocks(document)
]


@pytest.mark.parametrize("document", WITH_PYTHON, ids=lambda path: path.name)
def test_python_blocks_run(document: Path, here: Path) -> None:
    request = GenerateRequest("MODEL", images=here / "PHOTOS")
    generate_folder(request, here / "SYNTHETIC")
    codes = [code for code in python_blocks(document) if ONNX not in code]
    assert codes
    execute(codes, np.zeros((48, 48, 3), np.uint8))


def test_what_is_replaced_is_in_the_docs() -> None:
    every = "".join(code for document in DOCUMENTS for code in python_blocks(document))
    assert [written for written in SHORTER if written not in every] == []


@pytest.mark.slow
def test_the_student_of_the_docs_runs_in_onnxruntime(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = ROOT / "docs" / "students.md"
    run_commands(document, capsys)
    mask = execute((code for code in python_blocks(document) if ONNX in code), None)["mask"]
    assert mask.shape == (256, 256) and mask.max() < len(SegmentationFolder("DATA").classes)
