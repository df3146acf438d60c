"""Send re-sln's runs to a service as foreign grids: marked as such, never launched, and never taken for runs of ours."""

from collections.abc import Iterable
from typing import Any

from server.client import Client
from server.re_sln_files import NUM_TEST, ForeignRun
from server.views import CreatedGrid
from spec.identity import content_hash
from spec.records import EpochRecord, Finished, RunState, Started

DESCRIPTION = (
    "Foreign: made by re-sln (mark-antal-csizmadia/re-sln, 2021), not by this service, and imported from its result folders. "
    "A run's seed is a number made of its name there; with that seed, this service would get other figures."
)
DEVICE = "re-sln"
NUM_PARAMETERS = {"cifar10": 1_469_642, "cifar100": 1_481_252}
MAX_MESSAGES = 2_000


def send_runs(client: Client, runs: Iterable[ForeignRun]) -> list[CreatedGrid]:
    """One grid for each data set and protocol, with all its runs and records; sent again, nothing changes."""
    by_protocol: dict[str, list[ForeignRun]] = {}
    for run in runs:
        by_protocol.setdefault(content_hash(run.shared), []).append(run)
    return [_send_grid(client, own) for own in by_protocol.values()]


def grid_spec(runs: list[ForeignRun]) -> dict[str, Any]:
    """The grid of runs that share a protocol: one cell each."""
    shared = runs[0].shared
    searched = ", searches" if shared["split"]["validation"] else ""
    name = f"re-sln {shared['dataset']}, {shared['epochs']} epochs{searched}"
    return {"name": name, "description": DESCRIPTION, "base": {**shared, **runs[0].own}, "cells": [run.own for run in runs]}


def messages(run: ForeignRun, run_id: str) -> list[dict[str, Any]]:
    """All that the run would have said here."""
    num_examples = run.labels.num_examples
    num_validation = round(run.shared["split"]["validation"] * num_examples)
    started = Started(
        run_id=run_id,
        attempt=1,
        labels=run.labels,
        num_train=num_examples - num_validation,
        num_validation=num_validation,
        num_test=NUM_TEST,
        num_parameters=NUM_PARAMETERS[run.shared["dataset"]],
        device=DEVICE,
        host=run.name,
    )
    records = [EpochRecord(run_id=run_id, attempt=1, epoch=epoch, metrics=dict(run.epochs[epoch])) for epoch in sorted(run.epochs)]
    finished = Finished(run_id=run_id, attempt=1, state=RunState.DONE)
    return [message.model_dump(mode="json") for message in (started, *records, finished)]


def _send_grid(client: Client, runs: list[ForeignRun]) -> CreatedGrid:
    grid = client.create_foreign_grid(grid_spec(runs))
    # The service answers with a grid's runs in the order of its cells.
    for run, made in zip(runs, client.runs(grid.grid_id), strict=True):
        told = messages(run, made.run_id)
        for start in range(0, len(told), MAX_MESSAGES):
            client.add_records(grid, told[start : start + MAX_MESSAGES])
    return grid
