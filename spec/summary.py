"""Summary: a finished run in the few numbers that papers report, each named as what it is."""

from collections.abc import Mapping
from statistics import fmean

from pydantic import BaseModel

Metrics = Mapping[str, float | None]

# "" is the raw model, "ema_" its moving average.
MODELS = ("", "ema_")


class TestAccuracy(BaseModel):
    """Test accuracy in [0, 1] under four ways to choose the epoch. Only the first three are honest."""

    last: float | None = None
    last_ten: float | None = None
    validation_best: float | None = None
    validation_best_epoch: int | None = None
    oracle_best: float | None = None
    oracle_best_epoch: int | None = None


class Summary(BaseModel):
    """The raw model's test accuracy and, where the run has one, its moving average's."""

    raw: TestAccuracy
    ema: TestAccuracy | None = None
    last_metrics: dict[str, float | None]


def summarise(epochs: Mapping[int, Metrics]) -> Summary | None:
    """The summary of a run's epoch records so far (epoch -> metrics); None before the first.

    `last_ten` is the mean over the last ten epochs (all of them, where there are fewer); `validation_best` is the
    test accuracy at the epoch of the best accuracy on the validation split; `oracle_best` chooses on the
    test set itself, which no honest protocol can. Of equals, the earliest epoch counts.
    """
    if not epochs:
        return None
    last = epochs[max(epochs)]
    raw, ema = (_test_accuracy(epochs, prefix) if f"{prefix}test_accuracy" in last else None for prefix in MODELS)
    return Summary(raw=raw or TestAccuracy(), ema=ema, last_metrics=dict(last))


def _test_accuracy(epochs: Mapping[int, Metrics], prefix: str) -> TestAccuracy:
    test = _series(epochs, f"{prefix}test_accuracy")
    validation = _series(epochs, f"{prefix}validation_accuracy")
    if not test:
        return TestAccuracy()
    by_validation, by_oracle = _best_epoch(validation), _best_epoch(test)
    return TestAccuracy(
        last=test[max(test)],
        last_ten=fmean(test[epoch] for epoch in sorted(test)[-10:]),
        validation_best=test.get(by_validation) if by_validation else None,
        validation_best_epoch=by_validation,
        oracle_best=test[by_oracle] if by_oracle else None,
        oracle_best_epoch=by_oracle,
    )


def _series(epochs: Mapping[int, Metrics], name: str) -> dict[int, float]:
    return {epoch: value for epoch, metrics in epochs.items() if (value := metrics.get(name)) is not None}


def _best_epoch(series: Mapping[int, float]) -> int | None:
    return min(series, key=lambda epoch: (-series[epoch], epoch)) if series else None
