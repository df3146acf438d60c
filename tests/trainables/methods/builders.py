"""Methods without a run, and networks whose logits are known."""

import torch
from torch import Tensor, nn

from spec.seeds import Seeds
from trainables.methods._base import METHODS, Batch, Labels, Method, Predictions

# Three classes, four examples.
GIVEN_N = torch.tensor([0, 1, 2, 1])
INDEX = torch.arange(4)


def make(name: str, labels: Labels | None = None, **params: object) -> Method:
    return METHODS[name](METHODS.params(name)(**params), labels or Labels(GIVEN_N, num_classes=3, train_index=INDEX), Seeds())


def batch_of(index_B: Tensor, images_BCHW: Tensor | None = None) -> Batch:
    images = torch.zeros(len(index_B), 1, 1, 1) if images_BCHW is None else images_BCHW
    return Batch(images, GIVEN_N[index_B], index_B)


def never() -> Predictions:
    raise AssertionError("no prediction is needed yet")


class Says(nn.Module):
    """A network that gives the probabilities it was made with, whatever it sees."""

    def __init__(self, *rows: list[float]) -> None:
        super().__init__()
        self.logits_BK = nn.Parameter(torch.tensor(rows).log())

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.logits_BK
