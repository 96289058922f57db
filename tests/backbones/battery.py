"""What every backbone has to pass, whatever its family.

A family's test derives a class and says what to build::

    class TestSwAV(BackboneChecks):
        @pytest.fixture(scope="class")
        def backbone(self, tiny_checkpoint):
            return load_backbone("swav", tiny_checkpoint)

A family whose generator gives maps also derives from `DrawingChecks`; one that reads no images from that alone.
"""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from frugalseg.backbones import load_saved_backbone
from frugalseg.backbones.drawing import pixels_of
from frugalseg.backbones.generator import FromLatents
from frugalseg.backbones.registry import family_named
from frugalseg.data.example import Example
from frugalseg.data.origins import Origins
from frugalseg.segmenter import Segmenter
from frugalseg.selection.cost import operations
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.records import plain


def images(backbone, rows=4, columns=6, count=2, seed=0):
    """Random images of `rows` x `columns` strides or of the only size: (count, 3, H, W) float32 in [0, 1]."""
    size = backbone.fixed_size or (rows * backbone.stride, columns * backbone.stride)
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def same_operations(backbone, some):
    """Counting the operations of a network by its shapes alone gives as many as counting what it computes."""
    segmenter, size = Segmenter(backbone), tuple(images(backbone).shape[2:])
    computed = operations(segmenter, size, computing=True)
    assert operations(segmenter, size, computing=False) == computed
    assert (computed > 0) == some


