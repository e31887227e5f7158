"""What a hold-out tells apart."""

import math
from dataclasses import replace

import pytest

from adapt.events import Evaluation, ProposalEvaluated, Score
from adapt.noise import images_to_tell_apart, standard_error
from adapt.pick import not_told_apart


def proposal(group: str, accuracy: float) -> ProposalEvaluated:
    outcome = Evaluation(
        group=group, accuracy_before_finetune=0.5, accuracy=accuracy, loss=0.1, steps=1, attempts=1, seconds=1.0
    )
    return ProposalEvaluated(
        iteration=3,
        group=group,
        filters_before=16,
        filters_after=8,
        kept=(0,),
        predicted={"macs": 80.0},
        next_larger_filters=None,
        next_larger_predicted=None,
        evaluation=outcome,
        delta_accuracy=0.0,
        delta_latency_ms=None,
        relative_reduction=0.2,
        slope=0.0,
        reward=1.0,
    )


def test_the_standard_error_is_binomial_and_at_least_one_images_worth() -> None:
    assert standard_error(0.9, 400) == pytest.approx(0.015)
    assert standard_error(1.0, 400) == standard_error(0.0, 400) == 1 / 400
    assert Score(accuracy=0.9, loss=0.0, images=400).standard_error == standard_error(0.9, 400)


def test_proposals_further_apart_than_the_noise_are_told_apart() -> None:
    best = proposal("a", 0.90)
    assert not_told_apart([best, proposal("b", 0.88), proposal("c", 0.93)], best, 400) is None
    assert not_told_apart([best], best, 400) is None


def test_proposals_within_the_noise_are_counted_with_the_figures() -> None:
    best = proposal("a", 0.90)
    text = not_told_apart([proposal("b", 0.89), proposal("c", 0.88), proposal("d", 0.905), best], best, 400)
    assert text == (
        "iteration 3: a hold-out of 400 images does not tell 2 of 3 other proposals from the picked one: a scores "
        "0.9000 with a standard error of 0.0150, d 0.9050; about 3600 images would tell these two apart "
        "(setting holdout)"
    )


def test_one_image_is_within_the_noise_and_so_many_images_are_not_said_to_be_enough() -> None:
    best = proposal("a", 1.0)
    text = not_told_apart([best, proposal("b", 0.98)], best, 50)
    assert text is not None
    assert text.endswith("b 0.9800; more than 50 images would tell these two apart (setting holdout)")


def test_a_tie_is_said_to_be_one() -> None:
    best = proposal("a", 1.0)
    text = not_told_apart([best, replace(proposal("b", 1.0), relative_reduction=0.1)], best, 36)
    assert text is not None
    assert text.endswith("a scores 1.0000 with a standard error of 0.0278, b scores the same")


@pytest.mark.parametrize(("accuracy", "other"), [(0.9, 0.89), (1.0, 0.99), (0.5, 0.4999), (0.9, 0.95)])
def test_the_holdout_that_is_asked_for_is_the_smallest_that_would_do(accuracy: float, other: float) -> None:
    images = images_to_tell_apart(accuracy, other)
    distance = abs(accuracy - other)
    assert standard_error(accuracy, images) <= distance * (1 + 1e-6)
    assert standard_error(accuracy, images - 1) > distance * (1 - 1e-6)
    assert math.isfinite(images)
