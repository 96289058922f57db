"""The pickles of stylegan2-ada-pytorch: read as data, whatever they say."""

import collections
import io
import os
import pickle
import pickletools
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch

from frugalseg.backbones import load_backbone
from frugalseg.backbones.stylegan2.checkpoints.official import (
    ALLOWED,
    OfficialFile,
    official_discriminator,
    official_generator,
)
from frugalseg.backbones.stylegan2.checkpoints.pickled import Call, ForbiddenName, Global, read_pickle
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from tests.backbones.stylegan2 import published
from tests.backbones.stylegan2.layouts import small_discriminator, small_generator
from tests.backbones.stylegan2.writing import SOURCE, Persistent, write_official
from tests.golden import golden


@pytest.fixture(scope="module")
def generator():
    return small_generator()


def globals_in(path):
    operations = list(pickletools.genops(path.read_bytes()))
    return {argument.replace(" ", ".") for operation, argument, _ in operations if operation.name == "GLOBAL"}


@pytest.mark.parametrize("protocol", [3, 4])
def test_networks_come_back_bit_by_bit(protocol, generator, tmp_path):
    discriminator = small_discriminator()
    path = write_official(tmp_path / "n.pkl", generator, discriminator, protocol=protocol)
    assert SOURCE.encode() in path.read_bytes()
    if protocol == 3:  # later ones name their globals in two strings
        assert globals_in(path) <= set(ALLOWED) and len(globals_in(path)) >= 8
    for read, network in ((official_generator, generator), (official_discriminator, discriminator)):
        found = read(path)
        assert found.shape == network.shape
        assert all(torch.equal(v, found.state_dict()[k]) for k, v in network.state_dict().items())


@torch.inference_mode()
def test_a_published_layout_has_its_golden_answers(tmp_path):
    expected = golden.load("stylegan2_ada_64")
    parts = published.generator(expected), published.discriminator(expected)
    path = write_official(tmp_path / "n.pkl", *parts)
    generator, discriminator = official_generator(path).eval(), official_discriminator(path).eval()
    image = generator(published.inputs(expected)["z"], generator.synthesis.constant_noise)
    for values, name in ((image, "image"), (discriminator(image), "D.logits.image")):
        assert golden.difference(values, expected["expected"][name]) < 2e-5


def test_settings_that_the_tensors_do_not_tell_are_read(generator, tmp_path):
    def without_clamp(content):
        for module in content["G_ema"].state["_modules"]["synthesis"].state["_modules"].values():
            for layer in module.state["_modules"].values():
                layer.state["conv_clamp"] = None

    assert official_generator(write_official(tmp_path / "n.pkl", generator, change=without_clamp)).shape.clamp is None

    def whole_batch(content):
        content["D"].state["_modules"]["b4"].state["_modules"]["mbstd"].state["group_size"] = None

    path = write_official(tmp_path / "n.pkl", generator, small_discriminator(), change=whole_batch)
    assert official_discriminator(path).shape.group >= 2**16


def attribute(value, *names, **values):
    """A change of the attributes of a module in ``G_ema`` or ``D``."""

    def change(content):
        module = content[value]
        for name in names:
            module = module.state["_modules"][name]
        module.state.update(values)

    return change


def endless_tuple():
    value = 1
    for _ in range(100):
        value = (value, value)
    return value


def without(name):
    return lambda content: content.pop(name)


def style_gan_3(content):
    layers = content["G_ema"].state["_modules"]["synthesis"].state["_modules"]
    layers["input"] = layers.pop("b4")


def endless(content):
    module = content["G_ema"]
    module.state["_modules"]["synthesis"].state["_modules"]["again"] = module


def shared(content):
    """A few modules of which each holds the next one ten times: ten to the power of seven, without a single tensor."""
    outermost = content["G_ema"]
    inner = None
    for _ in range(8):
        held = OrderedDict((str(number), inner) for number in range(10) if inner is not None)
        inner = Persistent(outermost.rebuilt, "Layer", {"_parameters": {}, "_buffers": {}, "_modules": held})
    outermost.state["_modules"]["extra"] = inner


def long_name(content):
    """A name that would stand before those of many tensors."""
    module = content["G_ema"]
    module.state["_modules"]["a" * 300] = module.state["_modules"]["mapping"]


def giant_key(content):
    """A number for a name, which Python refuses to write down."""
    content["G_ema"].state["_buffers"][10**5000] = torch.ones(1)


def of_classes(content):
    inner = content["G_ema"].state["_modules"]["mapping"].state["_modules"]
    inner["embed"] = inner["fc0"]


