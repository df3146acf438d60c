"""The synthetic kinds against a second implementation: loops over NumPy's Mersenne Twister, without torch's generators."""

import numpy as np
import pytest
import torch

from noise._base import NOISES, CleanLabels
from noise.labels import corrupt
from spec.run import Split
from spec.seeds import stream_seed
from trainables.image_data.splits import split_indices

SEED = 11
CLEAN = [0, 1, 2, 0, 1, 2, 2, 2, 1, 0, 1, 0, 0, 2, 1, 1, 0, 2, 2, 0, 1, 0, 2, 1, 0, 0, 0, 1, 2, 2, 1, 0, 1] * 7


class Doubles:
    """The stream of 53-bit numbers in [0, 1) that a seed stands for."""

    def __init__(self, name: str) -> None:
        # A 64-bit seed's low half starts the Twister, as in torch.
        self.words = np.random.RandomState(stream_seed(name, SEED) & 0xFFFFFFFF)

    def take(self, count: int) -> list[float]:
        words = [int(word) for word in self.words.randint(0, 2**32, size=2 * count, dtype=np.uint64)]
        return [((high << 32 | low) % 2**53) / 2**53 for high, low in zip(words[::2], words[1::2], strict=True)]


def smallest(scores: list[float], members: list[int], count: int) -> set[int]:
    return set(sorted(members, key=lambda i: scores[i])[:count])


def selected(scores: list[float], rate: float, count: str) -> set[int]:
    everyone = list(range(len(CLEAN)))
    if count == "bernoulli":
        return {i for i in everyone if scores[i] < rate}
    if count == "exact":
        return smallest(scores, everyone, round(rate * len(CLEAN)))
    classes = [[i for i in everyone if CLEAN[i] == label] for label in range(3)]
    return set().union(*(smallest(scores, members, round(rate * len(members))) for members in classes))


def reference(name: str, rate: float, count: str) -> list[int]:
    doubles = Doubles("label")
    chosen = selected(doubles.take(len(CLEAN)), rate, count)
    noisy = list(CLEAN)
    for i, number in enumerate(doubles.take(len(CLEAN))):
        wrong = {
            "symmetric": (CLEAN[i] + 1 + int(number * 2)) % 3,
            "uniform": int(number * 3),
            "pair": (CLEAN[i] + 1) % 3,
        }
        noisy[i] = wrong[name] if i in chosen else CLEAN[i]
    return noisy


@pytest.mark.parametrize("count", ["bernoulli", "exact", "exact_per_class"])
@pytest.mark.parametrize("rate", [0.1, 0.45, 0.9])
@pytest.mark.parametrize("name", ["symmetric", "uniform", "pair"])
def test_kinds_agree_with_loops_over_another_generator(name, rate, count):
    clean = CleanLabels(torch.tensor(CLEAN), ["a", "b", "c"])
    noisy = corrupt(clean, NOISES.params(name)(rate=rate, count=count), SEED)
    assert noisy.noisy_N.tolist() == reference(name, rate, count)


def test_replaced_images_agree_with_loops_over_another_generator():
    doubles = Doubles("label")
    scores, keys = doubles.take(len(CLEAN)), doubles.take(500)
    by_score = sorted(smallest(scores, list(range(len(CLEAN))), round(0.3 * len(CLEAN))), key=lambda i: scores[i])
    shuffled = sorted(range(500), key=lambda j: keys[j])
    clean = CleanLabels(torch.tensor(CLEAN), ["a", "b", "c"], count_images=lambda source: 500)
    replaced = corrupt(clean, NOISES.params("openset")(rate=0.3), SEED).replaced
    assert replaced is not None
    given = dict(zip(replaced.index_in_train_M.tolist(), replaced.index_in_source_M.tolist(), strict=True))
    assert given == dict(zip(by_score, shuffled[: len(by_score)], strict=True))


def test_splits_agree_with_loops_over_another_generator():
    labels = [i % 4 for i in range(80)]
    scores = Doubles("split").take(80)
    validation, train = set(), set()
    for label in range(4):
        members = sorted((i for i in range(80) if labels[i] == label), key=lambda i: scores[i])
        validation.update(members[:5])
        train.update(members[5:12])
    given = split_indices(torch.tensor(labels), Split(validation=0.25, train_size=28), SEED)
    assert (given[0].tolist(), given[1].tolist()) == (sorted(train), sorted(validation))
