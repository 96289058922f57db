"""Ways in which a saved thing can be wrong, each by its name: of each only "works" or one line may come."""

import copy
import io
import json
import random
import shutil
from functools import partial
from itertools import groupby

import torch

from frugalseg import InputError

WRONG_VALUES = (
    *(None, True, -1, 0, 1.5, float("nan"), 10**12, 10**400, -(10**30)),
    *("", "x", "\n\x1b[31m" * 50, "y" * 5000),
    *([], [1], [10**9] * 4, [[]], {}, {"a": {"b": []}}),
)
"""Of other types, out of range, huge, empty and nested."""


def places(value, path=()):
    """The path of each value in a JSON value, the whole first: keys and positions."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:2]):  # those that follow are like these
            yield from places(inner, (*path, number))


def put(value, path, new):
    """A copy of a JSON value with something else at a path."""
    if not path:
        return new
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return changed


def removed(value, path):
    """A copy of a JSON value without what is at a path."""
    *outer, last = path
    changed = copy.deepcopy(value)
    inner = changed
    for key in outer:
        inner = inner[key]
    del inner[last]
    return changed


def json_mutations(value):
    """(name, text) of all single changes of a JSON value: each value replaced, doubled or removed, keys added."""
    for path in places(value):
        name = ".".join(map(str, path)) or "all"
        for new in WRONG_VALUES:
            yield f"{name} = {type(new).__name__!s} {json.dumps(new)[:20]}", json.dumps(put(value, path, new))
        if path:
            yield f"{name} removed", json.dumps(removed(value, path))
            yield f"{name} in a list", json.dumps(put(value, path, [get(value, path)]))
    if isinstance(value, dict):
        yield "a key too many", json.dumps({**value, "surplus": 1})
    yield "nested deeply", "[" * 100_000


def get(value, path):
    """What is at a path."""
    for key in path:
        value = value[key]
    return value


def bytes_mutations(content, rng):
    """(name, bytes) of changes of any file: cut, emptied, zeroed, and some with single bytes changed."""
    for kept in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1):
        yield f"cut to {kept}", content[:kept]
    yield "zeroed", bytes(len(content))
    yield "longer", content + b"\0" * 9
    for number in range(8):
        place = rng.randrange(min(len(content), 400))
        yield f"byte {place} changed ({number})", content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]


def safetensors_mutations(content):
    """(name, bytes) of changes of the header of a ``.safetensors`` file: lengths, shapes, kinds and places that lie."""
    length = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    for size in (2**63, 10**11, 99_000_000, 0):
        yield f"header of {size} bytes", size.to_bytes(8, "little") + content[8:]
    name = sorted(key for key in header if key != "__metadata__")[0]
    for field, values in (
        ("shape", ([-1], [2**62, 4], [10**12], [0], "x", [1.5])),
        ("dtype", ("F9", "I64", "BOOL", "F8_E4M3", "C64", 3)),
        ("data_offsets", ([0, 10**15], [10, 0], [-4, 0], [0, 0], [])),
    ):
        for value in values:
            yield f"{name} {field} {value}", with_header(put(header, (name, field), value), rest)
    yield f"{name} removed", with_header(removed(header, (name,)), rest)
    yield "a tensor twice", with_header({**header, "surplus": header[name]}, rest)
    yield "another name", with_header({f"z{key}" if key == name else key: v for key, v in header.items()}, rest)


def with_header(header, rest):
    """The bytes of a ``.safetensors`` file."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


WRONG_TENSORS = {
    "longer": lambda value: torch.cat([value.reshape(-1)] * 2),
    "expanded": lambda value: torch.zeros(1).expand(10**9),
    "complex": lambda value: value.to(torch.complex64),
    "sparse": lambda value: value.float().to_sparse(),
    "not finite": lambda value: torch.full_like(value, float("nan") if value.is_floating_point() else -1),
}
"""What a tensor may become."""


def tensors_of(state, path=()):
    """The path of each tensor in what `torch.save` wrote."""
    if isinstance(state, torch.Tensor):
        yield path
    elif isinstance(state, dict | list | tuple):
        for key, inner in state.items() if isinstance(state, dict) else enumerate(state):
            yield from tensors_of(inner, (*path, key))


def state_mutations(state):
    """(name, make) of single changes of the saved state of a training: of its values, of its tensors, of its parts.

    The changed state is made as it is asked for: all of them together would take gigabytes.
    """
    for path in places(state):
        name = ".".join(map(str, path)) or "all"
        for new in (*WRONG_VALUES, torch.ones(3), torch.tensor(2**62)):
            yield f"{name} = {type(new).__name__} {str(new)[:20]}", partial(put, state, path, new)
        if path:
            yield f"{name} removed", partial(removed, state, path)
    for path in tensors_of(state):
        name = ".".join(map(str, path))
        for kind, change in WRONG_TENSORS.items():
            yield f"{name} {kind}", lambda path=path, change=change: put(state, path, change(get(state, path)))


def saved(state):
    """The bytes that `torch.save` writes."""
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()


class Opens:
    """Opens a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def folder_mutations(folder, seed=0):
    """(name, path, bytes) of single changes of each file of a saved folder; None for a file that is gone."""
    rng = random.Random(seed)
    for path in sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()):
        content = (folder / path).read_bytes()
        yield f"{path} gone", path, None
        for name, changed in bytes_mutations(content, rng):
            yield f"{path} {name}", path, changed
        if path.suffix == ".json":
            for name, text in json_mutations(json.loads(content)):
                yield f"{path} {name}", path, text.encode()
        if path.suffix == ".safetensors":
            for name, changed in safetensors_mutations(content):
                yield f"{path} {name}", path, changed


class Changed:
    """A copy of a saved folder in which one file at a time is changed.

    Args:
        folder: the sound one.
        work: where the copy is made.
    """

    def __init__(self, folder, work):
        self.sound, self.folder = folder, work / folder.name
        shutil.copytree(folder, self.folder)

    def change(self, path, content):
        """Change one file, whole or gone."""
        (self.folder / path).unlink()
        if content is not None:
            (self.folder / path).write_bytes(content)

    def mend(self, path):
        """Make it sound again."""
        shutil.copyfile(self.sound / path, self.folder / path)


def chosen(mutations, count, rng):
    """`count` changes, one of each of as many fields of files; or all changes."""
    if count is None:
        return list(mutations)
    groups = [list(group) for _, group in groupby(mutations, key=lambda mutation: mutation[0].split(" ")[:2])]
    return [rng.choice(group) for group in rng.sample(groups, min(count, len(groups)))]


def answer(load):
    """The line with which something is refused, or None."""
    try:
        load()
    except InputError as error:
        return str(error)
    return None
