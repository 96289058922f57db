"""The commands whose work is in the archive, by their output folders; all paths are relative to its root."""

PHOTOS, TRAIN, TEST = "inputs/photos", "inputs/study/train", "inputs/study/test"
IMAGE = f"{PHOTOS}/000002.png"
"""What `expected.json` is about."""

FEATURE, CLASS = 1000.0, 3
"""Marks of unfinished work, see `make_earlier`: a stored feature, and the class that is found everywhere."""

PRETRAIN = {
    "ddpm": "--size 8x8 --base-channels 8 --multipliers 1,2 --layers 1 --attention-levels 1",
    "mae": "--size 12x8 --patch 2 --width 64 --depth 2 --decoder-width 32 --decoder-depth 1",
    "swav": "--size 16x8 --width 4 --depths 1,2 --small-crops 2 --prototypes 6 --projection 8 --hidden 8 --queue 10",
}
DDPM = "--backbone ddpm --checkpoint inputs/ddpm --timesteps 50,150 --blocks 1,2"
FIT = f"fit {TRAIN} --small-regions 2"
EXTRAS = "--overlays --uncertainty --probabilities"
DRAW = "generate models/ddpm --sampling-steps 2"
FOR_ANNOTATION = "--for-annotation 3 --batch-size 2"
STUDENT = (
    f"distill generate/photographs --validation {TRAIN} --test {TEST} --architecture linknet "
    "--encoder tu-test_efficientnet --epochs 2 --least-steps 0 --validations 2 --batch-size 2"
)

COMMANDS = {
    **{
        f"pretrain/{family}": f"pretrain {family} {PHOTOS} --steps 6 --batch-size 4 --ema-decay 0.5 {network}"
        for family, network in PRETRAIN.items()
    },
    "models/ddpm": f"{FIT} {DDPM} --members 2",
    "models/colour": f"{FIT} --backbone colour --native-size 16x16 --members 1 --mirror",
    "models/mae": f"{FIT} --backbone mae --checkpoint pretrain/mae --members 1 --seed 1",
    "models/swav": f"{FIT} --backbone swav --checkpoint pretrain/swav --members 1 --tile",
    "models/student": STUDENT,
    "fit/features": f"{FIT} {DDPM} --members 1",
    "fit/train": f"{FIT} {DDPM} --members 1",
    "predict/whole": f"predict models/ddpm {PHOTOS} {EXTRAS}",
    "predict/part": f"predict models/ddpm {PHOTOS} {EXTRAS}",
    "generate/whole": f"{DRAW} -n 66",
    "generate/part": f"{DRAW} -n 66",
    "generate/photographs": f"generate models/ddpm --images {PHOTOS}",
    "generate/annotation": f"{DRAW} {FOR_ANNOTATION}",
    "generate/annotation-part": f"{DRAW} {FOR_ANNOTATION}",
    "distill/train": STUDENT,
    "comparison": "benchmark inputs/recipe.yaml",
}


def arguments(out, *more):
    """The command that writes to a folder, as the command line takes it."""
    return [*COMMANDS[out].split(), "-o", out, *more, "--device", "cpu"]
