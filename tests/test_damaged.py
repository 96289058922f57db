"""Saved models with one thing wrong: each loads, or is refused in one line, in a moment and without memory."""

import random
import resource

import pytest

from frugalseg import load_model
from tests.mutations import Changed, answer, chosen, folder_mutations
from tests.tiny_models import KINDS, model_of

LONGEST = 400
MEMORY = 2 * 2**30
"""Bytes by which the process may grow over all the damage together; single values ask for terabytes."""


@pytest.fixture(scope="module")
def saved(tiny_ddpm, tmp_path_factory):
    """Gives the folder of a saved model of a kind, made when it is first asked for."""
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("saved") / kind
            model_of(kind, tmp_path_factory.mktemp(kind), tiny_ddpm).save_pretrained(made[kind])
        return made[kind]

    return of


@pytest.mark.parametrize("count", [30, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_models_load_or_are_refused_in_one_line(kind, count, saved, tmp_path):
    folder = saved(kind)
    assert answer(lambda: load_model(folder)) is None
    before, refused, changed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, Changed(folder, tmp_path)
    for name, path, content in chosen(folder_mutations(folder), count, random.Random(0)):
        changed.change(path, content)
        said = answer(lambda: load_model(changed.folder))
        changed.mend(path)
        refused += said is not None
        assert said is None or (said.isprintable() and len(said) < LONGEST), (name, said)
    assert refused > 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY / 1024
