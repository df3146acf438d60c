"""The rules by which messages move a run's state, without a database."""

import itertools
import random
from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from server.lifecycle import Progress, advance
from spec.records import Message, RunState
from tests.server.parts import epoch, finished, heartbeat, started

MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
QUEUED = Progress("r", RunState.QUEUED, 0, 0, None, None, None, None, "")


def after(*messages: dict, run: Progress = QUEUED, now: float = 1000.0) -> Progress:
    run = replace(run, facts={})
    for place, message in enumerate(messages):
        advance(run, MESSAGE.validate_python({"at": 100.0 + place, **message}), now)
    return run


def test_a_run_starts_trains_and_ends():
    assert after(started("r")).state is RunState.RUNNING
    run = after(started("r"), epoch("r", 1), epoch("r", 2), finished("r"))
    assert (run.state, run.epoch, run.attempt, run.started_at, run.finished_at) == (RunState.DONE, 2, 1, 100.0, 103.0)


def test_any_order_of_a_run_s_messages_any_number_of_times_ends_the_same():
    messages = [started("r"), epoch("r", 1), epoch("r", 2), heartbeat("r"), finished("r")]
    messages = [{"at": 100.0 + place, **message} for place, message in enumerate(messages)]
    expected = after(*messages)
    for order in itertools.permutations(messages):
        assert after(*order) == expected
    for seed in range(50):
        assert after(*random.Random(seed).choices(messages, k=12), *messages) == expected


def test_a_failure_that_comes_before_its_start_stays_a_failure():
    start, failure = {**started("r"), "at": 100.0}, {**finished("r", "failed"), "at": 101.0}
    assert after(failure, start).state is RunState.FAILED


@pytest.mark.parametrize("message", [epoch("r", 1), heartbeat("r"), started("r"), finished("r", "failed"), finished("r", "done")])
def test_an_older_attempt_changes_no_state(message: dict):
    run = after(started("r", attempt=2))
    later = after(message, run=run)
    assert (later.state, later.attempt, later.started_at) == (run.state, 2, run.started_at)


@pytest.mark.parametrize("message", [epoch("r", 2), heartbeat("r"), {**started("r"), "at": 100.0}])
@pytest.mark.parametrize("state", [RunState.DONE, RunState.CANCELLED, RunState.FAILED])
def test_a_finished_run_is_not_revived_by_stale_messages(state: RunState, message: dict):
    run = replace(after(started("r")), state=state, finished_at=105.0)
    assert after(message, run=run).state is state


@pytest.mark.parametrize("state", [RunState.DONE, RunState.CANCELLED])
def test_not_even_a_newer_attempt_revives_what_is_done_or_cancelled(state: RunState):
    run = replace(after(started("r")), state=state, finished_at=105.0)
    assert after(started("r", attempt=2), run=run).state is state


@pytest.mark.parametrize("message", [epoch("r", 2), heartbeat("r")])
def test_a_lost_run_that_speaks_runs_again(message: dict):
    run = replace(after(started("r")), state=RunState.LOST)
    assert after(message, run=run, now=2000.0).state is RunState.RUNNING
    assert after(message, run=run, now=2000.0).heard_at == 2000.0


def test_a_newer_attempt_takes_a_failed_run_up_again_and_clears_its_error():
    run = after(started("r"), finished("r", "failed", error="broke", log_tail="..."))
    again = after(started("r", attempt=2), run=run)
    assert (again.state, again.attempt, again.error, again.finished_at) == (RunState.RUNNING, 2, None, None)


def test_a_later_start_with_the_same_number_is_a_new_attempt():
    run = replace(after(started("r")), state=RunState.QUEUED)
    assert after({**started("r"), "at": 500.0}, run=run).state is RunState.RUNNING


def test_what_an_outbox_sends_again_does_not_take_up_a_run_that_was_queued_again():
    sent = [{**started("r"), "at": 100.0}, {**epoch("r", 1), "at": 101.0}, {**finished("r", "failed"), "at": 102.0}]
    run = replace(after(*sent), state=RunState.QUEUED, finished_at=None)
    assert after(*sent, run=run).state is RunState.QUEUED


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.LOST, RunState.FAILED, RunState.CANCELLED])
def test_done_is_believed_whatever_was_thought_of_the_run(state: RunState):
    run = replace(after(started("r")), state=state)
    assert after(finished("r"), run=run).state is RunState.DONE


def test_a_worker_s_goodbye_does_not_turn_cancelled_into_failed():
    run = replace(after(started("r")), state=RunState.CANCELLED, finished_at=101.0)
    assert after(finished("r", "failed"), run=run).state is RunState.CANCELLED


def test_only_an_end_can_finish_a_run():
    with pytest.raises(ValueError, match="a run ends cancelled, done, failed, stopped, got 'running'"):
        MESSAGE.validate_python(finished("r", "running"))
