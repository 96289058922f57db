"""Damaged input of all kinds: it is read, or refused in one line; no code in it runs, and nothing is left behind.

The damage is drawn by hypothesis from a fixed seed, so that every run tries the same; a failure shows the smallest
change that it takes. The slow variant tries many more, and watches time and memory.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from frugalseg.support.errors import InputError, WorkError
from tests.fuzz.damage import damaged
from tests.fuzz.subjects import HEAVY, MAKERS, SLOW, Sample

QUICK, THOROUGH = 30, 600
"""Examples of damage to each subject; a quarter of them where each takes long."""
LONGEST_LINE = 2000
LONGEST_TIME = timedelta(seconds=20)
MEMORY = 300 * 2**20
"""Bytes by which the process may grow over all the damage to one subject."""

NOT_HERE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in SLOW])
def test_damage_is_read_or_refused_in_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    try_damage(name, QUICK // (4 if name in HEAVY else 1), None, tmp_path, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_much_damage(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = peak_memory(reset=True)
    try_damage(name, THOROUGH // (4 if name in HEAVY else 1), LONGEST_TIME, tmp_path, capfd)
    assert peak_memory() - before < MEMORY


def try_damage(
    name: str, examples: int, deadline: timedelta | None, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Read a sample whole, then so many times with one file damaged."""
    subject, trap = MAKERS[name](), folder / "trap"
    sample = Sample(subject, folder / "sample")
    subject.read(sample.folder)

    @tried(examples, deadline)
    @given(data=st.data())
    def damaged_once(data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(subject.targets))
        other = subject.files[data.draw(st.sampled_from(sorted(subject.files)))]
        content = data.draw(damaged(target, subject.files[target], other, trap))
        sample.write(target, content)
        try:
            with quiet(capfd):
                said = refusal(sample)
        finally:
            sample.mend(target)
        assert said is None or (said.isprintable() and 0 < len(said) <= LONGEST_LINE), said
        assert not trap.exists(), "code in the file was run"
        assert not sample.strays()

    damaged_once()


def tried(examples: int, deadline: timedelta | None) -> settings:
    """So many examples, the same in every run; of those with a deadline a failing one is shown as it was found."""
    return settings(
        max_examples=examples,
        deadline=deadline,
        derandomize=True,
        database=None,
        phases=[Phase.generate] if deadline else [Phase.generate, Phase.shrink],
        suppress_health_check=NOT_HERE,
    )


def refusal(sample: Sample) -> str | None:
    """The line with which a sample is refused; None where it is read."""
    try:
        sample.subject.read(sample.folder)
    except (InputError, WorkError) as error:
        return str(error)
    return None


@contextmanager
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Within the block no library may warn, log a warning or write anything: users would see it beside the one line."""
    spoken = Listener()
    logging.getLogger().addHandler(spoken)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            yield
    finally:
        logging.getLogger().removeHandler(spoken)
    written = capfd.readouterr()
    shown = [w for w in caught if not issubclass(w.category, DeprecationWarning | PendingDeprecationWarning)]
    assert not shown, [str(w.message) for w in shown]
    assert not spoken.messages, spoken.messages
    assert not written.err and not written.out, written


class Listener(logging.Handler):
    """Keeps the warnings of other packages than ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("frugalseg"):
            self.messages.append(f"{record.name}: {record.getMessage()}")


def peak_memory(reset: bool = False) -> int:
    """The most bytes of memory that this process had; on Linux, since the last reset."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory is measured on Linux")
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
