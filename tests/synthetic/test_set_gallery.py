import numpy as np

from frugalseg.synthetic import generate
from frugalseg.synthetic.set_gallery import EACH, choice, histogram
from tests.report.reading import check_offline


def test_the_page_shows_every_image_of_a_small_set(written):
    page = check_offline((written.path / "index.html").read_text())
    words = " ".join(page.words)
    assert "10 generated images, labeled by a model with 10 classes." in words
    order = [f"{number:08d}" for number in np.argsort(written.uncertainties)]
    places = [words.index(name) for name in order]
    assert places == sorted(places)
    assert len(page.pictures()) == 2 * 10 + 2  # and the histogram for light and dark readers
    assert "sde-dpmsolver++" in words and "muzzle" in words


def test_a_page_of_many_shows_some_of_each_kind():
    uncertainties = np.random.default_rng(0).random(1000).astype(np.float32)
    shown = choice(uncertainties)
    assert [len(places) for places in shown.values()] == [EACH] * 3
    assert len(set(np.concatenate(list(shown.values())).tolist())) == 3 * EACH
    assert uncertainties[shown["Most certain"][0]] == uncertainties.min()
    assert uncertainties[shown["Least certain"][-1]] == uncertainties.max()
    assert abs(np.median(uncertainties[shown["In the middle"]]) - np.median(uncertainties)) < 0.01


def test_the_histogram_marks_the_tenth_that_is_dropped():
    assert histogram(np.arange(101, dtype=np.float32)).alt.endswith("median 50.000 nats; a tenth is beyond 90.000")


def test_the_page_of_a_larger_set_replaces_that_of_the_smaller(segmenter, drawn, tmp_path):
    for count in (2, 3):
        generate(segmenter, drawn(count), tmp_path / "set", shard_size=2, batch_size=2)
        assert f"{count} generated images" in (tmp_path / "set" / "index.html").read_text()
