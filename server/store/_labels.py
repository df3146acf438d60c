"""The ledger of label vectors, read off the runs that were given them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, func, select

from server.tables import CellRow, GridRow, RunRow
from server.views import LabelEntry, LabelOrigin
from spec.records import LabelCard


def label_rows(hashes: Sequence[str]) -> Select[Any]:
    """Of each label vector: one run that was given it, and how many runs and grids were."""
    given = (
        select(
            RunRow.noisy_hash,
            func.min(RunRow.run_id).label("run_id"),
            func.count(RunRow.run_id.distinct()).label("num_runs"),
            func.count(CellRow.grid_id.distinct()).label("num_grids"),
        )
        .join(CellRow, CellRow.run_id == RunRow.run_id)
        .where(RunRow.noisy_hash.in_(hashes))
        .group_by(RunRow.noisy_hash)
        .subquery()
    )
    columns = (RunRow.noisy_hash, RunRow.config, RunRow.labels, given.c.num_runs, given.c.num_grids)
    return select(*columns).join(given, given.c.run_id == RunRow.run_id)


def label_uses(noisy_hash: str) -> Select[str, str, int]:
    """The grids that hold runs with a label vector, newest first."""
    return (
        select(GridRow.grid_id, GridRow.name, func.count().label("num_runs"))
        .join(CellRow, CellRow.grid_id == GridRow.grid_id)
        .join(RunRow, RunRow.run_id == CellRow.run_id)
        .where(RunRow.noisy_hash == noisy_hash)
        .group_by(GridRow.grid_id, GridRow.name, GridRow.created_at)
        .order_by(GridRow.created_at.desc(), GridRow.grid_id)
    )


def label_entry(row: Any) -> LabelEntry:
    card = LabelCard.model_validate(row.labels)
    facts = card.model_dump(
        include={"noisy_hash", "clean_hash", "noise_rate", "realised_rate", "num_examples", "num_corrupt", "num_replaced"}
    )
    return LabelEntry(**facts, **_drawn_by(row.config), num_runs=row.num_runs, num_grids=row.num_grids)


def label_origins(configs: Iterable[dict[str, Any]]) -> list[LabelOrigin]:
    """Each generator and seed among runs' configurations, and how many runs have it."""
    origins: dict[str, LabelOrigin] = {}
    for config in configs:
        drawn = _drawn_by(config)
        origin = origins.setdefault(json.dumps(drawn, sort_keys=True), LabelOrigin(**drawn, num_runs=0))
        origin.num_runs += 1
    return list(origins.values())


def _drawn_by(config: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": config["dataset"], "noise": config["noise"], "label_seed": config["seeds"]["label"]}
