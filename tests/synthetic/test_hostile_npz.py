"""Broken and hostile ``.npz`` files: each is read, or refused in one short line, and nothing large is allocated."""

import io
import re
import struct
import zipfile

import numpy as np
import pytest

from frugalseg.support.files import FileError
from frugalseg.synthetic import SyntheticSet

IMAGES = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
LABELS = np.zeros((2, 4, 5), np.uint8)
DOUBTS = np.ones(2, np.float32)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def headed(header, content=b""):
    """An array file of version 1 with any header."""
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def archive(path, first, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in (("a.npy", first), ("b.npy", npy(LABELS)), ("c.npy", npy(DOUBTS))):
            file.writestr(name, content)
    return path


def refusal(path):
    with pytest.raises(FileError) as caught:
        SyntheticSet(path)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 900
    return line


def shaped(shape, dtype="'|u1'"):
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}\n"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (shaped("-" * 9000 + "1"), "not a plain array"),
        (shaped("[" * 4000), "not a plain array"),
        (shaped("(" * 90 + "1," + ")" * 90), "its header promises"),
        (shaped("(True, 4, 5, 3)"), r"shape \(True, 4, 5, 3\)"),
        (shaped("(2, -4, -5, 3)"), "shape"),
        (shaped("(2.0, 4, 5, 3)"), "not a plain array"),
        (shaped(f"({'9' * 4000},)"), "shape .*9 ... 9"),
        (shaped(f"({'9' * 5000},)"), "not a plain array"),
        (shaped(f"({'1,' * 3000})"), "shape"),
        (shaped(f"({2**40}, 4, 5, 3)"), "its header promises"),
        (shaped("(2, 4, 5, 3)", "'|O'"), "holds pickled objects"),
        (shaped("(2, 4, 5, 3)", "[('x', '|u1')]"), "the images are"),
        (shaped("(2, 4, 5, 3)", "[('" + "x" * 4000 + "', '|u1')]"), r"the images are .{,70}\("),
        (shaped("(2, 4, 5, 3)", "'|V0'"), "its header promises"),
        (shaped("(2, 4, 5, 3)", "7"), "not a plain array"),
        ("{}", "not a plain array"),
        ("\x00" * 300, "not a plain array"),
        ("__import__('os').getcwd()", "not a plain array"),
    ],
    ids=lambda value: str(value)[:60],
)
@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers(header, said, kind, tmp_path):
    line = refusal(archive(tmp_path / "set.npz", headed(header, IMAGES.tobytes()), kind))
    assert re.search(said, line), line


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused_unread(kind, tmp_path):
    assert "packed in a way that NumPy does not use" in refusal(archive(tmp_path / "set.npz", npy(IMAGES), kind))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    header = headed(shaped(f"({2**18}, 4, 256, 3)"))
    path = archive(tmp_path / "set.npz", header + bytes(10_000), zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, len(header) + 3 * 2**28)
    path.write_bytes(content)
    assert "claims 805306" in refusal(path)
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]


def test_an_archive_of_many_members(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as file:
        for number in range(2000):
            file.writestr(f"{number}.npy", b"")
    assert "holds 2000 arrays" in refusal(tmp_path / "set.npz")


def test_an_encrypted_member(tmp_path):
    path = archive(tmp_path / "set.npz", npy(IMAGES))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in refusal(path)


def test_a_long_member_name_is_shortened(tmp_path):
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x" * 60_000, b"no array")
    assert " ... " in refusal(path)


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_any_damage_is_read_or_refused_in_one_line(kind, tmp_path):
    sound = archive(tmp_path / "sound.npz", npy(IMAGES), kind).read_bytes()
    rng, path = np.random.default_rng(5), tmp_path / "set.npz"
    for number in range(250):
        broken = bytearray(sound)
        if number % 5 == 0:
            del broken[rng.integers(len(sound)) :]
        for place in rng.integers(0, max(1, len(broken)), 1 + number % 7):
            broken[place : place + 1] = rng.bytes(1)
        path.write_bytes(broken)
        try:
            for sample in SyntheticSet(path):
                assert sample.image.shape == (*sample.target.shape, 3)
        except FileError as error:
            assert "\n" not in str(error) and len(str(error)) < 900
