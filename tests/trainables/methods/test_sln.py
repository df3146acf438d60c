"""SLN's noise and label correction against hand-computed values."""

import pytest
import torch
from pydantic import ValidationError

from spec.seeds import Seeds
from trainables.methods._base import METHODS, Batch, Labels, Method, Predictions
from trainables.methods.sln import corrected_targets

GIVEN_N = torch.tensor([0, 1, 2, 1])
INDEX = torch.arange(4)
IMAGES = torch.zeros(4, 1, 1, 1)


def sln(labels: Labels | None = None, seed: int = 0, **params: object) -> Method:
    labels = labels or Labels(GIVEN_N, num_classes=3, train_index=INDEX)
    return METHODS["sln"](METHODS.params("sln")(**params), labels, Seeds(target_noise=seed))


def never() -> Predictions:
    raise AssertionError("no prediction is needed before the correction starts")


def test_without_sigma_the_targets_are_cross_entropys():
    method, ce = sln(sigma=0.0), Method(None, Labels(GIVEN_N, 3, INDEX), Seeds())
    method.start_epoch(1, never)
    batch = Batch(IMAGES, GIVEN_N, INDEX)
    torch.testing.assert_close(method.targets(batch), ce.targets(batch))


def test_noise_has_mean_zero_and_standard_deviation_sigma():
    labels = Labels(torch.zeros(20_000, dtype=torch.long), 10, torch.arange(20_000))
    method = sln(labels, sigma=0.5)
    method.start_epoch(1, never)
    noise = method.targets(Batch(IMAGES, labels.given_N, labels.train_index)) - torch.eye(10)[0]
    assert noise.mean().abs() < 4 * 0.5 / 200_000**0.5
    assert noise.std() == pytest.approx(0.5, rel=0.01)


def test_noise_belongs_to_the_example_whatever_the_batch():
    method = sln(sigma=1.0)
    method.start_epoch(3, never)
    whole = method.targets(Batch(IMAGES, GIVEN_N, INDEX))
    parts = [method.targets(Batch(IMAGES[:2], GIVEN_N[i], i)) for i in (torch.tensor([3, 1]), torch.tensor([0, 2]))]
    torch.testing.assert_close(torch.cat(parts), whole[[3, 1, 0, 2]])


def test_noise_is_fresh_in_every_epoch_and_follows_its_seed():
    draws = []
    for seed, epoch in [(0, 1), (0, 2), (1, 1), (0, 1)]:
        method = sln(sigma=1.0, seed=seed)
        method.start_epoch(epoch, never)
        draws.append(method.targets(Batch(IMAGES, GIVEN_N, INDEX)))
    torch.testing.assert_close(draws[0], draws[3])
    assert not torch.allclose(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2])


