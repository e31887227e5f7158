"""The kinds of arrays that labelled images are."""

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""[n, H, W, C], 0-255; may be mapped from a file."""
Labels = NDArray[np.int64]
"""[n], 0..classes-1."""
Rows = NDArray[np.int64]
"""Indices into images and labels."""
