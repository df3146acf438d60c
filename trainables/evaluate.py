"""Evaluation: what a model makes of each split. Every worker takes its share, and no example counts twice.

Shapes: B batch, M examples of a split, K classes, P models.
"""

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from spec.summary import MODELS
from trainables.image_data.examples import Examples, Splits
from trainables.measures.examples import COLUMNS, ExampleFits
from trainables.measures.fit import fit_of_each, fit_sums, loss_and_accuracy, pristine_and_corrupt
from trainables.world import World

BATCH_SIZE = 500


def evaluate(models: Mapping[str, nn.Module], splits: Splits, world: World) -> dict[str, float]:
    """Metrics of each model (prefix -> model) on every split, without augmentation."""
    train = fit(models, splits.measured, world)
    validation = fit(models, splits.validation, world) if splits.validation is not None else {}
    test = fit(models, splits.test, world)
    metrics: dict[str, float] = {}
    for prefix in models:
        own = loss_and_accuracy("train", train[prefix])
        # Where published labels are wrong in places, nobody knows which examples are pristine.
        if splits.label_card.truth_is_known:
            own |= pristine_and_corrupt(train[prefix])
        if validation:
            own |= loss_and_accuracy("validation", validation[prefix])
        own |= loss_and_accuracy("test", test[prefix])
        metrics |= {f"{prefix}{name}": value for name, value in own.items()}
    return metrics


def fit(models: Mapping[str, nn.Module], examples: Examples, world: World) -> dict[str, Tensor]:
    """`measures.fit.fit_sums` of each model over all examples of a split and all workers."""
    # A worker's share may be empty; float64, which gloo and nccl can both add up.
    sums_P24 = torch.zeros(len(models), 2, 4, dtype=torch.float64, device=world.device)
    for index_B, logits in _logits(models.values(), examples, world):
        given_B, true_B = examples.given_N[index_B], examples.true_N[index_B]
        sums_P24 += torch.stack([fit_sums(logits_BK, given_B, true_B) for logits_BK in logits])
    return dict(zip(models, world.sum(sums_P24), strict=True))


def fit_examples(models: Mapping[str, nn.Module], examples: Examples, world: World) -> ExampleFits:
    """What the raw model and its average make of each example of a split, on every worker."""
    own = {prefix: models[prefix] for prefix in MODELS if prefix in models}
    fits: list[Tensor] = [
        torch.stack([fit_of_each(logits_BK, examples.given_N[index_B]) for logits_BK in logits], dim=1)
        for index_B, logits in _logits(own.values(), examples, world)
    ]
    fits_MP3 = world.join(torch.cat(fits) if fits else torch.zeros(0, len(own), len(COLUMNS), device=world.device))
    index_M = examples.index_M.to(world.device)
    return ExampleFits.of(index_M, examples.given_N[index_M], examples.true_N[index_M], dict(zip(own, fits_MP3.unbind(1), strict=True)))


def predict(model: nn.Module, examples: Examples, world: World, augment_seed: int | None = None) -> Tensor:
    """Logits (M, K) of every example of a split, in the split's order, on every worker."""
    return world.join(torch.cat([logits_BK for _, [logits_BK] in _logits([model], examples, world, augment_seed)]))


@torch.inference_mode()
def _logits(
    models: Collection[nn.Module], examples: Examples, world: World, augment_seed: int | None = None
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """For each batch the indices and every model's logits. Images are read once: from files, that takes longer than a model does."""
    for model in models:
        model.eval()
    share = world.share(examples.index_M)
    batches = list(share.split(BATCH_SIZE)) if len(share) else []
    for index_B, images_BCHW in examples.images_of(batches, world.device, augment_seed):
        yield index_B, [model(images_BCHW) for model in models]