def giant(content):
    """A weight of one number that poses as a billion."""
    layer = content["G_ema"].state["_modules"]["mapping"].state["_modules"]["fc0"]
    layer.state["_parameters"]["weight"] = torch.ones(1).as_strided((2**15, 2**15), (0, 0))


def integers(content):
    layer = content["G_ema"].state["_modules"]["mapping"].state["_modules"]["fc1"]
    layer.state["_parameters"]["bias"] = torch.ones(10, dtype=torch.int64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("G_ema"), "no G_ema in it, but training_set_kwargs, G, D, augment_pipe"),
        (style_gan_3, "looks like a StyleGAN3"),
        (endless, "without end"),
        (shared, "more than 20000 modules and tensors"),
        (long_name, "a tensor or a module with an odd name"),
        (lambda content: content["G_ema"].state["_buffers"].update({3: torch.ones(1)}), "with an odd name"),
        (giant_key, "a dictionary with odd keys"),
        (lambda content: content.update({10**5000: content.pop("G_ema")}), "a dictionary with odd keys"),
        (of_classes, "a network for several classes"),
        (giant, "claim more values than the file has"),
        (integers, r"has torch\.int64 numbers in mapping\.fc1\.bias"),
        (attribute("G_ema", "synthesis", "b4", architecture="orig"), "architecture of b4 is 'orig', not 'skip'"),
        (attribute("G_ema", "synthesis", "b4", "conv1", use_noise=False), "use_noise of b4.conv1 is False"),
        (attribute("G_ema", "synthesis", "b4", "conv1", activation="relu"), "activation of b4.conv1 is 'relu'"),
        (attribute("G_ema", "synthesis", "b4", "conv1", conv_clamp="x"), "conv_clamp is 'x'"),
        (attribute("G_ema", "synthesis", "b4", "conv1", conv_clamp=endless_tuple()), "conv_clamp is a tuple"),
        (attribute("G_ema", "mapping", "fc0", bias_gain=1), "bias_gain of mapping.fc0 is 1, not 0.01"),
        (attribute("G_ema", "synthesis", "b8", "conv1", _parameters=OrderedDict()), "a weight of 4 axes is missing"),
        (attribute("G_ema", "synthesis", "b16", "conv1", _buffers=3), "_buffers is no dictionary"),
        (attribute("G_ema", _modules=OrderedDict()), "mapping is no module|synthesis is no module"),
        (lambda content: content.update(G_ema=3), "G_ema is no module"),
    ],
)
def test_networks_that_cannot_be_read(change, message, generator, tmp_path):
    path = write_official(tmp_path / "n.pkl", generator, small_discriminator(), change=change)
    with pytest.raises(FileError, match=message) as error:
        official_generator(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("D"), "no D in it"),
        (attribute("D", "b16", architecture="skip"), "architecture of b16 is 'skip', not 'resnet'"),
        (attribute("D", "b4", "mbstd", group_size="4"), "group_size is '4'"),
    ],
)
def test_discriminators_that_cannot_be_read(change, message, generator, tmp_path):
    with pytest.raises(FileError, match=message):
        official_discriminator(write_official(tmp_path / "n.pkl", generator, small_discriminator(), change=change))


