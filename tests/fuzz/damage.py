"""Damage to files, drawn by hypothesis: to the bytes of any file, and to the parts that formats are made of."""

import csv
import io
import json
import os
import pickle
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.mutations import WRONG_VALUES, get, places, put, removed, with_header

Draw = st.DrawFn
LENGTHS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
"""What fields of lengths, counts and sizes are set to."""
WORDS = (
    *("", " ", ".", "..", "../../x", "/etc/passwd", "C:\\x", "a" * 300, "a/" * 200, "\0", "a\0b", "\n\r\t", "\x1b[31m"),
    *("\ud800", "\ufeff", "\u202eabc", "é", "e\u0301", "💥", "[bold]x[/]", "%s{0}", "nan", "-0", "1e999", "²", "٣"),
)
"""Texts that trip readers: paths that lead out, zero bytes, half characters, markup, odd numbers."""


class Trap:
    """Unpickling one creates a folder: whatever runs code from a file is found out by it.

    Args:
        path: of that folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


def damaged(name: str, content: bytes, other: bytes, trap: Path) -> st.SearchStrategy[bytes]:
    """A file with something wrong with it, which may still be sound.

    Args:
        name: of the file; what is done beside changing bytes depends on its suffix.
        content: of the sound file.
        other: another file, of which parts come in.
        trap: a folder that code in the file creates, if it is ever run.
    """
    of_parts = PARTS.get(Path(name).suffix.lower())
    of_bytes = bytes_of(content, other)
    return of_bytes if of_parts is None else of_bytes | of_parts(content, trap) | of_parts(content, trap)


# The bytes of any file


@st.composite
def bytes_of(draw: Draw, content: bytes, other: bytes = b"") -> bytes:
    """One to four changes of bytes."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        draw(st.sampled_from(BYTE_CHANGES))(draw, changed, other)
    return bytes(changed)


def place_in(draw: Draw, content: bytes | bytearray) -> int:
    """A place in a file; its head, where the lengths stand, comes up as often as all the rest."""
    return draw(st.integers(0, min(64, len(content))) | st.integers(0, len(content)))


def range_in(draw: Draw, content: bytes | bytearray) -> slice:
    """A range of a file, mostly short."""
    start = place_in(draw, content)
    return slice(start, start + draw(st.integers(1, 16) | st.integers(1, max(1, len(content)))))


def cut(draw: Draw, content: bytearray, other: bytes) -> None:
    del content[place_in(draw, content) :]


def zero(draw: Draw, content: bytearray, other: bytes) -> None:
    part = range_in(draw, content)
    content[part] = bytes(len(content[part]))


def overwrite(draw: Draw, content: bytearray, other: bytes) -> None:
    start, new = place_in(draw, content), draw(st.binary(min_size=1, max_size=6))
    content[start : start + len(new)] = new


def flip(draw: Draw, content: bytearray, other: bytes) -> None:
    place = place_in(draw, content)
    if place < len(content):
        content[place] ^= 1 << draw(st.integers(0, 7))


def repeat(draw: Draw, content: bytearray, other: bytes) -> None:
    part = range_in(draw, content)
    content[part] = content[part] * draw(st.integers(2, 3))


def drop(draw: Draw, content: bytearray, other: bytes) -> None:
    del content[range_in(draw, content)]


def move(draw: Draw, content: bytearray, other: bytes) -> None:
    part = range_in(draw, content)
    moved = content[part]
    del content[part]
    place = place_in(draw, content)
    content[place:place] = moved


def splice(draw: Draw, content: bytearray, other: bytes) -> None:
    content[range_in(draw, content)] = other[range_in(draw, other)]


def relength(draw: Draw, content: bytearray, other: bytes) -> None:
    """A number of 2, 4 or 8 bytes becomes another one."""
    size, order = draw(st.sampled_from((2, 4, 8))), draw(st.sampled_from(("little", "big")))
    place, value = place_in(draw, content), draw(st.sampled_from(LENGTHS)) % 2 ** (8 * size)
    content[place : place + size] = value.to_bytes(size, order)


BYTE_CHANGES = (cut, zero, overwrite, overwrite, flip, flip, repeat, drop, move, splice, relength, relength)


# JSON and YAML


