"""Sigma ablation: test accuracy against the standard deviation of SLN's noise, as mean and spread over seeds.

Cross-entropy is SLN at sigma 0. Runs of other methods are not in it.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.accuracy import accuracy_table
from dashboard.figures.groups import EVERYTHING, group_table, parts, sequential_colors
from dashboard.figures.style import MODEL_TITLES, SELECTIONS, TEMPLATE, empty_figure, mean_and_sd
from spec.grid import Role
from spec.summary import Summary

COLUMNS = ["line", "model", "sigma", "mean", "sd", "n"]
# Those of its parameters that say nothing while labels are not corrected.
CORRECTION = ("variant", "correct_from", "correction", "weigh_against")


def sigma_of(method: Mapping[str, Any]) -> float | None:
    """The sigma of a method as configured; None where it is neither SLN nor cross-entropy."""
    return {"sln": method.get("sigma"), "ce": 0.0}.get(method["name"])


def sigma_table(
    summaries: Mapping[str, Summary | None],
    methods: Mapping[str, Mapping[str, Any]],
    factors: Mapping[str, Mapping[str, Any]],
    roles: Mapping[str, Role],
    selection: str,
) -> pd.DataFrame:
    """One row per line, model and sigma: `mean` and `sd` (n - 1 below the line) over seeds, `n`; a row without a value is left out.

    A line is one condition, and one setting of all else that the grid varies as a treatment: only seeds are averaged. All
    mappings are by run; give finished runs alone in `summaries`, and each run's whole method in `methods`.
    """
    sigmas = {run_id: sigma for run_id, method in methods.items() if (sigma := sigma_of(method)) is not None}
    others, other_roles = _without_sigma({run_id: factors[run_id] for run_id in sigmas}, methods, roles)
    groups = group_table(others, other_roles)
    lines = dict(zip(groups.index, _line_names(groups), strict=True))
    order = list(dict.fromkeys(name for _, name in sorted(zip(_codes(groups), lines.values(), strict=True))))
    keyed = pd.DataFrame(
        {
            "condition": pd.Categorical(list(lines.values()), categories=order, ordered=True),
            "treatment": pd.Categorical([sigmas[run_id] for run_id in lines], ordered=True),
        },
        index=groups.index,
    )
    tables = [accuracy_table(summaries, keyed, model).assign(model=model) for model in MODEL_TITLES]
    table = pd.concat(tables, ignore_index=True)
    chosen = table[table["selection"] == selection].rename(columns={"condition": "line", "treatment": "sigma"})
    return chosen.astype({"sigma": float})[COLUMNS].reset_index(drop=True)


def sigma_figure(table: pd.DataFrame, selection: str) -> go.Figure:
    """A colour per line; the raw model's is solid, the average's dotted. Error bars are one sample standard deviation."""
    note = "mean ± sample sd over seeds (finished runs); solid: raw model, dotted: EMA; σ = 0 is cross-entropy"
    title = f"Test accuracy against σ, {SELECTIONS[selection]}<br><sup>{note}</sup>"
    if table.empty:
        return empty_figure(title, "no finished run of SLN or cross-entropy yet")
    names = list(dict.fromkeys(table["line"].astype(str)))
    colors = dict(zip(names, sequential_colors(len(names)), strict=True))
    figure = go.Figure(layout={"template": TEMPLATE, "title": {"text": title}, "height": 440})
    for (name, model), points in parts(table, "line", "model"):
        figure.add_trace(_line(points, name, model, colors[name]))
    figure.update_xaxes(title_text="σ")
    figure.update_yaxes(title_text="test accuracy (%)")
    return figure


def _line(points: pd.DataFrame, name: str, model: str, color: str) -> go.Scatter:
    rows = zip(points["mean"].tolist(), points["sd"].tolist(), points["n"].tolist(), strict=True)
    is_raw = model == "raw"
    return go.Scatter(
        x=points["sigma"].tolist(),
        y=(100 * points["mean"]).tolist(),
        error_y={"array": (100 * points["sd"].fillna(0.0)).tolist(), "thickness": 1.2, "width": 4, "color": color},
        name=f"{name}, {MODEL_TITLES[model]}",
        mode="lines+markers",
        line={"color": color, "width": 2, "dash": "solid" if is_raw else "dot"},
        marker={"size": 8, "symbol": "circle" if is_raw else "circle-open"},
        text=[mean_and_sd(*row) for row in rows],
        hovertemplate=f"{name}, {MODEL_TITLES[model]}<br>σ = %{{x}}: %{{text}}<extra></extra>",
    )


def _without_sigma(
    factors: Mapping[str, Mapping[str, Any]], methods: Mapping[str, Mapping[str, Any]], roles: Mapping[str, Role]
) -> tuple[dict[str, dict[str, Any]], dict[str, Role]]:
    """Factors and roles but for sigma: what is left of the methods stands under `method`, where anything is."""
    others = {run_id: {path: value for path, value in run.items() if not _is_of_method(path)} for run_id, run in factors.items()}
    other_roles = {path: role for path, role in roles.items() if not _is_of_method(path)}
    rests = {run_id: _rest(methods[run_id]) for run_id in factors}
    if not any(rests.values()):
        return others, other_roles
    return {run_id: {**run, "method": rests[run_id]} for run_id, run in others.items()}, {**other_roles, "method": Role.TREATMENT}


def _is_of_method(path: str) -> bool:
    return path.split(".")[0] == "method"


def _rest(method: Mapping[str, Any]) -> dict[str, Any] | None:
    rest = {key: value for key, value in method.items() if key not in ("name", "sigma")}
    if rest.get("correct_from") is None:
        rest = {key: value for key, value in rest.items() if key not in CORRECTION}
    return rest or None


def _line_names(groups: pd.DataFrame) -> list[str]:
    pairs = zip(groups["condition"].astype(str), groups["treatment"].astype(str), strict=True)
    return [", ".join(dict.fromkeys(name for name in pair if name != EVERYTHING)) or EVERYTHING for pair in pairs]


def _codes(groups: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(groups["condition"].cat.codes.tolist(), groups["treatment"].cat.codes.tolist(), strict=True))
