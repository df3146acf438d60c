"""Result folders of re-sln (mark-antal-csizmadia/re-sln, 2021), read as runs in this project's words.

Read are `configs/EXP/config.yml` with the TensorBoard files in `runs/EXP/`, the trials of its Ray Tune searches in `hp/`, and the label
files in `data/`. An EMA run of the program evaluated its average alone, a run without EMA its raw model alone.

Left out are losses of noisy and clean examples in searches, which the program took with the mask of another split. Its training accuracy is
of augmented images while they were trained on, which `train_accuracy` here is not: it has a name of its own.
"""

import csv
import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from google.protobuf.message import DecodeError
from tensorboardX.proto.event_pb2 import Event

from noise._base import NOISES, CleanLabels, Corruption
from noise._maps import CIFAR10
from noise.labels import corrupt, describe
from spec.records import LabelCard
from spec.seeds import SEED_LIMIT, stream_seed
from trainables.grid_files import read_mapping

NUM_CLASSES = {"cifar10": 10, "cifar100": 100}
NUM_TEST = 10_000
# What the program fixes in its source.
MODEL = {"name": "wide_resnet", "depth": 28, "widen_factor": 2}
OPTIMIZER = {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4}
EMA_DECAY = 0.999
SEARCH = {"n_epochs": 300, "batch_size": 128, "lr": 0.001, "seed": 123, "mo": False, "lc_n_epoch": -1, "p": 0.4}
SEARCH_VALIDATION = 0.1
# Tag of the program, by folder below the run's own: metric here, of the model that the program evaluated.
TAGS = {
    ("", "accuracy/test"): "test_accuracy",
    ("", "loss/test"): "test_loss",
    ("", "accuracy/train"): "augmented_train_accuracy",
    ("loss_train_all", "loss/train"): "objective",
    ("loss_train_noisy", "loss/train"): "corrupt_objective",
    ("loss_train_clean", "loss/train"): "pristine_objective",
}
TRIAL_COLUMNS = {
    "accuracy_val": "validation_accuracy",
    "loss_val": "validation_loss",
    "loss_train": "objective",
    "accuracy_train": "augmented_train_accuracy",
}
OF_EVALUATED_MODEL = ("test_accuracy", "test_loss")


@dataclass(frozen=True)
class ForeignRun:
    """A finished run of the program: `shared` is what its grid's base holds, `own` what sets it apart."""

    name: str
    shared: dict[str, Any]
    own: dict[str, Any]
    epochs: dict[int, dict[str, float]]
    labels: LabelCard


@dataclass
class Found:
    """What a folder holds: runs, and why others were left out."""

    runs: list[ForeignRun] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class UnusableError(ValueError):
    """A run that cannot be taken over; the message says why."""


def read_folder(folder: Path, searches: Mapping[str, str]) -> Found:
    """Every finished run below a folder of the program.

    `searches` says which labels a search (a folder in `hp/`) had, which its own files do not: name -> e.g. `cifar10-sym0.4_custom`.
    """
    found = Found()
    for file in sorted(folder.glob("configs/*/config.yml")):
        _take(found, file.parent.name, partial(_experiment, folder, file))
    for file in sorted(folder.glob("hp/*/*/progress.csv")):
        _take(found, file.parent.name, partial(_trial, folder, file, searches))
    return found


