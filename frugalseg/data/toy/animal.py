"""The animal of the toy images: its anatomy, its pose and the order in which it is painted.

Everything is measured in body lengths: the animal looks to the right, its middle is at 0, y runs downwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from frugalseg.data.toy.drawing import Canvas, Ellipse, Limb, Material, Shape, Union

LABELS = ("background", "body", "head", "ear", "eye", "muzzle", "leg", "paw", "tail", "collar")


@dataclass(frozen=True)
class Piece:
    """One painted shape; `tint` is a brightness, or a material of its own."""

    part: str
    shape: Shape
    tint: float | Material = 1.0


@dataclass(frozen=True)
class Placement:
    """From the animal's own measures into the frame: turned, scaled, maybe mirrored, moved."""

    turn: complex
    mirrored: bool
    offset: complex = 0j

    def point(self, z: complex) -> complex:
        """Where a point goes."""
        return complex(self.vector(z) + self.offset)

    def vector(self, z: complex) -> complex:
        """Where a direction goes."""
        return complex(self.turn * (complex(-z.real, z.imag) if self.mirrored else z))

    def shape(self, shape: Shape) -> Shape:
        """The shape in the frame."""
        scale = abs(self.turn)
        if isinstance(shape, Ellipse):
            return Ellipse(self.point(shape.centre), self.vector(shape.axis), float(shape.ratio))
        if isinstance(shape, Limb):
            ends = self.point(shape.start), self.point(shape.end)
            return Limb(*ends, float(shape.start_radius * scale), float(shape.end_radius * scale))
        if isinstance(shape, Union):
            return Union(tuple(self.shape(part) for part in shape.parts))
        raise TypeError(f"an animal has no {type(shape).__name__}")


def draw_animal(canvas: Canvas, rng: Generator, dress: dict[str, Material]) -> None:
    """Paint an animal in a random pose and place, with a shadow under it.

    Args:
        dress: a material for each of `LABELS` but the background.
    """
    pieces = list(_pieces(rng))
    placement = _place(rng, [piece.shape for piece in pieces])
    outline = rng.uniform(0.25, 0.6)
    ground = Ellipse(placement.point(0.0 + 0.36j), placement.vector(0.45 + 0j), 0.25)
    canvas.paint(ground, Material.grey(0.0), 0, soft=0.1, opacity=rng.uniform(0.1, 0.6))
    for piece in pieces:
        tint = piece.tint
        material = tint if isinstance(tint, Material) else replace(dress[piece.part], brightness=tint)
        canvas.paint(placement.shape(piece.shape), material, LABELS.index(piece.part), outline=outline)


def _place(rng: Generator, shapes: list[Shape]) -> Placement:
    """A turn within 35 degrees, a size of six tenths of the frame to all of it, and a place where the animal fits."""
    turn = complex(np.exp(1j * np.deg2rad(rng.uniform(-35, 35))))
    placement = Placement(turn, bool(rng.random() < 0.5))
    circles = [placement.shape(shape).circle() for shape in shapes]
    low = np.min([(c.real - r, c.imag - r) for c, r in circles], axis=0)
    high = np.max([(c.real + r, c.imag + r) for c, r in circles], axis=0)
    scale = rng.uniform(0.66, 1.08) / max(high - low)
    room = 1 - (high - low) * scale
    corner = rng.uniform(0.02, 0.98, 2) * room - low * scale
    return Placement(turn * scale, placement.mirrored, complex(*corner))


def _pieces(rng: Generator) -> Iterator[Piece]:
    """The animal from back to front."""
    chest, rump = 0.13 + rng.uniform(-0.03, 0.03) * 1j, -0.2 + rng.uniform(-0.04, 0.06) * 1j
    girth = rng.uniform(0.15, 0.2)
    head = chest + rng.uniform(0.27, 0.33) * np.exp(1j * np.deg2rad(rng.uniform(-85, -30)))
    radius = rng.uniform(0.23, 0.28)
    near, far = _legs(rng, chest, rump, girth)
    yield from _tail(rng, rump - 0.6 * girth)
    yield from far
    yield Piece("body", Limb(rump, chest, girth * rng.uniform(0.9, 1.15), girth))
    yield from near
    yield from _head(rng, chest, complex(head), radius)


