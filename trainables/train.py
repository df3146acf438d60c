"""The training story: one run, from its configuration to its last epoch record. No Ray, no HTTP.

Shapes: B batch (over all workers).
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from spec.records import EXAMPLES, RunFacts, RunState
from spec.run import RunConfig
from spec.seeds import stream_seed
from trainables.checkpoint import Checkpoint, SharedPrefixes
from trainables.evaluate import evaluate, fit_examples, predict
from trainables.image_data.examples import Splits, load_splits
from trainables.learner import Learner, build_learner
from trainables.memory import keep_freed_memory
from trainables.methods._base import Batch, Predictions
from trainables.optimizers._base import SCHEDULES
from trainables.precision import make_repeatable
from trainables.reporting import Reporter
from trainables.world import World


@dataclass(frozen=True)
class Folders:
    """Absolute paths: `data` is where data sets lie, `run` is the run's own folder, `prefixes` is where runs of its grid leave states."""

    data: Path
    run: Path
    prefixes: Path | None = None


def execute(run: RunConfig, folders: Folders, reporter: Reporter, world: World, shared: Collection[int] = ()) -> RunState:
    """Train a run from wherever its last checkpoint left it; gives DONE, or CANCELLED where somebody asked for it.

    Every worker calls this; the first one's reporter is heard, and it alone writes checkpoints. After the epochs `shared`
    the run's state is that of other runs of its grid, too: it is taken up where one of them was there before, and left for them.
    """
    keep_freed_memory()
    make_repeatable(world.device)
    splits = load_splits(run, folders.data, world.device)
    world.check_same(splits.label_card.noisy_hash, "their noisy labels")
    learner = build_learner(run, splits, world)
    prefixes = SharedPrefixes(folders.prefixes, run, folders.run, shared) if folders.prefixes else None
    checkpoint = Checkpoint(folders.run / "checkpoint.pt", run, prefixes)
    epochs_done = checkpoint.restore(learner)
    inherited = prefixes.take_up(learner) if prefixes and not epochs_done else {}
    world.check_same(str(epochs_done + len(inherited)), "their number of epochs done")
    reporter.started(facts_of(splits, learner, world, epochs_done, len(inherited)))
    reporter.inherited(inherited)
    state = train(run, splits, learner, reporter, checkpoint, world, epochs_done + len(inherited))
    if run.measure.examples and state is RunState.DONE:
        fits = fit_examples(learner.models, splits.train, world)
        if world.rank == 0:
            fits.write(folders.run / EXAMPLES)
    return state


def facts_of(splits: Splits, learner: Learner, world: World, epochs_done: int, epochs_inherited: int) -> RunFacts:
    """What is told of a run before its first epoch."""
    return RunFacts(
        labels=splits.label_card,
        num_train=len(splits.train),
        num_validation=len(splits.validation or ()),
        num_test=len(splits.test),
        num_parameters=learner.num_parameters,
        device=str(world.device),
        resumed_from=epochs_done,
        forked_after=epochs_inherited,
    )


def train(
    run: RunConfig, splits: Splits, learner: Learner, reporter: Reporter, checkpoint: Checkpoint, world: World, epochs_done: int
) -> RunState:
    """The epochs after `epochs_done`. A record is durable before the checkpoint that follows it, so none is ever skipped."""
    model = world.wrap(learner.model)
    for epoch in range(epochs_done + 1, run.epochs + 1):
        if world.any(reporter.stop_requested):
            return RunState.CANCELLED
        began = time.perf_counter()
        objective = train_epoch(run, splits, learner, model, epoch, world)
        trained = time.perf_counter()
        # Each worker has its own batch-norm statistics; the first one's are the run's.
        world.copy_first(buffer for measured in learner.models.values() for buffer in measured.buffers())
        metrics = evaluate(learner.models, splits, world)
        seconds = {"train_seconds": trained - began, "evaluate_seconds": time.perf_counter() - trained}
        if world.rank == 0:
            reporter.epoch(epoch, {"objective": objective, "learning_rate": learner.optimizer.param_groups[0]["lr"], **metrics, **seconds})
            checkpoint.save(epoch, learner)
    return RunState.DONE


def train_epoch(run: RunConfig, splits: Splits, learner: Learner, model: nn.Module, epoch: int, world: World) -> float:
    """One pass over the training set; gives the mean loss as optimised, over all workers."""
    method, optimizer = learner.method, learner.optimizer
    examples = splits.train.of_epoch(stream_seed("draw", run.seeds.order, epoch))
    augment_seed = stream_seed("augment", run.seeds.augment, epoch) if run.augmentation == "standard" else None
    index_M = examples.index_M.to(world.device)
    method.start_epoch(epoch, lambda: Predictions(predict(learner.teacher, examples, world, augment_seed), index_M))
    model.train()
    batches = batches_of(examples.shuffled(stream_seed("order", run.seeds.order, epoch)), run.batch_size, world.size)
    shares = [world.share(index_B) for index_B in batches]
    loss_sum = torch.zeros((), device=world.device)
    for step, (index_B, images_BCHW) in enumerate(examples.images_of(shares, world.device, augment_seed)):
        set_learning_rate(run, learner, progress=epoch - 1 + step / len(batches))
        losses_B = method.losses(model, Batch(images_BCHW, examples.given_N[index_B], index_B))
        # Workers' gradients are averaged, so this is the mean over the whole batch, whatever each one's share of it.
        loss = losses_B.sum() * (world.size / len(batches[step]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if learner.average is not None:
            learner.average.update()
        method.after_step(learner.model)
        loss_sum += losses_B.detach().sum()
    method.end_epoch()
    return world.sum(loss_sum).item() / len(examples)


def batches_of(order_N: Tensor, batch_size: int, workers: int) -> list[Tensor]:
    """Consecutive batches; a last one too small to give every worker an example joins the one before it."""
    batches = list(order_N.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) < workers:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def set_learning_rate(run: RunConfig, learner: Learner, progress: float) -> None:
    """The schedule's learning rate at `progress` epochs, in fractions."""
    factor = SCHEDULES[run.schedule.name](run.schedule, progress, run.epochs)
    for group in learner.optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
