import pytest

from frugalseg.backbones.ddpm.settings import FeatureSettings, choose_settings
from frugalseg.support.errors import InputError


def test_presets_are_the_papers_for_its_networks():
    current = choose_settings(18, 1000)
    assert (current.timesteps, current.blocks, current.inputs) == ((50, 150, 250), (5, 6, 7, 8, 12), False)
    first = choose_settings(18, 1000, preset="first-release", inputs=True)
    assert (first.timesteps, first.blocks, first.inputs) == ((50, 150, 250, 350), (6, 7, 8, 9), True)


def test_presets_keep_relative_depth_and_time_elsewhere():
    small = choose_settings(9, 4000)
    assert (small.timesteps, small.blocks) == ((200, 600, 1000), (2, 3, 4, 6))
    assert choose_settings(1, 1000).blocks == (0,)
    assert [choose_settings(18, steps).timesteps for steps in (100, 10, 1)] == [(5, 15, 25), (0, 2), (0,)]


def test_json_round_trip():
    settings = FeatureSettings((1, 2), (3,), inputs=True, noise_seed=4, noise_draws=2)
    assert FeatureSettings.from_json({**settings.to_json(), "timesteps": [1, 2]}) == settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": (3, 18)}, "blocks 18: this network has blocks 0 to 17"),
        ({"timesteps": (-1, 1000)}, "timesteps -1, 1000: this network has timesteps 0 to 999"),
        ({"blocks": ()}, "blocks empty"),
        ({"timesteps": (5, 5)}, "each once"),
        ({"preset": "best"}, "known: current, first-release"),
        ({"noise_draws": 0}, "at least 1"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(InputError, match=message):
        choose_settings(18, 1000, **options)