def _tail(rng: Generator, root: complex) -> Iterator[Piece]:
    """A line of five limbs that curls to one side."""
    length, thick, thin = rng.uniform(0.28, 0.42), rng.uniform(0.055, 0.075), rng.uniform(0.045, 0.085)
    angle, curl = np.deg2rad(rng.uniform(170, 235)), np.deg2rad(rng.uniform(-15, 35))
    points = [root]
    for _ in range(5):
        points.append(points[-1] + length / 5 * complex(np.exp(1j * angle)))
        angle += curl
    widths = np.linspace(thick, thin, 6)
    yield Piece("tail", Union(tuple(Limb(points[i], points[i + 1], widths[i], widths[i + 1]) for i in range(5))))


def _legs(rng: Generator, chest: complex, rump: complex, girth: float) -> tuple[list[Piece], list[Piece]]:
    """Two near legs and two darker far ones, each swung on its own, each with a paw."""
    length, thick = rng.uniform(0.24, 0.32), rng.uniform(0.058, 0.078)
    near: list[Piece] = []
    far: list[Piece] = []
    for pieces, shift, tint in ((far, 0.1, 0.75), (near, 0.0, 1.0)):
        for hip in (rump + shift, chest + shift + 0.02):
            top = hip + 0.45j * girth
            swing = np.deg2rad(rng.uniform(-28, 28))
            foot = complex(top + length * 1j * np.exp(1j * swing))
            pieces.append(Piece("leg", Limb(top, foot, thick * 1.15, thick), tint))
            pieces.append(Piece("paw", Ellipse(foot + 0.035, complex(thick * 1.5), 0.75), tint))
    return near, far


def _head(rng: Generator, chest: complex, centre: complex, radius: float) -> Iterator[Piece]:
    """Collar, ears, head and face; the face is turned a little to the side, never quite to the front."""
    up = complex(-1j * np.exp(1j * np.deg2rad(rng.uniform(-22, 22))))
    right = up * 1j
    yaw = rng.uniform(0.15, 0.5)
    neck = (centre - chest) / abs(centre - chest)
    middle = centre - neck * radius * 1.0
    across = neck * 1j * radius * 0.62
    yield Piece("collar", Limb(middle - across, middle + across, 0.075, 0.075))
    yield from _ears(rng, centre, up, right, radius, yaw)
    yield Piece("head", Ellipse(centre, right * radius * rng.uniform(1, 1.12), rng.uniform(0.88, 1)))
    snout = centre + radius * (yaw * 0.75 * right - rng.uniform(0.45, 0.54) * up)
    size = radius * rng.uniform(0.47, 0.57)
    yield Piece("muzzle", Ellipse(snout, right * size, rng.uniform(0.68, 0.85)))
    yield Piece("muzzle", Ellipse(snout + size * (0.4 * up + 0.1 * right), right * size * 0.36, 0.75), 0.25)
    yield from _eyes(rng, centre + radius * (0.6 * yaw * right + 0.16 * up), up, right, radius, yaw)


def _ears(rng: Generator, centre: complex, up: complex, right: complex, radius: float, yaw: float) -> Iterator[Piece]:
    """Pointed, round, long or hanging: the far one first, then the near one."""
    length = radius * rng.choice([rng.uniform(0.45, 0.75), rng.uniform(0.9, 1.3)])
    base, tip = radius * rng.uniform(0.28, 0.36), radius * rng.uniform(0.06, 0.34)
    spread, droop = rng.uniform(0.5, 0.85), rng.uniform(-0.3, 1.0)
    for side, tint in ((1.0, 0.8), (-1.0, 1.0)):
        direction = up * complex(np.exp(1j * side * spread))
        root = centre + radius * 0.85 * direction + 0.1 * radius * yaw * right
        end = root + length * up * complex(np.exp(1j * side * (spread + droop)))
        yield Piece("ear", Limb(root, end, base, tip), tint)


def _eyes(rng: Generator, centre: complex, up: complex, right: complex, radius: float, yaw: float) -> Iterator[Piece]:
    """Two eyes in one of three styles: dark with a glint, white with a pupil, coloured with a pupil."""
    size = radius * rng.uniform(0.27, 0.33)
    style = int(rng.choice(3, p=[0.3, 0.25, 0.45]))
    dark, white = Material.grey(rng.uniform(0.02, 0.3)), Material.grey(rng.uniform(0.75, 1))
    for side in (1.0, -1.0):
        eye = centre + side * radius * 0.45 * right
        narrow = 1 - 0.5 * yaw if side > 0 else 1.0
        ball: float | Material = (dark, white, 1.0)[style]
        yield Piece("eye", Ellipse(eye, up * size, narrow), ball)
        if style > 0:
            yield Piece("eye", Ellipse(eye + 0.25 * size * right, up * size * 0.6, narrow), dark)
        yield Piece("eye", Ellipse(eye + size * (0.35 * up + 0.3 * right), up * size * 0.3), white)
