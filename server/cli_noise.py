"""`noisegrid noise`: label files in and out. Needs neither Ray nor the service."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.terminal import (
    DEFAULT_DATASET_ROOT,
    DEFAULT_SERVER,
    DatasetRoot,
    Server,
    command,
    connected,
    console,
    failure,
    inputs_from,
    new_table,
)
from spec.problems import InvalidInputError

if TYPE_CHECKING:
    from noise._base import CleanLabels
    from noise.files import LabelFile
    from spec.records import LabelCard
    from spec.registry import NamedParams

# More do not fit a terminal.
MAX_SHOWN_CLASSES = 20
PER_CENT_DIGITS = 3

noise_app = typer.Typer(help="Make, show, import and export label files.", no_args_is_help=True, rich_markup_mode="markdown")

LabelSource = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="a label file: .json, .csv, .pt or .npy")]
Dataset = Annotated[str, typer.Option("--dataset", help="a name, or a mapping as in a grid: '{name: cifar10, verify: false}'")]
OfDataset = Annotated[str | None, typer.Option("--dataset", help="the data set that the file is about; not needed for our own .json")]
Column = Annotated[str, typer.Option("--column", help="column or key of the noisy labels, such as worse_label")]
CleanColumn = Annotated[str | None, typer.Option("--clean-column", help="column or key of the clean labels, where it has another name")]
Out = Annotated[Path, typer.Option("--out", "-o", help="file to write")]
Force = Annotated[bool, typer.Option("--force", help="replace a file that holds something else")]


@command(
    noise_app,
    group="noise ",
    example="make --dataset cifar10 --noise '{name: symmetric, rate: 0.4}' --seed 0 --out sym.json\n"
    "make --dataset digits --noise '{name: pair, rate: 0.3, count: exact}' --out pair.json",
)
def make(
    dataset: Dataset,
    noise: Annotated[str, typer.Option("--noise", help="as in a grid: '{name: symmetric, rate: 0.4}'")],
    out: Out,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="the label seed (`seeds.label` of a run)")] = 0,
    data: DatasetRoot = DEFAULT_DATASET_ROOT,
    force: Force = False,
) -> None:
    """Corrupt a data set's labels as a run with this noise and label seed would, and write them with where they come from."""
    from noise._base import NOISES
    from trainables.grid_files import read_part
    from trainables.image_data._base import DATASETS
    from trainables.image_data.label_files import draw_labels

    with inputs_from("--noise"):
        params = read_part(noise, NOISES)
    with inputs_from("--dataset"):
        named = read_part(dataset, DATASETS)
    with _in_a_line():
        _write(out, draw_labels(named, params, seed, data.expanduser().absolute()), force)


@command(
    noise_app, group="noise ", example="show sym.json\nshow CIFAR-10_human.pt --column worse_label --dataset cifar10\nshow sym.json --csv"
)
def show(
    file: LabelSource,
    dataset: OfDataset = None,
    column: Column = "label_noisy",
    clean_column: CleanColumn = None,
    data: DatasetRoot = DEFAULT_DATASET_ROOT,
    csv: Annotated[
        bool, typer.Option("--csv", help="print the counts as CSV: a row for each clean class, a column for each given one")
    ] = False,
) -> None:
    """Show a label file's realised rate, overall and of each class, its counts of clean and given labels, and its hashes."""
    with _in_a_line():
        content = _read(file, dataset, column, clean_column, data)
    if csv:
        _print_counts_csv(content.card)
        return
    _print_facts(content)
    _print_classes(content.card)


@command(
    noise_app,
    "import",
    group="noise ",
    example="import CIFAR-10_human.pt --dataset cifar10 --column worse_label --out worse.json\n"
    "import cifar10-sym0.4.csv --dataset cifar10 --out sym.json\n"
    "import noisy.npy --clean clean.npy --dataset cifar10 --out mine.json",
)
def import_labels(
    file: LabelSource,
    dataset: Dataset,
    out: Out,
    column: Column = "label_noisy",
    clean_column: CleanColumn = None,
    clean: Annotated[
        Path | None, typer.Option("--clean", exists=True, dir_okay=False, help=".npy with the clean labels, where FILE has none")
    ] = None,
    trust_order: Annotated[
        bool, typer.Option("--trust-order", help="read a file without clean labels as being in the data set's order")
    ] = False,
    data: DatasetRoot = DEFAULT_DATASET_ROOT,
    force: Force = False,
) -> None:
    """Read others' labels, check them against the data set, and write them as a file that carries its own checks."""
    from noise._file_labels import Wanted
    from noise.importing import import_file

    with _in_a_line():
        named, labels = _data_set(dataset, data)
        content = import_file(file, Wanted(column, clean_column), labels, _values(named), clean_file=clean, trust_order=trust_order)
        _write(out, content, force)