@st.composite
def value_of(draw: Draw, value: Any) -> Any:
    """One to three changes of a JSON value: parts of it replaced, exchanged, removed, repeated, or put in lists."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(value))))
        kind = draw(st.sampled_from(("wrong", "word", "another", "number", "removed", "listed", "repeated", "key")))
        value = changed_at(draw, value, path, kind)
    return value


def changed_at(draw: Draw, value: Any, path: tuple[Any, ...], kind: str) -> Any:
    """A JSON value with one change."""
    here = get(value, path)
    if kind == "removed" and path:
        return removed(value, path)
    if kind == "listed":
        return put(value, path, [here])
    if kind == "repeated" and isinstance(here, list):
        return put(value, path, here * draw(st.sampled_from((2, 100))))
    if kind == "key" and isinstance(here, dict):
        return put(value, path, {**here, draw(st.sampled_from(WORDS)): draw(st.sampled_from(WRONG_VALUES))})
    if kind == "word":
        return put(value, path, draw(st.sampled_from(WORDS)))
    if kind == "another":
        return put(value, path, get(value, draw(st.sampled_from(list(places(value))))))
    if kind == "number":
        return put(value, path, draw(st.integers(-3, 300) | st.floats() | st.integers()))
    return put(value, path, draw(st.sampled_from(WRONG_VALUES)))


@st.composite
def json_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A JSON file of a changed value, now and then in another encoding or nested without end."""
    text = json.dumps(draw(value_of(json.loads(content))))
    wrap = draw(st.sampled_from((*("{}",) * 9, "[{}", "\ufeff{}", "{}{}", "[" * 99_999 + "{}")))
    text = wrap.replace("{}", text)
    return text.encode(draw(st.sampled_from((*("utf-8",) * 9, "utf-16", "utf-32"))))


@st.composite
def yaml_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A YAML file of a changed value, and pieces of YAML's own grammar among its lines: tags, anchors, aliases."""
    value = yaml.safe_load(content)
    if draw(st.booleans()):
        value = draw(value_of(value))
    # PyYAML reads no more than JSON's own texts where it wrote lone half characters itself.
    lines = (yaml.safe_dump(value) if draw(st.booleans()) else json.dumps(value)).splitlines()
    pieces = (
        *(f"x: !!python/object/apply:os.mkdir [{trap}]", "? !!python/name:os.system", "- 1", "x: *x", "x: &x [*x]"),
        *("<<: {title: 3}", "\t", "---", "%YAML 9.9", "!<tag:x> y", "x: 0x" + "f" * 99, "x: 2001-99-99", "x: !!set 3"),
        *("]", "}", "'", '"', "&", "*", "|", ">", "@", "`", "\0", "\x85", "x: 1:59:59", "x: .inf", "x: !!binary a"),
    )
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(pieces)))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


# Lines: lists and tables


@st.composite
def lines_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A text file with lines and fields exchanged for odd ones."""
    rows = list(csv.reader(io.StringIO(content.decode())))
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from(rows))
        word = draw(st.sampled_from((*WORDS, '"', "'", ",", "0", "255", "256", "99999999999999999999")))
        place = draw(st.integers(0, len(row)))
        row[place : place + draw(st.integers(0, 1))] = [word] * draw(st.integers(0, 2))
        if draw(st.booleans()):
            rows.insert(draw(st.integers(0, len(rows))), list(draw(st.sampled_from(rows))))
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


# Chunks of pictures


@st.composite
def png_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A PNG with chunks changed, repeated, dropped, moved or strange; their checksums are right."""
    chunks = png_chunks(content)
    pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(chunks) - 1))
        kind, body = chunks[place]
        change = draw(st.sampled_from(("bytes", "bytes", "pixels", "drop", "repeat", "move", "strange")))
        if change == "bytes":
            chunks[place] = kind, draw(bytes_of(body, content))
        elif change == "pixels":
            chunks[place] = b"IDAT", zlib.compress(draw(bytes_of(pixels, content)))
        elif change == "drop" and len(chunks) > 1:
            del chunks[place]
        elif change == "repeat":
            chunks.insert(place, (kind, body))
        elif change == "move":
            chunks.insert(draw(st.integers(0, len(chunks))), (kind, body))
        else:
            chunks.insert(place, (draw(st.sampled_from(CHUNKS)), draw(st.sampled_from(BODIES))))
    return content[:8] + b"".join(png_chunk(kind, body) for kind, body in chunks)


CHUNKS = (*b"IHDR PLTE IDAT IEND tRNS iCCP iTXt zTXt tEXt eXIf acTL fcTL fdAT gAMA cHRM sRGB pHYs".split(), b"\xff\0a ")
BODIES = (
    *(b"", b"\0", b"\0" * 4, b"\xff" * 8, b"\0" * 26, b"k\0\0" + zlib.compress(bytes(2**21)), b"k" * 100),
    *(b"k\0\0\0\0\0" + zlib.compress(b"x"), b"II*\0\x08\0\0\0\xff\xff", struct.pack(">II", 2**31, 0), b"\0" * 769),
)


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each chunk."""
    found, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@st.composite
def tiff_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A little-endian TIFF in whose directory tags, types, counts and values are exchanged."""
    changed = bytearray(content)
    start = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[start : start + 2], "little")
    for _ in range(draw(st.integers(1, 3))):
        entry = start + 2 + 12 * draw(st.integers(0, entries - 1))
        place, size, values = draw(st.sampled_from(((0, 2, TAGS), (2, 2, range(20)), (4, 4, LENGTHS), (8, 4, LENGTHS))))
        value = draw(st.sampled_from(values)) % 2 ** (8 * size)
        changed[entry + place : entry + place + size] = value.to_bytes(size, "little")
    return bytes(changed)


