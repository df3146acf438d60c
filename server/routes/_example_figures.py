"""Tables of single examples for figures: a run's two models, or one run of each of a grid's treatments."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pandas as pd
from plotly.graph_objects import Figure

from dashboard.figures.examples import dissection_figure, dissection_table, judged, probability_figure, probability_table
from dashboard.figures.groups import EVERYTHING, factor_text, group_table, short_name
from dashboard.figures.style import MODEL_TITLES, empty_figure
from server.example_files import example_file, read_examples
from server.settings import Settings
from server.store import RunFacts, Store
from server.views import RunView
from spec.grid import Role
from spec.records import RunState
from trainables.measures.examples import ExampleFits

ExampleFigure = Literal["probabilities", "dissection"]
PREFIXES = {"raw": "", "ema": "ema_"}
# More are neither legible nor quickly read.
MAX_PANELS = 24

Table = Callable[[pd.DataFrame], pd.DataFrame]
TABLES: dict[ExampleFigure, Table] = {"probabilities": probability_table, "dissection": dissection_table}
FIGURES: dict[ExampleFigure, Callable[..., Figure]] = {"probabilities": probability_figure, "dissection": dissection_figure}


def run_example_figure(kind: ExampleFigure, run: RunView, settings: Settings, columns: int) -> Figure:
    """A panel for the raw model, and one for its average where the run has one."""
    fits = read_examples(settings, run.run_id)
    if fits is None:
        return empty_figure(FIGURES[kind]({}).layout.title.text, _why_none(run))
    models = {title: PREFIXES[model] for model, title in MODEL_TITLES.items() if PREFIXES[model] in fits.models}
    truth_is_known = run.labels is None or run.labels.truth_is_known
    panels = {title: TABLES[kind](_judged(fits, prefix, truth_is_known)) for title, prefix in models.items()}
    return FIGURES[kind](panels, max_columns=columns)


def grid_example_figure(kind: ExampleFigure, model: str, grid_id: str, store: Store, settings: Settings, columns: int) -> Figure:
    """A panel for each condition and treatment: its first run, in the grid's order, that has left its examples."""
    roles = {factor.path: factor.role for factor in store.factors(grid_id)}
    shown = list(_representatives(store, grid_id, roles, settings))
    panels: dict[str, pd.DataFrame] = {}
    for title, run in shown[:MAX_PANELS]:
        fits = read_examples(settings, run.run_id)
        if fits is not None and PREFIXES[model] in fits.models:
            panels[title] = TABLES[kind](_judged(fits, PREFIXES[model], run.labels is None or run.labels.truth_is_known))
    if not panels:
        reason = "no finished run has left what its model makes of each example"
        return empty_figure(FIGURES[kind]({}).layout.title.text, reason)
    left_out = f", the first {MAX_PANELS} of {len(shown)}" if len(shown) > MAX_PANELS else ""
    return FIGURES[kind](panels, f"{MODEL_TITLES[model]}, one run of each treatment, no mean{left_out}", columns)


def _representatives(store: Store, grid_id: str, roles: dict[str, Role], settings: Settings) -> Iterator[tuple[str, RunFacts]]:
    """Condition, treatment and seed in words, and the run, in the order of conditions and treatments."""
    factors = {cell.run_id: cell.factors for cell in store.cells(grid_id)}
    groups = group_table(factors, roles)
    first: dict[tuple[str, str], RunFacts] = {}
    for run in store.run_facts(grid_id):
        place = (str(groups["condition"][run.run_id]), str(groups["treatment"][run.run_id]))
        if place not in first and run.state is RunState.DONE and example_file(settings, run.run_id).exists():
            first[place] = run
    for condition in groups["condition"].cat.categories:
        for treatment in groups["treatment"].cat.categories:
            if (chosen := first.get((condition, treatment))) is not None:
                names = [name for name in (condition, treatment) if name != EVERYTHING]
                yield ", ".join([*names, *_replicate(factors[chosen.run_id], roles)]), chosen


def _replicate(factors: dict[str, Any], roles: dict[str, Role]) -> list[str]:
    return [f"{short_name(path, roles)} = {factor_text(value)}" for path, value in factors.items() if roles.get(path) is Role.REPLICATE]


def _judged(fits: ExampleFits, prefix: str, truth_is_known: bool) -> pd.DataFrame:
    return judged(pd.DataFrame(fits.columns(prefix)), truth_is_known)


def _why_none(run: RunView) -> str:
    if run.config["measure"].get("examples") is False:
        return "the run was told not to keep them (measure.examples)"
    if run.state is RunState.DONE:
        return "the run has left none here"
    return "the run leaves these after its last epoch"
