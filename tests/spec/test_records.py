"""Messages travel as JSON, and a summary says each number as what it is."""

import pytest

from spec.records import EpochRecord, RecordBatch
from spec.summary import summarise


def test_a_loss_that_diverged_travels_as_none():
    record = EpochRecord(run_id="r", attempt=1, epoch=1, metrics={"objective": float("nan"), "test_loss": float("inf"), "x": 1.0})
    batch = RecordBatch.model_validate_json(RecordBatch(grid_id="g", messages=[record]).model_dump_json())
    assert batch.messages[0] == record
    assert record.metrics == {"objective": None, "test_loss": None, "x": 1.0}


def test_nothing_recorded_is_no_summary():
    assert summarise({}) is None


def test_each_number_of_a_summary_is_what_it_says():
    test = dict(enumerate([0.5, 0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.6, 0.6, 0.5, 0.5, 0.4], start=1))
    validation = {3: 0.6, 4: 0.6}
    epochs = {epoch: {"test_accuracy": value, "validation_accuracy": validation.get(epoch, 0.1)} for epoch, value in test.items()}
    raw = summarise(epochs).raw
    assert raw.last == 0.4
    assert raw.last_ten == pytest.approx(sum(list(test.values())[2:]) / 10)
    assert (raw.validation_best, raw.validation_best_epoch) == (0.8, 3)
    assert (raw.oracle_best, raw.oracle_best_epoch) == (0.9, 2)
    assert summarise(epochs).ema is None


def test_the_average_is_chosen_by_its_own_validation():
    epochs = {
        1: {"test_accuracy": 0.1, "ema_test_accuracy": 0.2, "validation_accuracy": 0.9, "ema_validation_accuracy": 0.1},
        2: {"test_accuracy": 0.3, "ema_test_accuracy": 0.4, "validation_accuracy": 0.8, "ema_validation_accuracy": 0.2},
    }
    summary = summarise(epochs)
    assert (summary.raw.validation_best, summary.ema.validation_best) == (0.1, 0.4)


def test_without_validation_nothing_is_chosen_by_it():
    raw = summarise({1: {"test_accuracy": 0.5}}).raw
    assert raw.validation_best is None
    assert raw.last_ten == raw.last == 0.5


def test_epochs_whose_accuracy_is_unknown_are_passed_over():
    assert summarise({1: {"test_accuracy": 0.5}, 2: {"test_accuracy": None}}).raw.last == 0.5
