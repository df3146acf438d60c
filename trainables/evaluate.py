"""Evaluation: what a model makes of each split. Every worker takes its share, and no example counts twice.

Shapes: B batch, M examples of a split, K classes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from spec.summary import MODELS
from trainables.image_data.examples import Examples, Splits
from trainables.measures.examples import COLUMNS, ExampleFits
from trainables.measures.fit import fit_of_each, fit_sums, loss_and_accuracy, pristine_and_corrupt
from trainables.world import World

BATCH_SIZE = 500


def evaluate(models: dict[str, nn.Module], splits: Splits, world: World) -> dict[str, float]:
    """Metrics of each model (prefix -> model) on every split, without augmentation."""
    return {f"{prefix}{name}": value for prefix, model in models.items() for name, value in _measure(model, splits, world).items()}


def _measure(model: nn.Module, splits: Splits, world: World) -> dict[str, float]:
    train = fit(model, splits.measured, world)
    metrics = loss_and_accuracy("train", train)
    # Where published labels are wrong in places, nobody knows which examples are pristine.
    if splits.label_card.truth_is_known:
        metrics |= pristine_and_corrupt(train)
    if splits.validation is not None:
        metrics |= loss_and_accuracy("validation", fit(model, splits.validation, world))
    return metrics | loss_and_accuracy("test", fit(model, splits.test, world))


def fit(model: nn.Module, examples: Examples, world: World) -> Tensor:
    """`measures.fit.fit_sums` over all examples of a split and all workers."""
    sums = [
        fit_sums(logits_BK, examples.given_N[index_B], examples.true_N[index_B]) for index_B, logits_BK in _logits(model, examples, world)
    ]
    # A worker's share may be empty; float64, which gloo and nccl can both add up.
    return world.sum(torch.stack(sums).sum(dim=0) if sums else torch.zeros(2, 4, dtype=torch.float64, device=world.device))


def fit_examples(models: dict[str, nn.Module], examples: Examples, world: World) -> ExampleFits:
    """What the raw model and its average make of each example of a split, on every worker."""
    fits = {prefix: _fit_each(models[prefix], examples, world) for prefix in MODELS if prefix in models}
    index_M = examples.index_M.to(world.device)
    return ExampleFits.of(index_M, examples.given_N[index_M], examples.true_N[index_M], fits)


def _fit_each(model: nn.Module, examples: Examples, world: World) -> Tensor:
    """`measures.fit.fit_of_each` (M, 3) of a split, in its order."""
    fits = [fit_of_each(logits_BK, examples.given_N[index_B]) for index_B, logits_BK in _logits(model, examples, world)]
    return world.join(torch.cat(fits) if fits else torch.zeros(0, len(COLUMNS), device=world.device))


def predict(model: nn.Module, examples: Examples, world: World, augment_seed: int | None = None) -> Tensor:
    """Logits (M, K) of every example of a split, in the split's order, on every worker."""
    return world.join(torch.cat([logits_BK for _, logits_BK in _logits(model, examples, world, augment_seed)]))


@torch.inference_mode()
def _logits(model: nn.Module, examples: Examples, world: World, augment_seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    model.eval()
    share = world.share(examples.index_M)
    batches = list(share.split(BATCH_SIZE)) if len(share) else []
    for index_B, images_BCHW in examples.images_of(batches, world.device, augment_seed):
        yield index_B, model(images_BCHW)