def test_the_highest_loss_keeps_its_given_label_and_the_lowest_takes_the_prediction():
    # Two classes; losses against the given labels: log(1 + e^-2), log(1 + e^2) and log 2.
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    given = torch.eye(2)[[0, 1, 1]]
    targets = corrected_targets(logits, given, given, "hard")
    torch.testing.assert_close(targets[0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(targets[1], torch.tensor([0.0, 1.0]))
    low, high, middle = (torch.log1p(torch.tensor(x).exp()) for x in (-2.0, 2.0, 0.0))
    weight = (middle - low) / (high - low)
    torch.testing.assert_close(targets[2], torch.stack([1 - weight, weight]))


def test_soft_correction_mixes_in_the_probabilities():
    logits = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    given = torch.eye(2)[[0, 0]]
    targets = corrected_targets(logits, given, given, "soft")
    torch.testing.assert_close(targets, torch.stack([logits[0].softmax(0), given[1]]))


def test_where_all_losses_are_equal_labels_stay_as_given():
    given = torch.eye(3)
    torch.testing.assert_close(corrected_targets(torch.zeros(3, 3), given, given, "hard"), given)


def test_the_second_correction_weighs_against_the_first_ones_targets():
    method = sln(sigma=1.0, correct_from=2)
    method.start_epoch(1, never)
    logits = torch.tensor([[4.0, 0, 0], [0, 1.0, 0], [1.0, 0, 0], [0, 0, 3.0]])
    batch = Batch(IMAGES, GIVEN_N, INDEX)
    given = torch.eye(3)[GIVEN_N]
    method.start_epoch(2, lambda: Predictions(logits, INDEX))
    first = corrected_targets(logits, given, given, "hard")
    torch.testing.assert_close(method.targets(batch), first)
    method.start_epoch(3, lambda: Predictions(logits, INDEX))
    torch.testing.assert_close(method.targets(batch), corrected_targets(logits, first, given, "hard"))


# Two classes, three examples, all given class 0, of which the model thinks with these probabilities that they are of class 0.
# Each is a quarter of the one before: the losses are evenly spaced, and the weights against the given labels 0, 1/2 and 1.
ALL_ZERO = Labels(torch.zeros(3, dtype=torch.long), num_classes=2, train_index=torch.arange(3))
SURE = torch.tensor([0.8, 0.2, 0.05])
# The share of class 0 in each target, by hand. Hard: 0 + 1, 1/2 + 0, 1 + 0; soft: 0 + 0.8, 1/2 + 0.2 / 2, 1 + 0.
HARD, SOFT = [1.0, 0.5, 1.0], [0.8, 0.6, 1.0]
# Against (1/2, 1/2), the second one's loss is -log sqrt(0.2 * 0.8) = -log 0.4: a quarter of the way from -log 0.8 to -log 0.05.
HARD_AGAIN = [1.0, 0.25, 1.0]


@pytest.mark.parametrize(
    ("variant", "first", "once", "twice"),
    [("paper", 251, HARD, HARD_AGAIN), ("re_sln", 250, HARD, HARD_AGAIN), ("clothing1m", 2, SOFT, SOFT)],
)
def test_a_variant_begins_and_corrects_as_its_program_does(variant: str, first: int, once: list[float], twice: list[float]):
    method = sln(ALL_ZERO, sigma=0.3, variant=variant)
    batch = Batch(IMAGES, ALL_ZERO.given_N, ALL_ZERO.train_index)
    method.start_epoch(first - 1, never)
    assert (method.targets(batch) - torch.tensor([1.0, 0.0])).std() > 0.05
    for epoch, share in ((first, once), (first + 1, twice)):
        logits = torch.stack([SURE, 1 - SURE], dim=1).log()
        method.start_epoch(epoch, lambda logits=logits: Predictions(logits, ALL_ZERO.train_index))
        torch.testing.assert_close(method.targets(batch), torch.tensor([[s, 1 - s] for s in share]))


def test_what_is_given_goes_before_what_a_variant_fills_in():
    params = METHODS.params("sln")(variant="clothing1m", correct_from=5)
    assert (params.correct_from, params.correction, params.weigh_against) == (5, "soft", "given")
    assert METHODS.params("sln")(variant="paper", correct_from=None).correct_from is None


def test_a_variant_is_written_out_and_read_back_as_the_same():
    params = METHODS.params("sln")(variant="clothing1m")
    assert params.model_dump() == {
        **{"name": "sln", "sigma": 1.0, "variant": "clothing1m"},
        **{"correct_from": 2, "correction": "soft", "weigh_against": "given"},
    }
    assert METHODS.params("sln").model_validate(params.model_dump()) == params


@pytest.mark.parametrize("variant", ["official", 3, ["paper"]])
def test_an_unknown_variant_is_refused(variant: object):
    with pytest.raises(ValidationError, match="variant"):
        METHODS.params("sln")(variant=variant)


def test_examples_that_an_epoch_does_not_draw_keep_their_targets():
    method = sln(ALL_ZERO, sigma=0.0, correct_from=2)
    drawn = torch.tensor([2, 1])
    method.start_epoch(2, lambda: Predictions(torch.stack([SURE, 1 - SURE], dim=1).log()[drawn], drawn))
    targets = method.targets(Batch(IMAGES, ALL_ZERO.given_N, ALL_ZERO.train_index))
    torch.testing.assert_close(targets, torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))


def test_examples_outside_the_training_split_are_not_corrected():
    method = sln(Labels(GIVEN_N, 3, torch.tensor([0, 2])), sigma=0.0, correct_from=2)
    method.start_epoch(2, lambda: Predictions(torch.tensor([[0.0, 5.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 2])))
    torch.testing.assert_close(method.targets(Batch(IMAGES, GIVEN_N, INDEX))[[1, 3]], torch.eye(3)[[1, 1]])


def test_corrected_targets_survive_a_checkpoint():
    method, resumed = sln(correct_from=2), sln(correct_from=2)
    method.start_epoch(2, lambda: Predictions(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), INDEX))
    resumed.load_state_dict(method.state_dict())
    batch = Batch(IMAGES, GIVEN_N, INDEX)
    torch.testing.assert_close(resumed.targets(batch), method.targets(batch))
