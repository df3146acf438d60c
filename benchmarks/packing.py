"""Several runs on one device at once: in processes, in threads of one process, or stacked into one network by torch.func.

All train SLN, as `trainables.train` does. The figure is steps per second of all runs together; the reference trains one run after the
other with all threads. Stacked, the k networks are one with a leading dimension of size k, so that every operation is done once for
all of them (`torch.func.vmap`): in float32 alone, for vmap knows no autocast.

    python -m benchmarks.packing --model wide_resnet [--runs 4] [--precision bfloat16] [--quick] [--out packing.json]
"""

import argparse
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy, deepcopy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.report import Apart, interleaved, print_report, ratio_rows
from benchmarks.train_step import our_epochs, prepared, steps_per_second
from spec.run import RunConfig
from spec.seeds import stream_seed
from trainables.learner import Learner, build_learner
from trainables.methods._base import Batch, cross_entropies
from trainables.methods.sln import SLN
from trainables.optimizers._base import OPTIMIZERS
from trainables.train import batches_of
from trainables.world import World

REFERENCE = "one run after the other"


def sharing(arguments: argparse.Namespace) -> list[argparse.Namespace]:
    """What each of the runs is told: its share of the threads."""
    share = copy(arguments)
    share.threads = max(1, arguments.threads // arguments.runs)
    return [share] * arguments.runs


def at_once(contestants: list[Callable[[], float]], pool: ThreadPoolExecutor, steps: int) -> float:
    """Steps per second of all together."""
    return steps_per_second(lambda: list(pool.map(lambda contestant: contestant(), contestants)), steps * len(contestants))


def threads_epochs(arguments: argparse.Namespace) -> Iterator[float]:
    """Every run in a thread of this process."""
    runs = [our_epochs(share).__next__ for share in sharing(arguments)]
    for begin in runs:
        # The global random generator is drawn from, so one at a time.
        begin()
    with ThreadPoolExecutor(arguments.runs) as pool:
        while True:
            yield at_once(runs, pool, arguments.steps)


def stacked_epochs(arguments: argparse.Namespace) -> Iterator[float]:
    """All runs as one network."""
    run, splits, world = prepared(arguments)
    learners = [build_learner(run, splits, world) for _ in range(arguments.runs)]
    step = stacked_step(run, learners)
    for epoch in itertools.count(1):
        for learner in learners:
            learner.method.start_epoch(epoch, lambda: None)  # type: ignore[arg-type, return-value]
        batches = batches_of(splits.train.shuffled(stream_seed("order", 0, epoch)), run.batch_size, workers=1)
        augment_seed = stream_seed("augment", 0, epoch)

        def train() -> None:
            feeds = [splits.train.images_of(batches, world.device, augment_seed) for _ in learners]  # noqa: B023
            for pairs in zip(*feeds, strict=True):
                step([Batch(images_BCHW, splits.train.given_N[index_B], index_B) for index_B, images_BCHW in pairs])

        yield steps_per_second(train, arguments.steps * len(learners))


def stacked_step(run: RunConfig, learners: list[Learner]) -> Callable[[list[Batch]], None]:
    """A training step of all learners at once, each on its own batch; their own weights are left as they were."""
    parameters, buffers = stack_module_state([learner.model for learner in learners])  # type: ignore[arg-type]
    shell = deepcopy(learners[0].model).to("meta")
    optimizer = OPTIMIZERS[run.optimizer.name](parameters.values(), run.optimizer)

    def loss(own: dict[str, Tensor], statistics: dict[str, Tensor], images_BCHW: Tensor, targets_BK: Tensor) -> Tensor:
        return cross_entropies(functional_call(shell, (own, statistics), images_BCHW), targets_BK).mean()

    gradients = vmap(grad(loss))

    def step(batches: list[Batch]) -> None:
        targets = torch.stack([cast(SLN, learner.method).targets(batch) for learner, batch in zip(learners, batches, strict=True)])
        images = torch.stack([batch.images_BCHW for batch in batches])
        for name, gradient in gradients(parameters, buffers, images, targets).items():
            parameters[name].grad = gradient
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small_cnn", help="any registered network with its defaults")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20, help="steps of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=os.cpu_count() or 1, help="runs at once")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of all runs together")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it works")
    parser.add_argument("--out", type=Path, help="write the report as JSON here")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.rounds, arguments.runs = 2, 1, 2
    with ExitStack() as stack, ThreadPoolExecutor(arguments.runs) as pool:
        processes: list[Callable[[], float]] = [stack.enter_context(Apart(our_epochs, share)) for share in sharing(arguments)]
        contestants = {
            REFERENCE: stack.enter_context(Apart(our_epochs, arguments)),
            "a process for each run": lambda: at_once(processes, pool, arguments.steps),
            "a thread for each run": stack.enter_context(Apart(threads_epochs, arguments)),
        }
        if arguments.precision == "float32":
            contestants["stacked"] = stack.enter_context(Apart(stacked_epochs, arguments))
        interleaved(contestants, rounds=1)
        rows = ratio_rows(interleaved(contestants, arguments.rounds), REFERENCE, "steps_per_second")
    settings = {name: value for name, value in vars(arguments).items() if name != "out"}
    print_report(f"{arguments.runs} runs of {arguments.model} on {World.alone().device}", rows, arguments.out, **settings)


if __name__ == "__main__":
    main()
