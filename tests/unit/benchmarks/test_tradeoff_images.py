"""The rendered glyphs are the same for the same seed, of every class as many, and the two parts share no image."""

import numpy as np

from benchmarks.tradeoff_images import GLYPHS, SIDE, render, rendered_glyphs


def test_the_same_seed_renders_the_same_bytes_and_another_one_others() -> None:
    first, labels = render(60, 3)
    again, same_labels = render(60, 3)
    other, _ = render(60, 4)
    assert first.tobytes() == again.tobytes()
    assert np.array_equal(labels, same_labels)
    assert first.tobytes() != other.tobytes()


def test_images_are_colour_pixels_of_every_class_equally_often() -> None:
    images, labels = render(5 * len(GLYPHS), 0)
    assert images.shape == (5 * len(GLYPHS), SIDE, SIDE, 3)
    assert images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [5] * len(GLYPHS)


def test_training_and_test_images_come_from_seeds_of_their_own() -> None:
    data = rendered_glyphs(train=100, test=100)
    trained = {image.tobytes() for image in data.train.images}
    assert not trained & {image.tobytes() for image in data.test.images}
    assert data.classes == tuple(GLYPHS)


def test_a_glyph_is_drawn_where_its_strokes_are() -> None:
    images, labels = render(40 * len(GLYPHS), 1)
    pixels = images.astype(float)
    middle = (SIDE - 1) // 2
    centre, edge = pixels[:, middle - 1 : middle + 3, middle - 1 : middle + 3], pixels[:, :3, :3]
    contrast = np.abs(centre.mean((1, 2)) - edge.mean((1, 2))).sum(1)
    names = np.array(list(GLYPHS))[labels]
    assert contrast[names == "cross"].mean() > 1.5 * contrast[names == "ring"].mean()