@command(
    noise_app,
    group="noise ",
    example="export sym.json --out sym.csv\nexport CIFAR-10_human.pt --column worse_label --dataset cifar10 --out worse.npy",
)
def export(
    file: LabelSource,
    out: Annotated[Path, typer.Option("--out", "-o", help=".csv (columns label, label_noisy) or .npy (N x 2: clean, noisy) to write")],
    dataset: OfDataset = None,
    column: Column = "label_noisy",
    clean_column: CleanColumn = None,
    data: DatasetRoot = DEFAULT_DATASET_ROOT,
    force: Force = False,
) -> None:
    """Write a label file's labels for other programs, in the order of the data set."""
    from noise.files import WRITERS

    if out.suffix not in WRITERS:
        raise failure(f"labels are exported as .csv or .npy, got {out.name!r}")
    with _in_a_line():
        content = _read(file, dataset, column, clean_column, data)
        _write_bytes(out, WRITERS[out.suffix](content), force)
    console.print(f"wrote {out}: {content.card.num_examples:,} labels", soft_wrap=True)


@command(
    noise_app,
    group="noise ",
    example="dependent clean-run.yaml --rate 0.4 --out dependent.json\ndependent clean-run.yaml --rate 0.2 --out d.json --threads 4",
)
def dependent(
    run_file: Annotated[
        Path,
        typer.Argument(metavar="RUN.yaml", exists=True, dir_okay=False, help="a run with noise `clean`; its network's mistakes are used"),
    ],
    rate: Annotated[float, typer.Option("--rate", min=0, max=1, help="share of the labels to flip; exactly round(rate * N) are")],
    out: Out,
    data: DatasetRoot = DEFAULT_DATASET_ROOT,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    force: Force = False,
) -> None:
    """Train a network on clean labels, then flip the labels that it was nearest to getting wrong (Chen et al. 2021)."""
    import torch
    from rich.progress import track

    from trainables.grid_files import read_run
    from trainables.mistakes import dependent_labels
    from trainables.parts import RunConfig
    from trainables.world import World

    with inputs_from(run_file):
        run = read_run(run_file, RunConfig)
    torch.set_num_threads(threads)
    epochs = iter(track(range(run.epochs), "training", console=console))
    with _in_a_line():
        content = dependent_labels(run, rate, data.expanduser().absolute(), World.alone(), ended=lambda epoch: next(epochs, None))
        next(epochs, None)
        _write(out, content, force)


@command(noise_app, group="noise ", example="ledger\nledger --server http://lab:8642")
def ledger(server: Server = DEFAULT_SERVER) -> None:
    """Show every label vector that a run of the service was given, last used first, and how many runs and grids used it."""
    with connected(server) as client:
        entries = list(client.labels())
    table = new_table("labels", "data set", "noise", "seed", "realised", "corrupt", "runs", "grids", wrapped="noise")
    for entry in entries:
        noise = ", ".join(str(value) for value in entry.noise.values() if value is not None)
        corrupt = f"{entry.num_corrupt:,} of {entry.num_examples:,}"
        rate = "-" if entry.realised_rate is None else f"{entry.realised_rate:.5f}"
        facts = (entry.dataset["name"], noise, entry.label_seed, rate, corrupt, entry.num_runs, entry.num_grids)
        table.add_row(entry.noisy_hash[:16], *map(str, facts))
    console.print(table if entries else "no labels yet: a run's are noted when it starts")


@command(noise_app, group="noise ", example="fetch 3c5a5405 --out labels.json\nfetch 3c5a5405 --out labels.csv --server http://lab:8642")
def fetch(
    labels: Annotated[str, typer.Argument(metavar="HASH", help="the labels' hash or its beginning, as `noise ledger` and a run show it")],
    out: Annotated[Path, typer.Option("--out", "-o", help=".json (carries its own checks), .csv or .npy to write")],
    server: Server = DEFAULT_SERVER,
    force: Force = False,
) -> None:
    """Get the labels that runs of the service were given, drawn again from what made them and checked by their hash."""
    formats = [".json", ".csv", ".npy"]
    if out.suffix not in formats:
        raise failure(f"labels are written as {', '.join(formats)}, got {out.name!r}")
    with connected(server) as client, _in_a_line():
        noisy_hash = client.find_labels(labels)
        _write_bytes(out, client.label_file(noisy_hash, out.suffix[1:]), force)
    console.print(f"wrote {out}: {noisy_hash}", soft_wrap=True)


