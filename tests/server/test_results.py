"""Results in a terminal: known answers on small grids."""

from typing import Any

from rich.console import Console

from server.results import best_treatments, finished_cells, result_table, shown
from server.views import Factor, RunSummary
from spec.grid import Role
from spec.records import RunState
from spec.summary import summarise

FACTORS = [
    Factor(path="noise.rate", role=Role.CONDITION, values=[0.2, 0.4]),
    Factor(path="method.sigma", role=Role.TREATMENT, values=[0.0, 0.5]),
    Factor(path="seed", role=Role.REPLICATE, values=[0, 1]),
]


def run(rate: float, sigma: float, seed: int, state: RunState = RunState.DONE, **metrics: float) -> RunSummary:
    facts: dict[str, Any] = dict.fromkeys(["started_at", "heard_at", "finished_at", "noise_rate", "realised_rate", "noisy_hash", "error"])
    return RunSummary(
        run_id=f"{rate}-{sigma}-{seed}",
        grid_id="g",
        state=state,
        attempt=1,
        factors={"noise.rate": rate, "method.sigma": sigma, "seed": seed},
        epoch=1,
        epochs=1,
        summary=summarise({1: metrics}) if metrics else None,
        **facts,
    )


def text(runs: list[RunSummary]) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(result_table(finished_cells(FACTORS, runs)))
    return capture.get()


def test_best_is_sought_within_each_condition():
    runs = [
        run(0.2, 0, 0, test_accuracy=0.9),
        run(0.2, 0.5, 0, test_accuracy=0.8),
        run(0.4, 0, 0, test_accuracy=0.5),
        run(0.4, 0.5, 0, test_accuracy=0.6),
    ]
    found = [(best.condition, best.treatment, best.test_accuracy) for best in best_treatments(finished_cells(FACTORS, runs))]
    assert found == [("noise rate = 0.2", "σ = 0", 0.9), ("noise rate = 0.4", "σ = 0.5", 0.6)]


def test_best_averages_over_seeds():
    lucky = [run(0.4, 0, 0, test_accuracy=0.95), run(0.4, 0, 1, test_accuracy=0.05)]
    steady = [run(0.4, 0.5, seed, test_accuracy=0.6) for seed in (0, 1)]
    (best,) = best_treatments(finished_cells(FACTORS, lucky + steady))
    assert (best.treatment, best.num_runs) == ("σ = 0.5", 2)


def test_noisy_validation_decides_where_every_run_has_it():
    runs = [run(0.4, 0, 0, test_accuracy=0.9, validation_accuracy=0.3), run(0.4, 0.5, 0, test_accuracy=0.8, validation_accuracy=0.5)]
    (best,) = best_treatments(finished_cells(FACTORS, runs))
    assert (best.treatment, best.test_accuracy, best.by_validation) == ("σ = 0.5", 0.8, True)
    assert "oracle" not in str(best)


def test_a_choice_by_test_accuracy_is_called_an_oracle_s():
    runs = [run(0.4, 0, 0, test_accuracy=0.9, validation_accuracy=0.3), run(0.4, 0.5, 0, test_accuracy=0.8)]
    (best,) = best_treatments(finished_cells(FACTORS, runs))
    assert (best.treatment, best.by_validation) == ("σ = 0", False)
    assert "oracle" in str(best)


def test_the_moving_average_may_be_best():
    (best,) = best_treatments(finished_cells(FACTORS, [run(0.4, 0.5, 0, test_accuracy=0.8, ema_test_accuracy=0.9)]))
    assert (best.model, best.test_accuracy) == ("EMA", 0.9)


def test_runs_that_are_not_done_do_not_count():
    runs = [run(0.4, 0, 0, RunState.RUNNING, test_accuracy=0.9), run(0.4, 0.5, 0, test_accuracy=0.8), run(0.4, 0.5, 1, RunState.QUEUED)]
    (best,) = best_treatments(finished_cells(FACTORS, runs))
    assert (best.treatment, best.num_runs) == ("σ = 0.5", 1)


def test_nothing_finished_has_no_best_and_an_empty_table():
    cells = finished_cells(FACTORS, [run(0.4, 0, 0, RunState.QUEUED)])
    assert best_treatments(cells) == []
    assert result_table(cells).row_count == 0


def test_table_has_mean_and_sample_standard_deviation_in_per_cent():
    # Of 0.5 and 0.7: mean 0.6, deviations of 0.1, variance (0.01 + 0.01) / 1.
    assert "60.0 ± 14.1" in text([run(0.4, 0, 0, test_accuracy=0.5), run(0.4, 0, 1, test_accuracy=0.7)])


def test_one_run_has_no_spread():
    assert "±" not in text([run(0.4, 0, 0, test_accuracy=0.5)])


def test_table_has_memorisation_and_the_average_where_they_were_measured():
    full = text([run(0.4, 0, 0, test_accuracy=0.5, ema_test_accuracy=0.6, corrupt_fit_given=1.0)])
    assert "wrong labels fitted  100.0" in full
    assert "test accuracy, EMA   60.0" in full
    assert "fitted" not in text([run(0.4, 0, 0, test_accuracy=0.5)])


def test_values_are_shown_as_people_write_them():
    assert [shown(value) for value in (0.0, 0.5, 3, "sln", None, {"name": "sln", "sigma": 0.5, "correct_from": None}, {"name": "ce"})] == [
        "0",
        "0.5",
        "3",
        "sln",
        "none",
        "sln (sigma 0.5)",
        "ce",
    ]
