"""Anti-aliased shapes with textures on a small canvas, for the toy images.

Points are complex numbers (x + iy, y downwards) in a frame whose sides are 1, so a figure is turned and scaled by one
multiplication. A shape knows its signed distance (negative inside), from which coverage, outline and label follow.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# Three samples a side: a pixel's centre is then one of them, which gives the label without a vote. The distance adds a
# ramp one sample wide to every edge, so the picture is smoother than 3x3 hard samples.
SAMPLES = 3


class Shape(Protocol):
    """Something that can be painted."""

    def distance(self, x: Floats, y: Floats) -> Floats:
        """Signed distance (h, w) from the outline at x (1, w) and y (h, 1); negative inside."""

    def circle(self) -> tuple[complex, float]:
        """Centre and radius of a circle around the shape."""


@dataclass(frozen=True)
class Ellipse:
    """`axis` points along the first half axis and is as long; `ratio` is the second half axis over the first."""

    centre: complex
    axis: complex
    ratio: float = 1.0

    def distance(self, x: Floats, y: Floats) -> Floats:
        """See `Shape`; exact for circles, first order near the outline of other ellipses."""
        long = abs(self.axis)
        cos, sin = self.axis.real / long, self.axis.imag / long
        dx, dy = x - self.centre.real, y - self.centre.imag
        u, v = (dx * cos + dy * sin) / long, (dy * cos - dx * sin) / (long * self.ratio)
        uu, vv = u * u, v * v
        level = np.sqrt(uu + vv)
        slope = np.sqrt(uu / long**2 + vv / (long * self.ratio) ** 2) + np.float32(1e-6)
        result: Floats = level * (level - 1) / slope
        return result

    def circle(self) -> tuple[complex, float]:
        """See `Shape`."""
        return self.centre, abs(self.axis) * max(1.0, self.ratio)


@dataclass(frozen=True)
class Limb:
    """A line from `start` to `end` whose thickness runs from `start_radius` to `end_radius`, with round ends."""

    start: complex
    end: complex
    start_radius: float
    end_radius: float

    def distance(self, x: Floats, y: Floats) -> Floats:
        """See `Shape`."""
        line = self.end - self.start
        dx, dy = x - self.start.real, y - self.start.imag
        along = (dx * line.real + dy * line.imag) / max(abs(line) ** 2, 1e-9)
        along = np.clip(along, 0, 1)
        radius = self.start_radius + along * (self.end_radius - self.start_radius)
        result: Floats = np.hypot(dx - along * line.real, dy - along * line.imag) - radius
        return result

    def circle(self) -> tuple[complex, float]:
        """See `Shape`."""
        return (self.start + self.end) / 2, abs(self.end - self.start) / 2 + max(self.start_radius, self.end_radius)


@dataclass(frozen=True)
class Union:
    """Several shapes as one."""

    parts: tuple[Shape, ...]

    def distance(self, x: Floats, y: Floats) -> Floats:
        """See `Shape`."""
        result = self.parts[0].distance(x, y)
        for part in self.parts[1:]:
            result = np.minimum(result, part.distance(x, y))
        return result

    def circle(self) -> tuple[complex, float]:
        """See `Shape`."""
        circles = [part.circle() for part in self.parts]
        centre = sum(c for c, _ in circles) / len(circles)
        return centre, max(abs(c - centre) + r for c, r in circles)


@dataclass(frozen=True)
class Polygon:
    """A regular polygon: `axis` points from the centre to the middle of one side; `stretch` scales it across."""

    centre: complex
    axis: complex
    sides: int
    stretch: float = 1.0

    def distance(self, x: Floats, y: Floats) -> Floats:
        """See `Shape`; outside, near corners, smaller than the true distance."""
        long = abs(self.axis)
        cos, sin = self.axis.real / long, self.axis.imag / long
        dx, dy = x - self.centre.real, y - self.centre.imag
        u, v = dx * cos + dy * sin, (dy * cos - dx * sin) / self.stretch
        angles = 2 * np.pi * np.arange(self.sides) / self.sides
        result = u - np.float32(long)
        for angle in angles[1:]:
            side = u * np.float32(np.cos(angle)) + v * np.float32(np.sin(angle))
            result = np.maximum(result, side - np.float32(long))
        return result

    def circle(self) -> tuple[complex, float]:
        """See `Shape`."""
        return self.centre, abs(self.axis) / np.cos(np.pi / self.sides) * max(1.0, self.stretch)


@dataclass(frozen=True)
class Material:
    """Two colours and the pattern that mixes them.

    Attributes:
        first, second: (3,) float32 in [0, 1].
        pattern: ``plain``, ``stripes``, ``spots``, ``noise`` or ``gradient``.
        waves: (4, 3) float32, frequency in x and y and phase of the waves that draw the pattern.
        brightness: factor on both colours.
    """

    first: Floats
    second: Floats
    pattern: str
    waves: Floats
    brightness: float = 1.0

    @classmethod
    def grey(cls, value: float) -> "Material":
        """Plain, from 0 (black) to 1 (white)."""
        colour = np.full(3, value, np.float32)
        return cls(colour, colour, "plain", np.zeros((4, 3), np.float32))

    def colour(self, x: Floats, y: Floats) -> Floats:
        """(h, w, 3), or (1, 1, 3) for a plain material, of the pattern at x (1, w) and y (h, 1)."""
        if self.pattern == "plain":
            return self.first[None, None] * np.float32(self.brightness)
        mix = self._mix(x, y)[..., None]
        result: Floats = (self.first + mix * (self.second - self.first)) * np.float32(self.brightness)
        return result

    def _wave(self, number: int, x: Floats, y: Floats) -> Floats:
        fx, fy, phase = self.waves[number]
        wave: Floats = np.sin(fx * x + fy * y + phase)
        return wave

    def _mix(self, x: Floats, y: Floats) -> Floats:
        """(h, w) share of the second colour."""
        wave = self._wave(0, x, y)
        if self.pattern == "stripes":
            value = 0.5 + 2 * wave
        elif self.pattern == "spots":
            # The second wave runs across the first one.
            fx, fy, _ = self.waves[0]
            value = 3 * (wave * np.sin(fy * x - fx * y + self.waves[1, 2]) - 0.25)
        elif self.pattern == "noise":
            value = 0.5 + 0.25 * (wave + self._wave(1, x, y) + self._wave(2, x, y) + self._wave(3, x, y))
        else:
            slow = np.float32(0.15)
            value = 0.5 + 0.5 * np.sin(self.waves[0, 0] * slow * x + self.waves[0, 1] * slow * y + self.waves[0, 2])
        result: Floats = np.clip(value, 0, 1)
        return result


class Canvas:
    """A picture and the labels of its pixels, `SAMPLES` times as fine as the result."""

    def __init__(self, size: int) -> None:
        self.fine = size * SAMPLES
        centres = (np.arange(self.fine, dtype=np.float32) + np.float32(0.5)) / np.float32(self.fine)
        self.x, self.y = centres[None, :], centres[:, None]
        self.rgb = np.zeros((self.fine, self.fine, 3), np.float32)
        self.labels = np.zeros((self.fine, self.fine), np.uint8)

    def fill(self, material: Material) -> None:
        """Paint everything."""
        self.rgb[:] = material.colour(self.x, self.y)

    def paint(
        self,
        shape: Shape,
        material: Material,
        label: int,
        *,
        outline: float = 0.0,
        soft: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Paint one shape over what is there.

        Args:
            shape: where.
            material: colour.
            label: class position its pixels get.
            outline: how much darker its rim is, 0 to 1.
            soft: width of a blurred edge, in frame sides (a shadow's).
            opacity: 0 to 1.
        """
        centre, radius = shape.circle()
        rows = self._span(centre.imag, radius + soft)
        columns = self._span(centre.real, radius + soft)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        x, y = self.x[:, columns], self.y[rows]
        distance = shape.distance(x, y)
        cover = np.clip(0.5 - distance / max(soft, 1 / self.fine), 0, 1) * np.float32(opacity)
        colour = material.colour(x, y)
        if outline:
            rim = np.clip(1 + distance * np.float32(28), 0, 1)
            colour = colour * (1 - np.float32(outline) * rim)[..., None]
        area = self.rgb[rows, columns]
        area += cover[..., None] * (colour - area)
        self.labels[rows, columns][distance < 0] = label

    def light(self, direction: complex, contrast: float) -> None:
        """Brighten towards `direction` (length 1) and darken away from it, by at most `contrast`."""
        ramp = (self.x - 0.5) * np.float32(direction.real) + (self.y - 0.5) * np.float32(direction.imag)
        self.rgb *= (1 + np.float32(2 * contrast) * ramp)[..., None]

    def picture(self) -> NDArray[np.uint8]:
        """(size, size, 3) uint8: the mean of each pixel's samples."""
        size = self.fine // SAMPLES
        mean = self.rgb.reshape(size, SAMPLES, size, SAMPLES, 3).mean((1, 3), dtype=np.float32)
        picture: NDArray[np.uint8] = (np.clip(mean, 0, 1) * 255 + 0.5).astype(np.uint8)
        return picture

    def mask(self) -> NDArray[np.uint8]:
        """(size, size) uint8: the label at each pixel's centre."""
        return self.labels[SAMPLES // 2 :: SAMPLES, SAMPLES // 2 :: SAMPLES].copy()

    def _span(self, centre: float, radius: float) -> slice:
        """The samples within `radius` of `centre` along one axis."""
        low = max(0, int((centre - radius) * self.fine) - 1)
        high = min(self.fine, int((centre + radius) * self.fine) + 3)
        return slice(low, high)