def scalars(file: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of each scalar in a TensorBoard event file."""
    for event in events(file):
        yield from ((value.tag, event.step, value.simple_value) for value in event.summary.value if value.HasField("simple_value"))


def events(file: Path) -> Iterator[Event]:
    """The events of a TensorBoard event file; what was cut off at its end is left out.

    A record is a length (8 bytes), its checksum (4), the message, its checksum (4): https://www.tensorflow.org/tutorials/load_data/tfrecord
    """
    content = file.read_bytes()
    place = 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        message = content[place + 12 : place + 12 + length]
        if len(message) < length:
            return
        try:
            yield Event.FromString(message)
        except DecodeError:
            raise UnusableError(f"{file} is not a TensorBoard event file, or is damaged") from None
        place += 16 + length


def _take(found: Found, name: str, read: Callable[[], ForeignRun]) -> None:
    try:
        found.runs.append(read())
    except (KeyError, ValueError, OSError) as error:
        found.left_out.append(f"{name}: {f'{error} is missing' if isinstance(error, KeyError) else error}")


def _experiment(folder: Path, file: Path) -> ForeignRun:
    config = read_mapping(file)
    if config["dataset_name"] not in NUM_CLASSES:
        raise UnusableError(f"which labels runs on {config['dataset_name']!r} had is not in their files: only CIFAR's are read")
    epochs = _measured(folder / "runs" / file.parent.name, "ema_" if config["mo"] else "")
    labels = f"{config['dataset_name']}-{config['noise_mode']}{config['p']:.1f}{'_custom' if config['custom_noise'] else ''}"
    return _run(folder, file.parent.name, config, labels, epochs, 0.0)


def _measured(folder: Path, prefix: str) -> dict[int, dict[str, float]]:
    """Metrics by epoch from a run's event files; those of the evaluated model get the prefix."""
    epochs: dict[int, dict[str, float]] = {}
    for (below, tag), metric in TAGS.items():
        name = f"{prefix}{metric}" if metric in OF_EVALUATED_MODEL else metric
        for events in sorted((folder / below).glob("events.out.tfevents.*")):
            for found, step, value in scalars(events):
                if found == tag:
                    epochs.setdefault(step, {})[name] = value
    return epochs


def _trial(folder: Path, file: Path, searches: Mapping[str, str]) -> ForeignRun:
    search, name = file.parent.parent.name, file.parent.name
    if search not in searches:
        raise UnusableError(f"its files do not say which labels it had: give --search {search}=cifar10-sym0.4, or whatever they were")
    # Some trials' params.json were not kept; the folder's name has its only parameter, too.
    params = file.with_name("params.json")
    sigma = json.loads(params.read_text())["sigma"] if params.is_file() else float(name.partition("sigma=")[2].partition("_")[0])
    with file.open(newline="") as rows:
        epochs = {
            int(row["training_iteration"]): {metric: float(row[column]) for column, metric in TRIAL_COLUMNS.items()}
            for row in csv.DictReader(rows)
        }
    dataset = searches[search].partition("-")[0]
    return _run(folder, name, {**SEARCH, "dataset_name": dataset, "sigma": sigma}, searches[search], epochs, SEARCH_VALIDATION)


def _run(
    folder: Path, name: str, config: dict[str, Any], labels: str, epochs: dict[int, dict[str, float]], validation: float
) -> ForeignRun:
    if sorted(epochs) != list(range(1, config["n_epochs"] + 1)):
        raise UnusableError(f"it has {len(epochs)} of {config['n_epochs']} epochs")
    noise, card = _labels(folder, labels, config)
    method = {"name": "sln", "sigma": config["sigma"], "correct_from": config["lc_n_epoch"] if config["lc_n_epoch"] > 0 else None}
    shared = {
        "dataset": config["dataset_name"],
        "split": {"validation": validation},
        "model": MODEL,
        "optimizer": {**OPTIMIZER, "lr": config["lr"]},
        "epochs": config["n_epochs"],
        "batch_size": config["batch_size"],
    }
    # The same configuration here gives other numbers: this run's seed is its name, so that it is never taken for one of ours.
    seed = stream_seed(f"re-sln {name}", config["seed"]) % SEED_LIMIT
    own = {"noise": noise, "method": method, "ema": {"decay": EMA_DECAY} if config["mo"] else None, "seed": seed}
    return ForeignRun(name, shared, own, epochs, card)


def _labels(folder: Path, labels: str, config: Mapping[str, Any]) -> tuple[dict[str, Any], LabelCard]:
    """The `noise` that stands for a set of labels, and what its file holds."""
    dataset, _, name = labels.partition("-")
    if dataset not in NUM_CLASSES:
        raise UnusableError(f"there is no data set {dataset!r} here")
    file = folder / "data" / dataset / "label_noisy" / f"{name}.csv"
    if not file.is_file():
        raise UnusableError(f"its label file {file} is missing")
    with file.open(newline="") as rows:
        table = [(int(row["label"]), row["label_noisy"]) for row in csv.DictReader(rows)]
    names = CIFAR10 if dataset == "cifar10" else [str(label) for label in range(NUM_CLASSES[dataset])]
    clean = CleanLabels(torch.tensor([label for label, _ in table]), names, count_images=lambda source: 50_000)
    if name.startswith("openset"):
        return _replaced(clean, [given == "True" for _, given in table], config, file)
    noise = {"name": "recorded", "path": f"sln_labels/{labels}.csv", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    return noise, describe(clean, Corruption(torch.tensor([int(given) for _, given in table])), "recorded", None).card


def _replaced(clean: CleanLabels, is_replaced: list[bool], config: Mapping[str, Any], file: Path) -> tuple[dict[str, Any], LabelCard]:
    """The file says which images were replaced, and not by which: those are drawn again."""
    noise = {"name": "re_sln", "mode": "openset", "rate": config["p"], "seed": config["seed"]}
    drawn = corrupt(clean, NOISES.params("re_sln").model_validate(noise), seed=0)
    if drawn.is_corrupted_N.tolist() != is_replaced:
        raise UnusableError(f"{file} names other images than its program draws with seed {config['seed']}")
    return noise, drawn.card
