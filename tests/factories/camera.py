"""A camera in software: pictures as a phone sees them, the same ones for the same seed.

Turned, seen at an angle, unsharp, with less contrast and with noise. Only Pillow is needed.
"""

import random
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops, ImageFilter

Corners = list[tuple[float, float]]
GROUND: Final = 225
"""Grey of what lies around the code."""


@dataclass(frozen=True)
class Conditions:
    """How badly a picture is taken.

    Attributes:
        blur: radius of the unsharpness in pixels.
        degrees: turned by at most this, either way.
        noise: spread of the noise in grey levels.
        slant: corners moved by at most this part of the width.
    """

    blur: float
    degrees: float
    noise: int
    slant: float


CLEAN: Final = Conditions(0.0, 0.0, 0, 0.0)
LIGHT: Final = Conditions(0.6, 15.0, 8, 0.02)
HEAVY: Final = Conditions(1.2, 45.0, 20, 0.05)


class Camera:
    """Takes pictures under given conditions; the seed decides about each of them."""

    def __init__(self, conditions: Conditions, *, seed: int | str = 0) -> None:
        self._conditions = conditions
        self._random = random.Random(f"camera {seed}")

    def sees(self, picture: Image.Image) -> Image.Image:
        how, chance = self._conditions, self._random
        seen = picture.convert("L").point([40 + value * 3 // 4 for value in range(256)])
        seen = slanted(seen, how.slant, chance)
        seen = seen.rotate(
            chance.uniform(-how.degrees, how.degrees),
            resample=Image.Resampling.BICUBIC,
            expand=True,
            fillcolor=GROUND,
        )
        return noisy(seen.filter(ImageFilter.GaussianBlur(how.blur)), how.noise, chance)


def slanted(picture: Image.Image, slant: float, chance: random.Random) -> Image.Image:
    """The picture seen at an angle: each corner moved inwards by up to `slant` of the side."""
    if not slant:
        return picture
    width, height = picture.size
    corners: Corners = [
        (
            x + towards_x * chance.uniform(0, slant) * width,
            y + towards_y * chance.uniform(0, slant) * height,
        )
        for x, y, towards_x, towards_y in (
            (0, 0, 1, 1),
            (width, 0, -1, 1),
            (width, height, -1, -1),
            (0, height, 1, -1),
        )
    ]
    return picture.transform(
        picture.size,
        Image.Transform.PERSPECTIVE,
        homography(corners, [(0, 0), (width, 0), (width, height), (0, height)]),
        resample=Image.Resampling.BICUBIC,
        fillcolor=GROUND,
    )


def homography(seen: Corners, source: Corners) -> list[float]:
    """The eight numbers with which Pillow finds, for a point that is seen, where it comes from."""
    rows = []
    for (x, y), (u, v) in zip(seen, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y, u])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y, v])
    for column in range(8):
        best = max(range(column, 8), key=lambda row: abs(rows[row][column]))
        rows[column], rows[best] = rows[best], rows[column]
        head = rows[column][column]
        rows[column] = [value / head for value in rows[column]]
        for other in range(8):
            if other != column:
                factor = rows[other][column]
                pairs = zip(rows[other], rows[column], strict=True)
                rows[other] = [value - factor * pivot for value, pivot in pairs]
    return [row[8] for row in rows]


def noisy(picture: Image.Image, spread: int, chance: random.Random) -> Image.Image:
    """Noise near to a normal one: the sum of two even ones, with this standard deviation."""
    if not spread:
        return picture
    width, height = picture.size
    # Two numbers from 0 to w have together a standard deviation of w / sqrt(6).
    widest = spread * 245 // 100
    levels = [value * widest // 255 for value in range(256)]
    for _ in range(2):
        grain = Image.frombytes("L", (width, height), chance.randbytes(width * height))
        picture = ImageChops.add(picture, grain.point(levels), offset=-widest // 2)
    return picture