class Evil:
    """Runs a command when Python's own reader reads it."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("protocol", [3, 4])
def test_other_names_are_refused_and_nothing_runs(protocol, generator, tmp_path):
    place = tmp_path / "executed"
    for change in (
        lambda content: content.update(augment_pipe=Evil(place)),
        lambda content: content["G_ema"].state["_modules"].update(evil=Evil(place)),
    ):
        path = write_official(tmp_path / "n.pkl", generator, protocol=protocol, change=change)
        with pytest.raises(InputError, match=r"names (posix|nt)\.mkdir.*nothing in it was executed"):
            load_backbone("stylegan2", path)
    path.write_bytes(pickle.dumps(Evil(place), protocol=protocol))
    with pytest.raises(InputError, match="mkdir"):
        load_backbone("stylegan2", path)
    assert not place.exists()


def test_the_inner_pickle_of_a_storage_does_not_run_either(generator, tmp_path):
    place = tmp_path / "executed"

    class Bytes:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (pickle.dumps(Evil(place)),)

    class Lying:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Bytes(), 0, (10,), (1,), False, OrderedDict())

    def change(content):
        content["G_ema"].state["_modules"]["mapping"].state["_buffers"]["w_avg"] = Lying()

    path = write_official(tmp_path / "n.pkl", generator, change=change)
    with pytest.raises(FileError, match="no network of stylegan2-ada-pytorch"):
        official_generator(path)
    assert not place.exists()


def test_a_network_of_tensorflow_says_what_it_is(tmp_path):
    path = tmp_path / "n.pkl"
    path.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00.")
    with pytest.raises(InputError, match=r"a network of TensorFlow.*convert it with legacy\.py"):
        load_backbone("stylegan2", path)


ENDLESS = b"K\x01\x94" + b"".join(b"h%c\x86\x94" % place for place in range(100))
"""A tuple that holds the one before it twice, and so on: a few bytes, and endless to hash, to compare or to show."""
BOMBS = {
    "deep": b"\x80\x04" + b"]" * 20_000 + b"a" * 19_999 + b".",
    "key": b"\x80\x04}" + ENDLESS + b"K\x01s.",
    "set": b"\x80\x04\x8f(" + ENDLESS + b"\x90.",
    "root": b"\x80\x04" + ENDLESS + b".",
    "claim": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "memo": b"\x80\x04h\x05.",
    "mark": b"\x80\x04(((.",
    "empty stack": b"\x80\x04R.",
    "call of text": b"\x80\x04\x8c\x01a)R.",
    "state of a list": b"\x80\x04]}b.",
    "persistent": b"\x80\x04Px\n.",
    "instance": b"\x80\x02(ios\nsystem\n.",
    "extension": b"\x80\x02\x82\x01.",
    "buffer": b"\x80\x05\x97.",
    "nothing": b"\x80",
    "two values": b"\x80\x04K\x01K\x02.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_in_one_line(name, tmp_path):
    path = tmp_path / "n.pkl"
    path.write_bytes(BOMBS[name])
    with pytest.raises(InputError) as error:
        load_backbone("stylegan2", path)
    assert len(str(error.value)) < 400 and "\n" not in str(error.value)


def test_a_file_cut_anywhere_is_refused(generator, tmp_path):
    whole = write_official(tmp_path / "n.pkl", generator).read_bytes()
    path = tmp_path / "cut.pkl"
    for size in range(1, len(whole), len(whole) // 40):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError):
            load_backbone("stylegan2", path)


def test_plain_data_is_read_as_python_reads_it(tmp_path):
    value = {
        "none": None,
        "numbers": [1, -7, 2**40, -(2**70), 1.5, True, False],
        "texts": ("a", "ä" * 300, b"bytes", b"x" * 300, ""),
        3: [[], {}, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"a": {"b": [None]}}],
    }
    value["again"] = value["numbers"]
    for protocol in range(5):
        if protocol < 3:
            value["texts"] = value["texts"][:2]  # older protocols make bytes by a call
        (tmp_path / "v.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
        found = read_pickle(tmp_path / "v.pkl", ())
        assert found == value and found["again"] is found["numbers"]


def test_calls_are_records(tmp_path):
    (tmp_path / "v.pkl").write_bytes(pickle.dumps([OrderedDict(a=1), np.float32(2), {1, 2}, collections.Counter]))
    with pytest.raises(ForbiddenName, match=r"^collections\.Counter$"):
        read_pickle(tmp_path / "v.pkl", ALLOWED)
    ordered, number, values, name = read_pickle(tmp_path / "v.pkl", (*ALLOWED, "collections.Counter"))
    assert isinstance(ordered, Call) and (ordered.name, ordered.items) == ("collections.OrderedDict", {"a": 1})
    assert number.name.endswith("multiarray.scalar") and values == [] and isinstance(name, Global)


def test_a_storage_that_is_larger_than_its_bytes(generator, tmp_path):
    """Torch reserves what a storage's header asks for."""
    stored = io.BytesIO()
    torch.save(torch.ones(10).untyped_storage(), stored, _use_new_zipfile_serialization=False)
    assert stored.getvalue().count(b"K(") == 1
    lying = stored.getvalue().replace(b"K(", b"M\x10\x27")

    class Bytes:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (lying,)

    class Lying:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Bytes(), 0, (10,), (1,), False, OrderedDict())

    def change(content):
        content["G_ema"].state["_modules"]["mapping"].state["_buffers"]["w_avg"] = Lying()

    with pytest.raises(FileError):
        official_generator(write_official(tmp_path / "n.pkl", generator, change=change))


def test_many_storages_of_the_same_bytes_are_read_once(generator, tmp_path):
    """They would take up memory, although tensors without values claim none of theirs."""
    stored, values = io.BytesIO(), torch.ones(10).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=values, dtype=torch.float32, _internal=True)
    torch.save(typed, stored, _use_new_zipfile_serialization=False)
    content = stored.getvalue()

    class Bytes:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (content,)

    class Empty:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Bytes(), 0, (0,), (1,), False, OrderedDict())

    path = write_official(tmp_path / "n.pkl", generator, more=[Empty() for _ in range(5)])
    file = OfficialFile(path)
    assert [tuple(file.tensor(each).shape) for each in file.content["more"]] == [(0,)] * 5
    assert len(file.storages) == 1
