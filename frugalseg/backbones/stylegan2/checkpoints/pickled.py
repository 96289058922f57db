"""Reads a pickle as a description of data: nothing that it names is imported, made or called.

Python's own reader calls whatever a pickle tells it to. Here the calls become records (`Call`), and names outside an
allow-list are refused. So no file can do anything but be read, and memory grows with the size of the file alone.
"""

import mmap
import pickletools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from frugalseg.support.files import FileError
from frugalseg.support.text import reason

MOST_OPERATIONS = 2_000_000
"""Of a file; those of the largest published networks have some 20 thousand."""

LONGEST_KEY = 64
"""Bits of a whole number that is a key."""


class Global(str):
    """The name of a function or class, such as ``collections.OrderedDict``."""


@dataclass(eq=False)
class Call:
    """A call that the pickle asks for, and that was not made.

    Attributes:
        name: of the function or class.
        args: what it would be given.
        state: what the result would be given as its state.
        items: what would be put into the result, as into a dictionary.
    """

    name: str
    args: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


class NotReadable(Exception):
    """The pickle does something that those of the kind that is read never do."""


class ForbiddenName(Exception):
    """A name that is not in the allow-list."""


def read_pickle(path: Path, allowed: Collection[str]) -> Any:
    """The value that a pickle describes: plain data, `Global` names and `Call` records.

    Sets are not kept; they become empty lists.

    Args:
        path: of the file.
        allowed: names of functions and classes that may occur.

    Raises:
        ForbiddenName: another name occurs.
        FileError: a damaged file.
    """
    machine = Machine(allowed)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for number, (operation, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], content))):
                if number > MOST_OPERATIONS:
                    raise NotReadable(f"more than {MOST_OPERATIONS} operations")
                machine.run(operation.name, argument)
        return machine.result()
    except ForbiddenName:
        raise
    except Exception as error:  # broken bytes raise nearly anything
        raise FileError(path, f"a damaged or truncated pickle ({reason(error)})", "download it again") from None


MARK: Any = object()
"""What stands on the stack before the items of a list, a tuple or a dictionary."""
PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
"""Operations whose argument is a value."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": MARK}
NOTHING = ("PROTO", "FRAME", "STOP")


class Machine:
    """The stack and the memory of a pickle that is read.

    Args:
        allowed: see `read_pickle`.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = allowed
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        """Carry out an operation of `pickletools`."""
        if name in PUSHED:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in MEMORY:
            MEMORY[name](self, argument)
        elif name in OPERATIONS:
            OPERATIONS[name](self)
        elif name == "GLOBAL":
            self.push_global(*argument.split(" ", 1))
        elif name not in NOTHING:
            raise NotReadable(f"the operation {name}")

    def result(self) -> Any:
        """What is left in the end."""
        (value,) = self.stack
        return value

    def pop(self, kind: type[Any] | tuple[type[Any], ...] = object) -> Any:
        """Take the topmost value, of a type that must be `kind`."""
        value = self.stack.pop()
        if value is MARK or not isinstance(value, kind):
            raise NotReadable(f"a {type(value).__name__} in an odd place")
        return value

    def to_mark(self) -> list[Any]:
        """Take all values down to the last mark."""
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise NotReadable("no mark")
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    def remember(self, place: int | None) -> None:
        """Keep the topmost value; without a place, in the next free one."""
        if self.stack[-1] is MARK:
            raise NotReadable("a mark is remembered")
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def recall(self, place: int) -> None:
        """Put a value on the stack that was kept."""
        self.stack.append(self.memo[place])

    def push_global(self, module: str, name: str) -> None:
        """Put a name on the stack, where it is allowed."""
        whole = f"{module}.{name}"
        if whole not in self.allowed:
            raise ForbiddenName(whole)
        self.stack.append(Global(whole))

    def stack_global(self) -> None:
        """The same for a name whose parts are on the stack."""
        name, module = self.pop(str), self.pop(str)
        self.push_global(module, name)

    def call(self) -> None:
        """A call with a tuple of arguments."""
        args, name = self.pop(tuple), self.pop(Global)
        self.stack.append(Call(str(name), args))

    def build(self) -> None:
        """The state of what was called."""
        state = self.pop()
        self.top(Call).state = state

    def top(self, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        """The topmost value, which stays; its type must be `kind`."""
        value = self.pop(kind)
        self.stack.append(value)
        return value

    def put(self, pairs: list[Any]) -> None:
        """Put keys and values that follow each other into the dictionary below them."""
        target = self.top((dict, Call))
        into = target.items if isinstance(target, Call) else target
        keys, values = pairs[::2], pairs[1::2]
        if len(keys) != len(values) or not all(map(is_plain_key, keys)):
            raise NotReadable("a dictionary with odd keys")
        into.update(zip(keys, values, strict=True))

    def put_one(self) -> None:
        """The same for one key and its value."""
        value, key = self.pop(), self.pop()
        self.put([key, value])

    def new_dictionary(self) -> None:
        """A dictionary of what follows the mark."""
        pairs = self.to_mark()
        self.stack.append({})
        self.put(pairs)

    def extend(self, values: list[Any]) -> None:
        """Append values to the list below them."""
        self.top(list).extend(values)

    def append(self) -> None:
        """The same for one value."""
        value = self.pop()
        self.extend([value])

    def tuple_of(self, count: int) -> None:
        """A tuple of the topmost values."""
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(values[::-1]))


def is_plain_key(key: Any) -> bool:
    """Whether a key is one of plain data; others could take for ever to be hashed or shown, giant numbers too."""
    return key.bit_length() <= LONGEST_KEY if isinstance(key, int) else isinstance(key, str | float | bytes | None)


OPERATIONS: dict[str, Callable[[Machine], Any]] = {
    "EMPTY_DICT": lambda m: m.stack.append({}),
    "EMPTY_LIST": lambda m: m.stack.append([]),
    "EMPTY_SET": lambda m: m.stack.append([]),
    "DICT": Machine.new_dictionary,
    "LIST": lambda m: m.stack.append(m.to_mark()),
    "TUPLE": lambda m: m.stack.append(tuple(m.to_mark())),
    "TUPLE1": lambda m: m.tuple_of(1),
    "TUPLE2": lambda m: m.tuple_of(2),
    "TUPLE3": lambda m: m.tuple_of(3),
    "SETITEM": Machine.put_one,
    "SETITEMS": lambda m: m.put(m.to_mark()),
    "APPEND": Machine.append,
    "APPENDS": lambda m: m.extend(m.to_mark()),
    "ADDITEMS": lambda m: m.to_mark(),
    "STACK_GLOBAL": Machine.stack_global,
    "REDUCE": Machine.call,
    "NEWOBJ": Machine.call,
    "BUILD": Machine.build,
    "POP": lambda m: m.stack.pop(),
    "POP_MARK": lambda m: m.to_mark(),
    "MEMOIZE": lambda m: m.remember(None),
}
"""What each operation without an argument does."""
MEMORY: dict[str, Callable[[Machine, int], None]] = {
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.recall),
}
"""What the operations do whose argument is a place in the memory."""
