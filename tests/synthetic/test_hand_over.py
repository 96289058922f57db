"""The data folder for annotators, where it does not take a whole call to see what is done."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from frugalseg.data.origins import ORIGINS, Origins
from frugalseg.synthetic.hand_over import note_origins
from frugalseg.synthetic.sources import Picture


def test_calls_at_the_same_time_forget_no_origin(tmp_path: Path) -> None:
    drawn_by = Origins("ddpm", "0" * 16, {})
    pictures = [Picture(number, np.full((2, 2, 3), number, np.uint8), origin=number) for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda picture: note_origins(tmp_path / ORIGINS, drawn_by, [picture]), pictures))
    found = Origins.read(tmp_path / ORIGINS)
    assert [found.seed_of(picture.image) for picture in pictures] == list(range(64))
    assert [path.name for path in tmp_path.iterdir()] == [ORIGINS]