@contextmanager
def _in_a_line() -> Iterator[None]:
    """Says what is wrong with a file or a data set in one line."""
    try:
        yield
    except InvalidInputError:
        raise
    except (ValueError, OSError) as error:
        raise failure(str(error)) from None


def _data_set(dataset: str, data: Path) -> "tuple[NamedParams, CleanLabels]":
    from trainables.grid_files import read_part
    from trainables.image_data._base import DATASETS
    from trainables.image_data.examples import clean_labels

    with inputs_from("--dataset"):
        params = read_part(dataset, DATASETS)
    root = data.expanduser().absolute()
    return params, clean_labels(DATASETS[params.name](params, root), params, root)


def _read(file: Path, dataset: str | None, column: str, clean_column: str | None, data: Path) -> "LabelFile":
    """One of our own files, or another's as it would be imported."""
    from noise._file_labels import Wanted
    from noise.files import read_label_file
    from noise.importing import import_file

    if dataset is None:
        if file.suffix != ".json":
            raise ValueError(f"{file} has no class names and no checks of its own: say with --dataset what it is about")
        return read_label_file(file)
    named, clean = _data_set(dataset, data)
    return import_file(file, Wanted(column, clean_column), clean, _values(named))


def _values(params: "NamedParams") -> dict[str, Any]:
    return params.model_dump(mode="json")


def _write(out: Path, content: "LabelFile", force: bool) -> None:
    from noise.files import file_bytes

    _write_bytes(out, file_bytes(content), force)
    console.print(f"wrote {out}: {_headline(content.card)}", soft_wrap=True)


def _write_bytes(out: Path, content: bytes, force: bool) -> None:
    """Write a file whole. Labels that runs may refer to by name are not replaced by others unasked."""
    from noise.files import write_whole

    if out.exists() and not force and out.read_bytes() != content:
        raise ValueError(f"{out} is there already, with another content: choose another name, or replace it with --force")
    write_whole(out, content)


def _headline(card: "LabelCard") -> str:
    nominal = "" if card.noise_rate is None else f", nominal {card.noise_rate:g}"
    counted = f"{card.num_corrupt:,} of {card.num_examples:,}"
    if card.realised_rate is None:
        return f"{card.noise}{nominal}, changed {counted}; nobody knows how many of the published labels are wrong"
    return f"{card.noise}{nominal}, realised {card.realised_rate:.5f} ({counted})"


def _print_facts(content: "LabelFile") -> None:
    card, provenance = content.card, content.provenance
    seed = "" if provenance.label_seed is None else f", label seed {provenance.label_seed}, generator {provenance.generator_version}"
    facts = [_headline(card), f"noise         {json.dumps(provenance.noise)}{seed}", f"data set      {json.dumps(provenance.dataset)}"]
    if card.num_replaced:
        facts += [f"replaced      {card.num_replaced:,} images by others of {card.replaced_from}", f"replacement   {card.replacement_hash}"]
    facts += [f"clean labels  {card.clean_hash}", f"given labels  {card.noisy_hash}", *provenance.remarks]
    for fact in facts:
        console.print(fact, markup=False, highlight=False, soft_wrap=True)


def _print_classes(card: "LabelCard") -> None:
    """A row for each class: its rate, and what its examples are called."""
    shown = card.class_names if len(card.class_names) <= MAX_SHOWN_CLASSES else []
    table = new_table("clean class", "examples", "rate, %", *(f"as {name}" for name in shown))
    for name, row, rate in zip(card.class_names, card.counts, card.rate_by_class, strict=True):
        per_cent = "-" if rate is None else f"{100 * rate:.{PER_CENT_DIGITS}f}"
        table.add_row(name, f"{sum(row):,}", per_cent, *(f"{count:,}" for count in row[: len(shown)]))
    console.print(table)
    if not shown:
        console.print(f"{len(card.class_names)} classes: --csv prints the counts")


def _print_counts_csv(card: "LabelCard") -> None:
    from csv import writer

    rows = writer(sys.stdout)
    rows.writerow(["clean", *card.class_names])
    rows.writerows([name, *row] for name, row in zip(card.class_names, card.counts, strict=True))