TAGS = (*range(254, 285), 317, 320, 322, 323, 324, 325, 330, 338, 339, 347, 530, 532, 700, 33723, 34665, 34675, 34853)


# Archives, pickles and arrays


@st.composite
def zip_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A zip archive with members changed, dropped, repeated, renamed, moved or packed otherwise."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]
    touched: set[str] = set()
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(members) - 1))
        name, body, kind = members[place]
        change = draw(st.sampled_from(("content", "content", "content", "drop", "repeat", "rename", "move", "pack")))
        if change == "content":
            # What is damaged or renamed already need not be of its name's format: only its bytes can be changed.
            changed = bytes_of(body) if name in touched else member_of(name, body, trap)
            members[place] = name, draw(changed), kind
            touched.add(name)
        elif change == "drop" and len(members) > 1:
            del members[place]
        elif change == "repeat":
            members.append((name, body, kind))
        elif change == "rename":
            renamed = draw(st.sampled_from(ZIP_NAMES))
            members[place] = renamed, body, kind
            touched.add(renamed)
        elif change == "move":
            members.insert(draw(st.integers(0, len(members) - 1)), members.pop(place))
        else:
            members[place] = name, body, draw(st.sampled_from((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
    return zipped(members)


ZIP_NAMES = ("../../out", "/out", "data.pkl", "archive/data.pkl", "arr_0.npy", "", "x" * 9999, "\x1b[31m", "a\\b")


def member_of(name: str, body: bytes, trap: Path) -> st.SearchStrategy[bytes]:
    """A changed member, by what it is."""
    return bytes_of(body, body) | PARTS.get(Path(name).suffix, any_bytes)(body, trap)


def any_bytes(content: bytes, trap: Path) -> st.SearchStrategy[bytes]:
    return bytes_of(content)


def zipped(members: Sequence[tuple[str, bytes, int]]) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, body, kind in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = kind
            archive.writestr(info, body)
    return out.getvalue()


@st.composite
def pickle_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A pickle with code in it, whole or in the midst of its opcodes, or with opcodes exchanged."""
    hostile = pickle.dumps(Trap(trap), protocol=draw(st.integers(0, 4)))
    if draw(st.booleans()):
        return hostile
    cuts = [place for _, _, place in pickletools.genops(content) if place is not None]
    first, second = sorted((draw(st.sampled_from(cuts)), draw(st.sampled_from(cuts))))
    middle = draw(st.sampled_from((hostile[:-1], b"", content[first:second] * 2, b"cos\nmkdir\n(V" + b"x\ntR")))
    return content[:first] + middle + content[draw(st.sampled_from((first, second))) :]


@st.composite
def torch_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A file of torch: a zip, or in the old format one pickle after another."""
    return draw(zip_of(content, trap)) if content[:2] == b"PK" else draw(old_torch_of(content, trap))


@st.composite
def old_torch_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    first = content.index(b".") + 1  # a pickle ends with a dot
    place = draw(st.sampled_from((0, first)))
    return content[:place] + draw(pickle_of(content[place:], trap))


@st.composite
def npy_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """An array file with another header: type, order or shape."""
    length = int.from_bytes(content[8:10], "little")
    text, values = content[10 : 10 + length].decode(), content[10 + length :]
    old, news = draw(st.sampled_from(HEADERS))
    start = text.index(old) + len(old)
    stop = draw(st.sampled_from((text.index(", '", start) if ", '" in text[start:] else len(text) - 2, len(text))))
    head = (text[:start] + draw(st.sampled_from(news)) + text[stop:]).encode("utf-8")
    if "O" in head.decode() and draw(st.booleans()):
        values = pickle.dumps(Trap(trap))
    return content[:8] + struct.pack("<H", len(head) % 2**16) + head + values


HEADERS = (
    ("'descr': ", ("'|O'", "'<f8'", "'|b1'", "'<M8[s]'", "'|S3'", "'<U9'", "'|V0'", "[('a', '|O')]", "3", "'>c16'")),
    ("'fortran_order': ", ("True", "1", "None", "'x'")),
    ("'shape': ", ("()", "(0,)", "(-1,)", "(1,) * 3", "(True, 1)", f"({2**40}, 1)", "(" * 400, "(1.5,)", "-" * 999)),
)


@st.composite
def safetensors_of(draw: Draw, content: bytes, trap: Path) -> bytes:
    """A safetensors file with another header."""
    length = int.from_bytes(content[:8], "little")
    header = draw(value_of(json.loads(content[8 : 8 + length])))
    return with_header(header, content[8 + length :])


PARTS: dict[str, Callable[[bytes, Path], st.SearchStrategy[bytes]]] = {
    ".json": json_of,
    ".yaml": yaml_of,
    ".txt": lines_of,
    ".csv": lines_of,
    ".png": png_of,
    ".tif": tiff_of,
    ".npz": zip_of,
    ".pt": torch_of,
    ".npy": npy_of,
    ".pkl": pickle_of,
    ".safetensors": safetensors_of,
}
"""What is done to the parts of a file, by its suffix."""
