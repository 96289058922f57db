"""What datasets that are made of another dataset have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

from frugalseg.data.example import Example


class View(Sequence[Example]):
    """Examples that are made from those of another dataset when they are asked for."""

    @abstractmethod
    def example(self, index: int) -> Example:
        """The example at an index from 0 to below the length."""

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        places = range(len(self))[index]
        return [self.example(place) for place in places] if isinstance(places, range) else self.example(places)
