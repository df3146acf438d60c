"""Lifecycle: how a run's messages move its state. Pure: any order of messages, sent any number of times, ends the same.

A message of an attempt older than the run's changes no state. `done` is the end. `cancelled` and `failed` are left by being queued
again (somebody resumes the grid), `failed` also by a newer attempt (Ray restarts a trial that failed).
"""

from dataclasses import dataclass, field
from typing import Any

from spec.records import FINAL_STATES, EpochRecord, Finished, Heartbeat, RunState, Started


@dataclass
class Progress:
    """The part of a run that its messages change."""

    run_id: str
    state: RunState
    attempt: int
    epoch: int
    started_at: float | None
    heard_at: float | None
    finished_at: float | None
    error: str | None
    log_tail: str
    # Set once by `Started`: label card and sizes, by column.
    facts: dict[str, Any] = field(default_factory=dict)


def advance(run: Progress, message: Started | EpochRecord | Finished | Heartbeat, now: float) -> None:
    """Take one message into account; `now` is when it came, by the service's clock."""
    if isinstance(message, EpochRecord):
        run.epoch = max(run.epoch, message.epoch)
    if message.attempt < run.attempt:
        return
    is_new = _begins_anew(run, message)
    run.attempt = message.attempt
    run.heard_at = now
    if isinstance(message, Started):
        run.facts = _facts(message)
        if is_new or run.started_at is None:
            run.started_at = message.at
    if isinstance(message, Finished):
        _finish(run, message, is_new)
    elif run.state in (RunState.RUNNING, RunState.LOST) or (is_new and run.state in (RunState.QUEUED, RunState.FAILED)):
        run.state, run.finished_at, run.error, run.log_tail = RunState.RUNNING, None, None, ""


def _begins_anew(run: Progress, message: Started | EpochRecord | Finished | Heartbeat) -> bool:
    """Whether the message is of an attempt that the run has not seen.

    The same number with a later start is a new attempt too: not every launcher knows how many there were. What is left
    in an outbox from before (the same start, sent again) must not revive a run that was queued again.
    """
    if message.attempt > run.attempt:
        return True
    return isinstance(message, Started) and message.at > max(run.started_at or 0.0, run.finished_at or 0.0)


def _finish(run: Progress, message: Finished, is_new: bool) -> None:
    if run.state is RunState.DONE:
        return
    if message.state is not RunState.DONE:
        # Cancelled by somebody stays cancelled; queued again, it is not ended by its last attempt's late goodbye.
        settled = run.state in FINAL_STATES or run.state is RunState.QUEUED
        if run.state is RunState.CANCELLED or (settled and not is_new):
            return
    run.state, run.finished_at, run.error, run.log_tail = message.state, message.at, message.error, message.log_tail


def _facts(message: Started) -> dict[str, Any]:
    labels = message.labels
    return {
        "labels": labels.model_dump(mode="json"),
        "noise_rate": labels.noise_rate,
        "realised_rate": labels.realised_rate,
        "noisy_hash": labels.noisy_hash,
        "num_train": message.num_train,
        "num_validation": message.num_validation,
        "num_test": message.num_test,
        "num_parameters": message.num_parameters,
        "device": message.device,
        "host": message.host,
        # A resumed run goes on from its own checkpoint, which says nothing of where its first epochs came from.
        **({} if message.resumed_from else {"forked_after": message.forked_after}),
    }
