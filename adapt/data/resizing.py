"""Images to another size and number of channels: scaled until they cover it, then cropped from the centre."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapt.data.arrays import Images

IN_MEMORY_BYTES = 64 << 20  # larger results go to a file, where there is a folder for it
GREY, COLOUR = 1, 3
_MODES = {GREY: "L", COLOUR: "RGB"}


def cover_and_crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` scaled (bilinear with antialiasing, sides in proportion) so that it just covers `size` (height, width),
    and the centre of that. An image of this size is returned as it is."""
    height, width = size
    if image.size == (width, height):
        return image
    # One step for scaling and cropping: the part of the image that ends up in the result.
    scale = min(image.width / width, image.height / height)
    across, down = width * scale, height * scale
    left, top = (image.width - across) / 2, (image.height - down) / 2
    box = (left, top, left + across, top + down)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def resized(images: Images, shape: tuple[int, int, int], folder: Path | None = None) -> Images:
    """`images` [n, h, w, c] as [n, *shape]; grey becomes three equal channels, colour its luminance (ITU-R 601).

    With `folder` (the caller's, kept as long as the images) a large result is mapped from a file in it. Channels other
    than one and three must be as many as asked for.
    """
    height, width, channels = shape
    out, path = _room((len(images), *shape), folder)
    for row, image in enumerate(images):
        out[row] = _fit(np.asarray(image), (height, width), channels)
    if path is None:
        return out
    del out  # written back before it is mapped again
    mapped: Images = np.load(str(path), mmap_mode="r", allow_pickle=False)
    return mapped


def _room(shape: tuple[int, ...], folder: Path | None) -> tuple[Images, Path | None]:
    if folder is None or np.prod(shape, dtype=np.int64) < IN_MEMORY_BYTES:
        return np.empty(shape, dtype=np.uint8), None
    path = folder / f"images-{len(list(folder.iterdir()))}.npy"
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape), path


def _fit(image: NDArray[np.uint8], size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """One image [h, w, c] as [*size, channels]."""
    found = image.shape[2]
    if found not in _MODES:
        planes = [np.asarray(cover_and_crop(Image.fromarray(image[..., plane]), size)) for plane in range(found)]
        return np.stack(planes, axis=2)
    picture = Image.fromarray(image[..., 0] if found == GREY else np.ascontiguousarray(image))
    if found == COLOUR and channels == GREY:
        picture = picture.convert("L")
    pixels = np.asarray(cover_and_crop(picture, size))
    return np.repeat(pixels[..., np.newaxis], channels, axis=2) if pixels.ndim == 2 else pixels
