"""What auxiliary classifiers have in common (Szegedy et al., 2015, sec. 5; 2016, sec. 4)."""

from adapt.zoo.builder import GraphBuilder

LOSS_WEIGHT = 0.3
"""Of each auxiliary loss, beside the network's own."""

WINDOW, STRIDE = 5, 3


def thinned(builder: GraphBuilder, value: str, path: str) -> str:
    """5 x 5 average pooling, stride 3; a map that is smaller than the window, as small images leave it, stays."""
    if min(builder.size(value)) < WINDOW:
        return value
    return builder.avg_pool(value, path, WINDOW, STRIDE)
