"""What a call of ``explore`` asks for; light, for the command line reads it."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalseg.data.corruptions.names import CORRUPTIONS, SEVERITIES, SEVERITY, require_corruptions
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option, ranged
from frugalseg.support.ranges import COUNT, MEMBERS, RUNS, SEED, Range
from frugalseg.support.text import assigned

if TYPE_CHECKING:
    from frugalseg.jobs.request import FitRequest

SUBJECTS = {
    "taps": "mIoU of every tap alone",
    "clusters": "pictures of k-means clusters and principal components",
    "images": "mIoU with fewer annotated images",
    "members": "mIoU with fewer members in the ensemble",
    "uncertainty": "whether the uncertainty finds the mistakes",
    "corruptions": "mIoU on corrupted test images",
    "source": "mIoU by the source of the annotated images",
}
"""What can be explored."""

EXTRA = ("corruptions", "source")
"""Those that `all` leaves out: one takes a hundred predictions for each image, the other one more folders."""

ONLY_FOR = {"sizes": "images", "taps": "clusters", "corruptions": "corruptions"}
"""Options that belong to one of these."""

TRAINED = tuple(name for name in SUBJECTS if name != "clusters")
"""Those for which classifiers are trained and tested."""

SERVES = {
    "test": TRAINED,
    "folds": TRAINED,
    "members": TRAINED,
    "runs": ("images", "members", "source"),
    "clusters": ("clusters",),
    "pictures": ("clusters",),
    "severities": ("corruptions",),
}
"""What options serve that are given beside other subjects, too, and are not used then."""

FEW, USUAL = 3, 10
"""Members of the classifier of a single tap, of which there are many, and of the others, as `fit` has them."""


@dataclass(frozen=True)
class ExploreSettings:
    """What is looked at, and how closely.

    Attributes:
        what: keys of `SUBJECTS`.
        folds: parts of the images, each predicted by a classifier of the others; not used with test images.
        members: of each classifier; of `members`, the largest number. None: 3 for single taps, 10 for the others.
        runs: of `images`, `members` and `source`, with different seeds.
        sizes: the numbers of images of `images`; None: 1, 2, 4 and so on.
        taps: that `clusters` shows; None: some that are spread over all.
        clusters: numbers of clusters, k.
        pictures: images that `clusters` shows.
        corruptions: of the test images; None: all.
        severities: of these.
        seed: of everything random.
    """

    what: tuple[str, ...] = option(
        ("taps", "clusters"),
        f"What to find out: any of {', '.join(SUBJECTS)}, separated by commas; or all, "
        f"which leaves {' and '.join(EXTRA)} out.",
    )
    folds: int = option(
        3,
        "Without --test: the number of parts of the images, each of which is predicted by a classifier of the others.",
        within=Range(2, 1000),
    )
    members: int | None = option(
        None,
        "The number of members of each classifier; with --what members, the largest number. By default 3 for taps and "
        "10 for the others.",
        within=MEMBERS,
    )
    runs: int = option(3, "For images, members and source: the number of runs with different seeds.", within=RUNS)
    sizes: tuple[int, ...] | None = option(
        None, "For images: the numbers of images to learn from. By default 1, 2, 4 and so on.", within=COUNT
    )
    taps: tuple[str, ...] | None = option(
        None, "For clusters: the taps to show, such as t50.block6. By default some that are spread over all."
    )
    clusters: tuple[int, ...] = option(
        (5,), "For clusters: the number of clusters, or several of them.", within=Range(2, 254)
    )
    pictures: int = option(4, "For clusters: the number of images to show.", within=Range(1, 100))
    corruptions: tuple[str, ...] | None = option(
        None, f"For corruptions: which of them. By default all: {', '.join(CORRUPTIONS)}."
    )
    severities: tuple[int, ...] = option(SEVERITIES, "For corruptions: the severities, from 1 to 5.", within=SEVERITY)
    seed: int = ranged(0, SEED)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.what == ("all",):
            object.__setattr__(self, "what", tuple(name for name in SUBJECTS if name not in EXTRA))
        wrong = [name for name in self.what if name not in SUBJECTS]
        if wrong or not self.what:
            named = ", ".join(wrong) or "empty"
            raise InputError(f"--what {named}: give any of {', '.join(SUBJECTS)}, separated by commas; or all")
        for name, subject in ONLY_FOR.items():
            if getattr(self, name) is not None and subject not in self.what:
                raise InputError(f"--{name}: is for --what {subject}; add that, or leave it out")
        if not self.clusters:
            raise InputError("--clusters empty: give a number, or several, such as 5,10")
        if self.corruptions is not None:
            require_corruptions(self.corruptions, "--corruptions")
        if not self.severities:
            raise InputError("--severities empty: give a number, or several, such as 1,3,5")

    @property
    def trains(self) -> bool:
        """Whether any classifier is trained."""
        return not {*TRAINED}.isdisjoint(self.what)

    def members_for(self, subject: str) -> int:
        """Of the classifiers of a subject."""
        return self.members or (FEW if subject == "taps" else USUAL)

    def recorded(self) -> dict[str, Any]:
        """What a record says of them; what only corruptions need is left out without them, as by earlier versions."""
        later = () if "corruptions" in self.what else ("corruptions", "severities")
        return {name: value for name, value in asdict(self).items() if name not in later}


@dataclass(frozen=True)
class ExploreRequest:
    """A call of `explore`.

    Attributes:
        fit: the annotated images, the backbone and the settings of a model, as `fit` takes them.
        explore: what is looked at.
        test: a folder of other annotated images to test on; None: cross-validation.
        sources: further folders of annotated images to learn from, by their names; only for `source`, with `test`.
    """

    fit: "FitRequest"
    explore: ExploreSettings
    test: Path | None = None
    sources: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = "source" in self.explore.what
        if wanted and not self.sources:
            raise InputError(
                "--what source: give one --source NAME=FOLDER or more to compare with the annotated images"
            )
        if wanted and self.test is None:
            raise InputError("--what source: give --test FOLDER, annotated images to test all sources on")
        if self.sources and not wanted:
            raise InputError("--source: is for --what source; add that, or leave it out")
        self._require_apart()

    def _require_apart(self) -> None:
        """`InputError` where the images to test on are also learned from, which makes every figure too good."""
        if self.test is None:
            return
        require_apart(self.test, self.fit.data, self.test)
        for name, path in self.sources.items():
            require_not_tested(name, path, self.test)

    def __str__(self) -> str:
        """What a log says of it."""
        return f"{self.fit}; {assigned({**asdict(self.explore), 'test': self.test, **self.sources})}"

    @property
    def unused(self) -> list[str]:
        """What was given and has no effect, in words."""
        given = {each.name for each in fields(self.explore) if getattr(self.explore, each.name) != each.default}
        given |= set() if self.test is None else {"test"}
        idle = {name: subjects for name, subjects in SERVES.items() if not {*subjects} & {*self.explore.what}}
        found = [f"--{name} (for --what {','.join(idle[name])})" for name in idle if name in given]
        tested = {"test", "folds"} <= given and "folds" not in idle
        return [*found, *(["--folds (for no --test)"] if tested else [])]

    @property
    def given(self) -> Mapping[str, Any]:
        """The options of the backbone that the user gave."""
        return self.fit.backbone


def require_apart(given: Path, train: Path, test: Path) -> None:
    """`InputError` where the folder to test on, which the user has named `given`, is that of the annotated images."""
    if os.path.realpath(test) == os.path.realpath(train):
        raise InputError(
            f"--test {given}: is the folder of the annotated images; leave --test out, and they are cross-validated"
        )


def require_not_tested(name: str, source: Path, test: Path) -> None:
    """`InputError` where the folder of a source is the one to test on."""
    if os.path.realpath(source) == os.path.realpath(test):
        raise InputError(f"--source {name}: is the folder of --test; give images of other folders")
