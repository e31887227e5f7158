"""Which strides a network keeps on images far below the 224 pixels that the papers' tables are for."""

from adapt.zoo.builder import GraphBuilder

SMALL = 64
"""Images whose shorter side is at most this many pixels are not halved by the first convolution."""


def stem_stride(builder: GraphBuilder) -> int:
    """2, as in the papers; 1 on small images, which would otherwise be a single pixel halfway through."""
    return 1 if min(builder.size(builder.images)) <= SMALL else 2
