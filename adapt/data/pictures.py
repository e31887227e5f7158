"""One encoded image to pixels, with limits: by Pillow, in a child process only."""

import io
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapt.data.resizing import GREY, cover_and_crop

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MOST_PIXELS = 50_000_000
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = (5, 6, 7, 8)
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
SIXTEEN_BITS = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # Pillow's own limit beside ours; twice that and it refuses by itself


class Unreadable(Exception):
    """An image that is damaged, too large or of another format; the text says which."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What an image's header says; (height, width) as it is to be seen, EXIF orientation honoured."""

    size: tuple[int, int]
    grey: bool


def look_at(content: bytes) -> Look:
    """Reads the header only. Raises Unreadable."""
    with _opened(content) as picture:
        width, height = picture.size
        turned = _orientation(picture) in ON_ITS_SIDE
        return Look(size=(width, height) if turned else (height, width), grey=picture.mode in GREY_MODES)


def decode(content: bytes, shape: tuple[int, int, int], done: Counter[str]) -> NDArray[np.uint8]:
    """The image as [*shape], scaled to cover it and cropped from the centre; `done` counts what was converted.

    Raises Unreadable; `done` is then as it was.
    """
    with _opened(content) as picture:
        try:
            return _decoded(picture, shape, done)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's plugins raise OSError, ValueError, SyntaxError, struct.error ...
            raise Unreadable(_reason(error)) from error


def _decoded(picture: Image.Image, shape: tuple[int, int, int], done: Counter[str]) -> NDArray[np.uint8]:
    height, width, channels = shape
    mode, size, orientation = picture.mode, picture.size, _orientation(picture)
    several = picture.format != "MPO" and getattr(picture, "is_animated", False)  # a phone's MPO is one photo
    if picture.format == "JPEG" and orientation == 1:
        picture.draft(None, (2 * width, 2 * height))  # a photo is decoded at half, a quarter, an eighth of its size
    picture.load()
    turned = picture.transpose(TURNS[orientation]) if orientation in TURNS else picture
    converted = _converted(turned, channels)
    pixels = np.asarray(cover_and_crop(converted, (height, width)))
    done["scaled"] += size != (width, height)
    done["turned"] += orientation in TURNS
    done["several"] += several
    done["alpha"] += mode in {"RGBA", "LA", "La", "PA"} or (
        mode in {"P", "L", "RGB"} and "transparency" in picture.info
    )
    done["palette"] += mode in {"P", "PA"}
    done["sixteen"] += mode in SIXTEEN_BITS
    done["cmyk"] += mode in {"CMYK", "YCCK"}
    done["grey"] += channels != GREY and mode in GREY_MODES
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _converted(picture: Image.Image, channels: int) -> Image.Image:
    """In mode L or RGB; an alpha channel is dropped, sixteen bits become the upper eight."""
    if picture.mode == "F":
        raise Unreadable("has floating-point pixels, whose range is not known")
    if picture.mode in SIXTEEN_BITS:
        numbers = np.asarray(picture).astype(np.int64)
        if numbers.min() < 0 or numbers.max() > 65_535:
            raise Unreadable("has pixels of more than 16 bits")
        picture = Image.fromarray((numbers >> 8).astype(np.uint8))
    wanted = "L" if channels == GREY else "RGB"
    if picture.mode == wanted:
        return picture
    # By way of RGBA where a palette has transparent colours: Pillow warns of the direct way.
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert(wanted)


def _orientation(picture: Image.Image) -> int:
    """1 is upright, and so is what says nothing that can be read: a photo is not lost for its damaged metadata."""
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # Pillow's EXIF and TIFF readers raise a dozen kinds on broken input
        return 1
    return found if isinstance(found, int) else 1


def _opened(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes are judged below, and metadata is not ours to mend
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = picture.size
    except MemoryError:
        raise
    except Exception as error:
        raise Unreadable(_reason(error)) from error
    if width * height > MOST_PIXELS:
        raise Unreadable(f"has {width} x {height} pixels, at most {MOST_PIXELS // 10**6} million are read")
    return picture


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "is no image of a kind that is read" if text.startswith("cannot identify") else text[:200]
