"""What a user sets: the options of all parts together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields, make_dataclass
from functools import cache
from typing import Any, ClassVar, get_type_hints

from frugalseg.backbones.registry import Family
from frugalseg.support.errors import InputError


@dataclass(frozen=True)
class CombinedOptions:
    """What `load_backbone` takes for a combination; `combined_options` derives a class for the parts at hand.

    Attributes:
        parts: names of the families.
        owners: by field, the family that it belongs to, and its name there.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    owners: ClassVar[dict[str, tuple[str, str]]] = {}
    classes: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        for part, options in self.classes.items():
            try:
                options(**self.of(part))
            except InputError as error:
                raise InputError(f"{part}: {error}") from None

    @property
    def passes(self) -> int:
        """How often an image goes through the networks of all parts."""
        return sum(getattr(options(**self.of(part)), "passes", 1) for part, options in self.classes.items())

    def of(self, part: str) -> dict[str, Any]:
        """The options of a part, by their names there."""
        return {name: getattr(self, own) for own, (owner, name) in self.owners.items() if owner == part}


@cache
def combined_options(parts: Sequence[Family]) -> type[CombinedOptions]:
    """The dataclass with the fields of the options of all parts.

    A name that two parts have is preceded by the family: ``ddpm_precision`` and ``timm_precision``.
    """
    classes = {part.name: part.options_class() for part in parts}
    given = Counter(each.name for options in classes.values() for each in fields(options))
    specs, owners = [], {}
    for part, options in classes.items():
        types = get_type_hints(options)
        for each in fields(options):
            prefix = f"{part}_" if given[each.name] > 1 else ""
            specs.append((prefix + each.name, types[each.name], as_field(each, part, prefix)))
            owners[prefix + each.name] = (part, each.name)
    return make_dataclass(
        "CombinedOptions",
        specs,
        bases=(CombinedOptions,),
        namespace={"parts": tuple(classes), "owners": owners, "classes": classes},
        frozen=True,
    )


def as_field(own: Field[Any], part: str, prefix: str) -> Any:
    """A part's field as one of the combination; a spelling of its own on the command line is preceded likewise."""
    what = dict(own.metadata)
    if what.get("flag") and prefix:
        what["flag"] = what["flag"].replace("--", f"--{prefix.replace('_', '-')}")
    if "help" in what:
        what["of"] = part
    return field(default=own.default, default_factory=own.default_factory, metadata=what)
