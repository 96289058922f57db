"""The commands that are stopped: the smallest of each kind."""

from tests.jobs.kills.trial import Command

DDPM = "--size 8x8 --base-channels 8 --multipliers 1,2 --layers 1 --attention-levels 1"
MAE = "--size 12x8 --patch 2 --width 64 --depth 2 --decoder-width 32 --decoder-depth 1"
CLASSIFIER = "--protocol quick --members 1"
STUDENT = "--architecture linknet --encoder tu-test_efficientnet --epochs 2 --least-steps 0 --validations 2"
RECIPE = """
title: a test
data: {kind: toy, train: 2, test: 2}
runs: 1
rows:
  - {kind: features, name: colour, backbone: colour, options: {native_size: [16, 16]},
     segmenter: {protocol: quick, members: 1}}
"""

COMMANDS = {
    "toy": Command("toy -o out -n 2", device=False),
    "fit": Command(f"fit {{data}} --backbone colour --native-size 16x16 {CLASSIFIER} -o out"),
    "fit ddpm": Command(f"fit {{data}} --checkpoint {{ddpm}} --timesteps 50 --blocks 1,2 {CLASSIFIER} -o out"),
    "fit folds": Command(f"fit {{more}} --backbone colour --native-size 16x16 --folds 3 {CLASSIFIER} -o out"),
    "fit auto": Command(f"fit {{data}} --backbone auto {CLASSIFIER} -o out"),
    "fit choose": Command(
        f"fit {{data}} --checkpoint {{ddpm}} --choose --timesteps 50 --blocks 1,2 {CLASSIFIER} -o out"
    ),
    "explore": Command(
        "explore {data} --backbone filters --scales 1 --what all --sizes 1 --folds 2 --members 2 --runs 1 --clusters 2 "
        "--protocol quick --pictures 1 -o out"
    ),
    "corruptions": Command(
        "explore {data} --backbone colour --native-size 16x16 --what corruptions --corruptions fog,contrast "
        "--severities 1,5 --folds 2 --members 1 --protocol quick -o out"
    ),
    "predict": Command("predict {model} {data}/images -o out --overlays --uncertainty --probabilities"),
    "evaluate": Command("evaluate {model} {data} -o out"),
    "generate": Command("generate {drawing} -n 3 --sampling-steps 2 --first-step 900 --npz set.npz -o out"),
    "annotate": Command("generate {drawing} --for-annotation 2 --sampling-steps 2 --first-step 900 -o out"),
    "photos": Command("generate {model} --images {photos} -o out"),
    "distill": Command(f"distill {{set}} --validation {{data}} --test {{data}} {STUDENT} --batch-size 2 -o out"),
    "pretrain": Command(f"pretrain mae {{photos}} --steps 2 --checkpoint-minutes 0 --batch-size 2 {MAE} -o out"),
    "pretrain ddpm": Command(f"pretrain ddpm {{photos}} --steps 2 --batch-size 2 {DDPM} -o out"),
    "download": Command("download synthetic_gan/cat_15 mae/lsun_cat --base {mirror} --to out", device=False),
    "convert": Command("convert {published} -o out --image-size 64 --head-channels 16", device=False),
    "benchmark": Command("benchmark {recipe} -o out", timed=("out/results.json", "out/index.html")),
}

MADE = {
    "data": "toy -n 2",
    "more": "toy -n 3",
    "photos": "toy -n 3 --no-masks",
    "model": f"fit {{data}} --backbone colour --native-size 16x16 {CLASSIFIER} --device cpu",
    "ddpm": f"pretrain ddpm {{photos}} --steps 2 --batch-size 2 {DDPM} --device cpu",
    "drawing": f"fit {{data}} --checkpoint {{ddpm}} --timesteps 50 --blocks 1,2 {CLASSIFIER} --device cpu",
    "set": "generate {model} --images {photos} --device cpu",
}
"""Their inputs, and how each is made from those before it."""
