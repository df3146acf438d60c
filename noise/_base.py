"""What every kind of noise is: a function from clean labels to noisy ones.

Shapes: N examples, K classes. Labels are int64 tensors on the CPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spec.registry import Registry


@dataclass(frozen=True)
class CleanLabels:
    """A training set's labels before corruption, in the data set's own order."""

    labels_N: Tensor
    class_names: Sequence[str]
    # Relative path of each image, for label files keyed by path; None where the data set has no files.
    paths: Sequence[str] | None = None
    # Folder that relative file names in parameters start from.
    root: Path = Path()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


# Called as kind(clean, params, generator); gives the noisy labels, int64 of shape (N,), and leaves the clean ones alone.
NoiseKind = Callable[[CleanLabels, Any, torch.Generator], Tensor]

NOISES: Registry[NoiseKind] = Registry("noise", package="noise")
