"""Whether the time suffices for a network that is good for something, told as soon as the rate is known."""

from frugalseg.training.log import Reading, duration


def outlook(reading: Reading, batch_size: int, minutes: float | None, useful: int | None) -> str:
    """What a training will take at the rate of a reading, in plain sentences.

    Args:
        reading: the first one of a run, or of its continuation.
        batch_size: images of a step.
        minutes: after how many the run stops, to be continued later; None where it goes on to its last step.
        useful: images after which the family's features have been measured to be better than raw color; None where
            nothing was measured.
    """
    sentences = [f"At this rate, the remaining {left(reading)} steps take {duration(reading.seconds_left)}."]
    if minutes is not None and minutes * 60 < reading.seconds_left:
        sentences.append(within(reading, minutes))
    if useful is not None:
        sentences.append(until_useful(reading, batch_size, useful))
    return " ".join(sentences)


def left(reading: Reading) -> int:
    """The steps after that of the reading."""
    return reading.steps - reading.step


def pace(reading: Reading) -> float:
    """Seconds of a step."""
    return reading.seconds_left / max(left(reading), 1)


def within(reading: Reading, minutes: float) -> str:
    """A sentence on how far some minutes reach, which began with the run or its continuation."""
    steps = reading.step + int(minutes * 60 / pace(reading))
    return (
        f"The {minutes:g} minutes given reach about step {steps}; the same command goes on from there, "
        "and --steps with a smaller number trains a shorter course."
    )


def until_useful(reading: Reading, batch_size: int, useful: int) -> str:
    """A sentence on when the features can be expected to be good for something."""
    step = -(-useful // batch_size)
    least = (
        f"About {step} steps ({useful} images) are the least for features better than raw color, "
        "going by the photographs of docs/results.md"
    )
    if step <= reading.step:
        return f"{least}; they are done."
    time = duration((step - reading.step) * pace(reading))
    if step <= reading.steps:
        return f"{least}: {time} from now."
    return f"{least}: this training ends before, and --steps {step} would take {time}."
