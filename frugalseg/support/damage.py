"""What was saved and no longer fits together: whatever is wrong with it becomes one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.text import brief, kind_and_reason


class DamagedError(FileError):
    """Something of ours was changed, cut off or mixed up since it was written."""


@contextmanager
def refused_where_damaged(place: Path, what: str = "model", remedy: str = "fit it again") -> Iterator[None]:
    """Within the block, where a saved thing is read, every failure is a `DamagedError`.

    Args:
        place: the saved thing, named in the error unless a file in it is known to be the wrong one.
        what: it is.
        remedy: how its user gets a whole one.
    """
    try:
        yield
    except DamagedError:
        raise
    except FileError as error:
        raise DamagedError(error.where, f"a damaged {what} ({brief(error.message)})", remedy) from None
    except InputError as error:
        raise DamagedError(place, f"a damaged {what} ({brief(error)})", remedy) from None
    except Exception as error:  # libraries raise a dozen kinds over parts that do not fit together
        raise DamagedError(place, f"a damaged {what} ({kind_and_reason(error)})", remedy) from error