class BackboneChecks:
    """Derive, and override the fixture `backbone`; `weighted` is False for a family without weights."""

    weighted = True
    smallest = 4
    """Sides of the smallest image tried, in strides."""

    @pytest.fixture(scope="class")
    def backbone(self):
        raise NotImplementedError

    def test_taps_say_what_comes(self, backbone):
        names = [tap.name for tap in backbone.taps]
        assert len(set(names)) == len(names) > 0
        for rows, columns in ((0, 2), (3, 1), (1, 1)):
            batch = images(backbone, self.smallest + rows, self.smallest + columns)
            maps = backbone(batch)
            assert maps.size == batch.shape[2:]
            assert maps.dim == backbone.dim
            sizes = backbone.map_sizes(batch.shape[2:])
            for tap, size, values in zip(backbone.taps, sizes, maps.maps, strict=True):
                assert values.shape == (2, tap.channels, *size)
                if not backbone.family.count("+"):
                    assert size == (batch.shape[2] // tap.stride, batch.shape[3] // tap.stride)
                assert values.isfinite().all()
                assert values.std() > 0

    def test_sizes_follow_the_stride(self, backbone):
        assert all(side % backbone.stride == 0 for side in backbone.native_size)
        if not backbone.family.count("+"):  # the parts of a combination see sizes of their own
            assert all(backbone.stride % tap.stride == 0 for tap in backbone.taps)
        if backbone.stride > 1:
            with pytest.raises(ValueError, match="does not fit a network"):
                backbone(torch.rand(1, 3, 4 * backbone.stride - 1, 4 * backbone.stride))

    def test_at_its_own_resolution_an_image_of_any_size_fits(self, backbone):
        if backbone.own_resolution:
            assert backbone.stride == 1
            assert backbone.fixed_size is None

    def test_what_is_no_batch_of_images_is_refused(self, backbone):
        batch = images(backbone)
        for wrong in (batch[0], batch[:0], batch.repeat(1, 20, 1, 1), batch.numpy(), [batch], (255 * batch).byte()):
            with pytest.raises(ValueError, match="images"):
                backbone(wrong)

    def test_a_fixed_size_is_the_native_one_and_the_only_one(self, backbone):
        if backbone.fixed_size is not None:
            height, width = backbone.fixed_size
            assert (height, width) == backbone.native_size
            with pytest.raises(ValueError, match=f"takes {height}x{width} only; resize it to {height}x{width}"):
                backbone(torch.rand(1, 3, height + backbone.stride, width))

    def test_an_image_is_seen_alike_whatever_else_is_in_the_batch(self, backbone):
        batch = images(backbone, self.smallest, self.smallest + 2)
        both, alone = backbone(batch), backbone(batch[1:])
        for a, b in zip(both.maps, alone.maps, strict=True):
            assert (a[1:] - b).abs().max() <= 1e-4 * b.std()

    def test_saved_and_loaded_it_is_the_same(self, backbone, tmp_path):
        settings = json.dumps(backbone.config())
        backbone.save_pretrained(tmp_path)
        again = load_saved_backbone(tmp_path)
        for name in ("taps", "stride", "native_size", "fixed_size"):
            assert getattr(again, name) == getattr(backbone, name)
        assert json.dumps(again.config()) == settings
        batch = images(backbone, self.smallest, self.smallest + 2)
        for a, b in zip(backbone(batch).maps, again(batch).maps, strict=True):
            assert torch.equal(a, b)

    def test_weights_that_are_no_numbers_are_refused(self, backbone, tmp_path):
        backbone.save_pretrained(tmp_path)
        files = sorted(tmp_path.rglob("*.safetensors"))
        assert bool(files) == self.weighted
        for file in files[:1]:
            tensors = load_file(file)
            name = max(tensors, key=lambda name: tensors[name].is_floating_point() and tensors[name].numel())
            tensors[name].view(-1)[-1] = float("nan")
            save_file(tensors, file)
            with pytest.raises(InputError, match=r"no numbers \(NaN\)"):
                load_saved_backbone(tmp_path)

    def test_random_weights_follow_the_seed_and_nothing_else(self, backbone):
        if not self.weighted:
            with pytest.raises(InputError, match="has no weights"):
                backbone.reinitialised(1)
            return
        before = torch.random.get_rng_state()
        first, same, other = (backbone.reinitialised(seed) for seed in (5, 5, 6))
        assert torch.equal(torch.random.get_rng_state(), before)
        assert first.taps == backbone.taps
        batch = images(backbone, self.smallest, self.smallest + 2)
        expected, *found = (network(batch).maps[-1].float() for network in (backbone, first, same, other))
        assert torch.equal(found[0], found[1])
        assert not torch.allclose(found[0], found[2])
        assert not torch.allclose(found[0], expected)

    def test_it_can_be_read_at_each_place_that_it_names(self, backbone, tmp_path):
        """Every value of an option gives the maps of the taps that it chooses, and survives saving."""
        places = backbone.readable()
        assert backbone.passes is None or backbone.passes in places
        if not places:
            assert all(not tap.at for tap in backbone.taps)
            with pytest.raises(InputError, match="has no option depth"):
                backbone.reading(depth=(1,))
            return
        wide = backbone.reading(**places)
        assert {name for tap in wide.taps for name, _ in tap.at} == set(places)
        batch = images(wide, self.smallest, self.smallest + 2)
        maps = dict(zip(wide.taps, wide(batch).maps, strict=True))
        for name, values in places.items():
            one = backbone.reading(**{**places, name: values[:1]})
            batch_maps = one(batch).maps
            assert {dict(tap.at).get(name, values[0]) for tap in one.taps} == {values[0]}
            for tap, found in zip(one.taps, batch_maps, strict=True):
                assert torch.allclose(found.float(), maps[tap].float(), rtol=1e-3, atol=1e-4 * float(found.std()))
        one.save_pretrained(tmp_path)
        assert load_saved_backbone(tmp_path).taps == one.taps

    def test_its_operations_are_counted_without_computing(self, backbone):
        same_operations(backbone, self.weighted)

    def test_nothing_is_left_to_train(self, backbone):
        assert not any(values.requires_grad for values in backbone(images(backbone, 4, 4, count=1)).maps)
        assert not backbone.training
        assert not any(parameter.requires_grad for parameter in backbone.parameters())


class OwnDrawings(list):
    """Examples that a network drew, with `origins` as those of a folder have."""


class DrawingChecks:
    """Derive, and override the fixture `backbone`: the maps of the pass that draws an image are its features."""

    @pytest.fixture(scope="class")
    def backbone(self):
        raise NotImplementedError

    @pytest.fixture(scope="class")
    def generator(self, backbone):
        return backbone.generator(None)

    def test_maps_come_with_the_images(self, backbone, generator):
        drawn = generator.draw([3, 4])
        assert generator.maps_of is backbone
        assert drawn.images.shape == (2, 3, *generator.size)
        assert drawn.images.dtype == torch.float32 and drawn.images.device.type == "cpu"
        assert drawn.images.min() >= 0 and drawn.images.max() <= 1 and drawn.images.std() > 0
        assert drawn.maps.size == generator.size == backbone.native_size
        sizes = backbone.map_sizes(generator.size)
        for tap, size, values in zip(backbone.taps, sizes, drawn.maps.maps, strict=True):
            assert values.shape == (2, tap.channels, *size)
            assert values.isfinite().all() and values.std() > 0 and not values.requires_grad

    def test_seeds_are_whole_numbers_of_any_type(self, generator):
        expected = generator.draw([3, 4]).images
        for seeds in (np.array([3, 4]), torch.tensor([3, 4]), range(3, 5), [np.int64(3), np.uint8(4)]):
            assert torch.equal(generator.draw(seeds).images, expected)
        for wrong in ([], None, ["a"], [1.5], [True], [[1]], [-1], [2**64], "12"):
            with pytest.raises(InputError, match=r"seeds .*: give a list of one for each image"):
                generator.draw(wrong)

    def test_options_of_another_kind_are_refused(self, backbone):
        for wrong in ({}, {"truncation": 0.7}, 0.7, "options", False):
            with pytest.raises(InputError, match=r"options .*: give a \w+Generation, or None for its defaults"):
                backbone.generator(wrong)

    def test_an_image_depends_on_its_seed_alone(self, generator):
        both, alone, again = generator.draw([3, 4]), generator.draw([4]), generator.draw([4])
        assert torch.equal(alone.images, again.images)
        assert (both.images[1:] - alone.images).abs().max() <= 1e-4
        assert (both.images[0] - both.images[1]).abs().max() > 1 / 255
        for a, b, c in zip(both.maps.maps, alone.maps.maps, again.maps.maps, strict=True):
            assert torch.equal(b, c)
            assert (a[1:] - b).abs().max() <= 1e-4 * b.std()

    def test_its_settings_make_the_same_generator_again(self, backbone, generator):
        said = json.loads(json.dumps(generator.settings()))
        kind = family_named(backbone.family).generation_class()
        again = backbone.generator(kind(**{field.name: said[field.name] for field in fields(kind)}))
        assert json.loads(json.dumps(again.settings())) == said
        assert torch.equal(again.draw([5]).images, generator.draw([5]).images)

    def test_saved_and_loaded_it_draws_the_same(self, backbone, generator, tmp_path):
        backbone.save_pretrained(tmp_path)
        again = load_saved_backbone(tmp_path)
        assert again.taps == backbone.taps and again.native_size == backbone.native_size
        first, second = generator.draw([6]), again.generator(None).draw([6])
        assert torch.equal(first.images, second.images)
        assert all(torch.equal(a, b) for a, b in zip(first.maps.maps, second.maps.maps, strict=True))

    def test_another_network_draws_other_images(self, backbone, generator):
        first, same, other = (backbone.reinitialised(seed).generator(None).draw([7]) for seed in (5, 5, 6))
        assert torch.equal(first.images, same.images)
        assert not torch.allclose(first.maps.maps[-1].float(), other.maps.maps[-1].float())
        assert not torch.allclose(first.images, generator.draw([7]).images)

    def test_latents_follow_the_seed(self, generator):
        if isinstance(generator, FromLatents):
            both, alone = generator.latents([3, 4]), generator.latents([4])
            assert both.ndim == 2 and both.dtype == torch.float32 and both.device.type == "cpu"
            assert torch.equal(both[1:], alone) and not torch.equal(both[0], both[1])

    def test_it_learns_from_the_pass_that_drew_an_image(self, backbone, generator):
        """As `fit` does from a folder of drawn images; each of them alone, and rounded to 256 levels in the file."""
        drawn, seeds = generator.draw([3, 4]), (3, 4)
        height, width = generator.size
        target = np.zeros((height, width), np.uint8)
        images = [Example(str(s), image, target, s) for s, image in zip(seeds, pixels_of(drawn.images), strict=True)]
        dataset = OwnDrawings(images)
        dataset.origins = Origins(backbone.family, digests.network(backbone), plain(generator.settings()))
        pixels = Segmenter(backbone, small_region=0).pixel_set(dataset, None)
        found = pixels.features(torch.arange(len(pixels)))
        every = torch.arange(height * width)
        expected = torch.cat([drawn.maps[place].to(torch.float16).at(every) for place in range(2)])
        tolerance = 0.05 if next(backbone.parameters()).dtype == torch.bfloat16 else 0.002
        assert (found - expected).abs().mean() <= tolerance * expected.std()

    def test_a_family_that_reads_no_images_says_what_does(self, backbone):
        if not backbone.reads_images:
            height, width = backbone.native_size
            with pytest.raises(
                InputError, match=f"{backbone.family} .* reads no images.*frugalseg distill.*{backbone.reader}"
            ):
                backbone(torch.rand(1, 3, height, width))
