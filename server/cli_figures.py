"""Figures and sheets of sample images as files."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.terminal import (
    DEFAULT_DATASET_ROOT,
    DEFAULT_SERVER,
    EXIT_INVALID,
    DatasetRoot,
    Server,
    command,
    connected,
    console,
    failure,
    inputs_from,
)

if TYPE_CHECKING:
    from server.client import Client
    from spec.run import RunConfig

figure_app = typer.Typer()

MAX_RUNS = 10_000
NOT_FOUND = 404
# Tables are texts, too.
TEXT_FORMATS = {".md": "markdown", ".csv": "csv"}

Out = Annotated[Path, typer.Option("--out", help=".html (opens anywhere), .json (Plotly), or an image where kaleido is installed")]


@command(
    figure_app,
    example="figure 3f2a curves --out curves.html\nfigure 3f2a heatmap --metric ema_test_accuracy --out map.json\n"
    "figure 3f2a table --selection last --out table.md\nfigure 0c9d8e7f6a5b4c3d dissection --out dissection.html",
)
def figure(
    grid_or_run: Annotated[str, typer.Argument(metavar="GRID|RUN", help="a grid's id (or its first digits), or a run's whole id")],
    kind: Annotated[
        str,
        typer.Argument(
            help="of a grid: curves, heatmap, accuracy, sigma, table, probabilities or dissection; "
            "of a run: curves, noise, probabilities, dissection or samples"
        ),
    ],
    out: Out,
    metric: Annotated[str | None, typer.Option(help="a metric of the epoch records, such as corrupt_fit_given")] = None,
    selection: Annotated[str | None, typer.Option(help="heatmap, sigma and table: last, last_ten, validation_best or oracle_best")] = None,
    server: Server = DEFAULT_SERVER,
) -> None:
    """Save a figure of a grid or a run as a file; a table as .md or .csv, too."""
    from dashboard.figures.files import check_suffix, write_figure

    is_text = kind == "table" and out.suffix in TEXT_FORMATS
    try:
        if not is_text:
            check_suffix(out)
        with connected(server) as client:
            if is_text:
                text = client.table(client.find_grid(grid_or_run), TEXT_FORMATS[out.suffix], selection=selection)
                out.write_text(text, encoding="utf-8")
            else:
                write_figure(_fetch(client, grid_or_run, kind, metric=metric, selection=selection), out)
    except typer.Exit:
        # It is a RuntimeError, and what it stands for has been said.
        raise
    except (ValueError, RuntimeError, OSError) as error:
        raise failure(str(error)) from None
    console.print(f"wrote {out}")


@command(
    figure_app,
    example="viz run.yaml --out sheet.png\nviz recipes/digits-noise-kinds.yaml --out sheet.html\nviz 0c9d8e7f6a5b4c3d --out s.png",
)
def viz(
    run: Annotated[
        str, typer.Argument(metavar="RUN|RUN.yaml", help="a run's id, a run's file, or a grid's file, of which the first run is meant")
    ],
    out: Annotated[Path, typer.Option("--out", help=".png, or .html and .json as figures")],
    data: DatasetRoot = DEFAULT_DATASET_ROOT,
    server: Server = DEFAULT_SERVER,
) -> None:
    """Draw training images with right and with wrong labels, as the run gets them. A file needs no service."""
    from dashboard.figures.files import check_suffix, write_figure
    from dashboard.figures.samples import sample_figure, sample_sheet, sample_table
    from trainables.image_data.samples import draw_samples

    is_sheet = out.suffix == ".png"
    try:
        if not is_sheet:
            check_suffix(out)
        config = _run_of_file(Path(run)) if Path(run).is_file() else _run_of_service(run, server)
        drawn = draw_samples(config, data.expanduser().absolute())
        table = sample_table(map(asdict, drawn.samples), drawn.card)
        if is_sheet:
            sample_sheet(table, drawn.card).save(out)
        else:
            write_figure(sample_figure(table, drawn.card).to_plotly_json(), out)
    except typer.Exit:
        raise
    except (ValueError, RuntimeError, OSError) as error:
        raise failure(str(error)) from None
    console.print(f"wrote {out}: {drawn.card.num_corrupt:,} of {drawn.card.num_examples:,} are corrupt, label seed {config.seeds.label}")


def _fetch(client: "Client", grid_or_run: str, kind: str, **options: str | None) -> dict[str, Any]:
    from server.client import ServiceError

    try:
        return client.figure(client.find_grid(grid_or_run), kind, **options)
    except ServiceError as error:
        if error.status != NOT_FOUND:
            raise
        return client.run_figure(grid_or_run, kind)


def _run_of_file(path: Path) -> "RunConfig":
    """The run that a file describes; of a grid's file the first one."""
    from spec.grid import expand
    from trainables.grid_files import read_mapping, read_run, read_spec
    from trainables.parts import RunConfig

    with inputs_from(path):
        if "base" not in read_mapping(path):
            return read_run(path, RunConfig)
        cells = expand(read_spec(path), RunConfig, MAX_RUNS).cells
    console.print(f"{path} is a grid: drawn for the first of its {len(cells):,} runs", soft_wrap=True)
    return cells[0].run


def _run_of_service(run_id: str, server: str) -> "RunConfig":
    from trainables.parts import RunConfig

    if run_id.endswith((".yaml", ".yml")):
        raise failure(f"there is no file {run_id}", code=EXIT_INVALID)
    with connected(server) as client:
        return RunConfig.model_validate(client.run(run_id).config)
