"""What the tests of `distill` share."""

import shutil

from frugalseg.students.settings import student_settings

QUICK = student_settings(
    architecture="fpn", encoder="mobilenet_v2", epochs=4, least_steps=0, validations=2, batch_size=2
)


def same_weights(one, other):
    first, second = ((folder / "student.safetensors").read_bytes() for folder in (one, other))
    return first == second


def copied(folders, tmp_path, name):
    shutil.copytree(folders / name, tmp_path / name)
    return tmp_path / name
