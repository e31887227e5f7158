"""A data set rendered by a program: glyphs of a few strokes under clutter, noise and occlusion. Needs no torch.

Twenty glyphs made for this purpose, drawn as thick strokes: bent, turned, sheared, scaled and moved about, lighter than
their ground and of any colour, with strokes of no glyph beside and across them, a patch in front and noise over all.
Nobody photographed anything; it is what it is called. The same seed gives the same bytes.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.data.arrays import Images, Labels
from adapt.data.dataset import Dataset, whole_part
from adapt.spec import derive_seed

NAME = "rendered-glyphs"
SIDE = 24
TRAIN, TEST = 9_000, 5_000
BATCH = 100  # images rendered at once, so that memory stays small

Floats = NDArray[np.floating[Any]]
Line = tuple[tuple[float, float], ...]
"""Points (x right, y down) from -1 to 1 that the pen joins."""

GLYPHS: Mapping[str, tuple[Line, ...]] = {
    "plus": (((-1, 0), (1, 0)), ((0, -1), (0, 1))),
    "cross": (((-1, -1), (1, 1)), ((-1, 1), (1, -1))),
    "tee": (((-1, -1), (1, -1)), ((0, -1), (0, 1))),
    "corner": (((-1, -1), (-1, 1), (1, 1)),),
    "square": (((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)),),
    "triangle": (((0, -1), (1, 1), (-1, 1), (0, -1)),),
    "zigzag": (((-1, -1), (1, -1), (-1, 1), (1, 1)),),
    "en": (((-1, 1), (-1, -1), (1, 1), (1, -1)),),
    "ladder": (((-1, -1), (-1, 1)), ((1, -1), (1, 1)), ((-1, 0), (1, 0))),
    "wedge": (((-1, -1), (0, 1), (1, -1)),),
    "fork": (((-1, -1), (0, 0), (1, -1)), ((0, 0), (0, 1))),
    "arrow": (((0, 1), (0, -1)), ((-0.8, -0.2), (0, -1), (0.8, -0.2))),
    "diamond": (((0, -1), (1, 0), (0, 1), (-1, 0), (0, -1)),),
    "flag": (((-1, 1), (-1, -1), (1, -1)), ((-1, 0), (0.6, 0))),
    "comb": (((1, -1), (-1, -1), (-1, 1), (1, 1)), ((-1, 0), (0.6, 0))),
    "kay": (((-1, -1), (-1, 1)), ((1, -1), (-1, 0), (1, 1))),
    "tent": (((-1, 1), (0, -1), (1, 1)), ((-0.5, 0.2), (0.5, 0.2))),
    "waves": (((-1, 1), (-0.5, -1), (0, 0.6), (0.5, -1), (1, 1)),),
    "cup": (((-1, -1), (-1, 0.6), (0, 1), (1, 0.6), (1, -1)),),
    "ring": (((0, -1), (0.8, -0.6), (1, 0.2), (0.5, 1), (-0.5, 1), (-1, 0.2), (-0.8, -0.6), (0, -1)),),
}

BEND = 0.12  # standard deviation of where a stroke's end lies, in units of the glyph
TURN = 0.35  # radians to either side at most
SHEAR = 0.25
SCALE = (5.5, 9.0)  # pixels from the glyph's middle to its edge
SHIFT = 2.5  # pixels to either side
THICKNESS = (0.7, 1.3)  # pixels, half of a stroke's width
CLUTTER = 2  # strokes of no glyph
CONTRAST = 0.3  # least difference of glyph and ground, in the channel where it is largest, from 0 to 1
NOISE = (0.04, 0.16)
PATCH = (4.0, 8.0)  # pixels, the sides of what covers a part


def rendered_glyphs(*, train: int = TRAIN, test: int = TEST, seed: int = 0) -> Dataset:
    """`train` and `test` images of 24 x 24 pixels in colour, every class equally often (one more where it does not come
    out even). Both parts come from seeds of their own; a hold-out is cut from the training part by whoever chooses."""
    parts = {
        name: whole_part(*render(count, derive_seed(seed, NAME, name)))
        for name, count in (("train", train), ("test", test))
    }
    return Dataset(
        name=NAME,
        origin=NAME,
        train=parts["train"],
        test=parts["test"],
        classes=tuple(GLYPHS),
        splits={"train": train, "test": test, "test_from": "rendered from a seed of its own"},
    )


def render(count: int, seed: int) -> tuple[Images, Labels]:
    """[count, 24, 24, 3] and [count], in random order."""
    chance = np.random.default_rng(seed)
    labels = chance.permutation(np.arange(count, dtype=np.int64) % len(GLYPHS))
    strokes = _strokes()
    images = [_draw(strokes[labels[start : start + BATCH]], chance) for start in range(0, count, BATCH)]
    return np.concatenate(images), labels


def _strokes() -> Floats:
    """[glyphs, strokes, two ends, (x, y)]; glyphs of fewer strokes repeat their last one."""
    pieces = [[pair for line in lines for pair in pairwise(line)] for lines in GLYPHS.values()]
    most = max(map(len, pieces))
    return np.array([[*own, *[own[-1]] * (most - len(own))] for own in pieces], dtype=np.float32)


def _draw(strokes: Floats, chance: np.random.Generator) -> Images:
    """[n, strokes, 2, 2] to [n, 24, 24, 3] uint8."""
    count = len(strokes)
    thickness = chance.uniform(*THICKNESS, (count, 1, 1)).astype(np.float32)
    glyph = _ink(_placed(strokes, chance), thickness)
    clutter = _ink(chance.uniform(0, SIDE, (count, CLUTTER, 2, 2)).astype(np.float32), thickness * 0.8)
    ground, colour, other = _colours(count, chance)
    slope = chance.uniform(-0.15, 0.15, (count, 1, 1, 3)) * np.linspace(-1, 1, SIDE)[:, None, None]
    picture: Floats = ground + slope
    picture = _over(picture, other, clutter)
    picture = _over(picture, colour, glyph)
    picture = _over(picture, chance.uniform(0, 1, (count, 1, 1, 3)), _patch(count, chance))
    noise = chance.standard_normal(picture.shape, dtype=np.float32) * chance.uniform(*NOISE, (count, 1, 1, 1))
    return np.rint(255 * np.clip(picture + noise, 0, 1)).astype(np.uint8)


def _placed(strokes: Floats, chance: np.random.Generator) -> Floats:
    """Bent, sheared, turned, scaled and moved: in pixels."""
    count = len(strokes)
    bent = strokes + chance.normal(0, BEND, strokes.shape)
    turn = chance.uniform(-TURN, TURN, count)
    shear, scale = chance.uniform(-SHEAR, SHEAR, count), chance.uniform(*SCALE, (count, 2))
    cos, sin = np.cos(turn), np.sin(turn)
    rows = np.array([[cos, -sin + shear * cos], [sin, cos + shear * sin]]).transpose(2, 0, 1)
    middle = (SIDE - 1) / 2 + chance.uniform(-SHIFT, SHIFT, (count, 1, 1, 2))
    turned = np.einsum("nij,nskj->nski", rows * scale[:, None, :], bent)
    placed: Floats = (turned + middle).astype(np.float32)
    return placed


def _ink(strokes: Floats, thickness: Floats) -> Floats:
    """[n, strokes, 2, 2] in pixels to how much of each pixel they cover, [n, 24, 24], edges a pixel soft."""
    y, x = np.divmod(np.arange(SIDE * SIDE, dtype=np.float32), np.float32(SIDE))
    (start_x, start_y), (end_x, end_y) = np.moveaxis(strokes[..., None], (2, 3), (0, 1))
    along_x, along_y = end_x - start_x, end_y - start_y
    right, down = x - start_x, y - start_y
    length = np.maximum(along_x**2 + along_y**2, np.float32(1e-6))
    share = np.clip((right * along_x + down * along_y) / length, 0, 1)
    squares = (right - share * along_x) ** 2 + (down - share * along_y) ** 2
    distance = np.sqrt(squares.min(axis=1)).reshape(len(strokes), SIDE, SIDE)
    covered: Floats = np.clip(thickness + 0.5 - distance, 0, 1)
    return covered


def _colours(count: int, chance: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Ground, glyph and clutter, [n, 1, 1, 3] each; the glyph is the lighter, in one channel by CONTRAST at least."""
    ground = chance.uniform(0.0, 0.6, (count, 1, 1, 3))
    lighter = chance.uniform(0.0, 1.0, (count, 1, 1, 3))
    lighter *= chance.uniform(CONTRAST, 0.8, (count, 1, 1, 1)) / lighter.max(axis=-1, keepdims=True)
    other = ground + chance.uniform(-0.4, 0.6, (count, 1, 1, 3))
    return ground, np.clip(ground + lighter, 0, 1), np.clip(other, 0, 1)


def _patch(count: int, chance: np.random.Generator) -> Floats:
    """A rectangle at a random place, [n, 24, 24]."""
    sides, middles = chance.uniform(*PATCH, (2, count, 1)), chance.uniform(0, SIDE, (2, count, 1))
    within = [np.abs(np.arange(SIDE) - middle) <= side / 2 for side, middle in zip(sides, middles, strict=True)]
    patch: Floats = (within[0][:, :, None] & within[1][:, None, :]).astype(np.float32)
    return patch


def _over(picture: Floats, colour: Floats, cover: Floats) -> Floats:
    laid: Floats = picture + (colour - picture) * cover[..., None]
    return laid
