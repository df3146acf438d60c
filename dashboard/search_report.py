"""Search report: which treatment a validation split chooses under each condition, and what that choice costs.

Unless the data set brings clean ones, validation labels are as wrong as training labels, so accuracies on them are low even where a
model is good: `expected_on_noisy` says how high one can be.
"""

import math
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import NamedTuple

from pydantic import BaseModel, Field

from spec.records import RunState
from spec.summary import MODELS


def expected_on_noisy(accuracy: float, noise_rate: float, num_classes: int) -> float:
    """Accuracy on labels of which a share is wrong, of a model that has `accuracy` on right ones: a (1 - p) + (1 - a) p / (K - 1).

    A right prediction meets a right label, or a wrong one meets the same wrong label by chance: its mistakes fall evenly on the
    other classes and know nothing of the noise. A model that has learned which class is taken for which scores above it.
    """
    return accuracy * (1 - noise_rate) + (1 - accuracy) * noise_rate / (num_classes - 1)


def standard_error(accuracy: float, num_examples: int) -> float:
    """Of an accuracy on so many independent examples."""
    return math.sqrt(accuracy * (1 - accuracy) / num_examples)


class SearchRun(NamedTuple):
    """A run of the grid, called as in its figures, and what it measured last."""

    condition: str
    treatment: str
    state: RunState
    # Share of labels; None where it is images that are wrong.
    wrong_labels: float | None
    num_classes: int
    num_validation: int
    last_metrics: Mapping[str, float | None]
    # As in a label card: `noisy`, or `clean` where the data set brings clean ones.
    validation_labels: str = "noisy"


class Candidate(BaseModel):
    """A treatment under a condition, after the last epoch; means over finished runs, accuracies in [0, 1]."""

    treatment: str
    num_runs: int
    n: int = Field(description="finished runs")
    validation: float | None = Field(None, description="accuracy on the validation labels, noisy or clean")
    validation_standard_error: float | None = Field(None, description="from the number of examples in one run's split")
    ceiling: float | None = Field(
        None, description="what `validation` can be at that test accuracy, if mistakes fall evenly on other classes"
    )
    test: float | None = Field(None, description="accuracy on true labels")


class SearchOutcome(BaseModel):
    """One condition's search with one model, raw or ema."""

    condition: str
    model: str
    validation_labels: str = Field("noisy", description="`noisy`, or `clean` where the data set brings clean ones")
    candidates: list[Candidate]
    chosen: str | None = Field(None, description="the treatment with the best `validation`; None before anything is finished")
    oracle: str | None = Field(None, description="the treatment with the best `test`, which no honest protocol can know")
    regret: float | None = Field(None, description="test accuracy of the oracle's choice minus that of the chosen treatment")
    notes: list[str] = Field(default_factory=list)


def search_report(runs: Iterable[SearchRun]) -> list[SearchOutcome]:
    """The outcome of every condition and model, in the order of the runs; a model that was not evaluated is left out."""
    by_condition: dict[str, list[SearchRun]] = {}
    for run in runs:
        by_condition.setdefault(run.condition, []).append(run)
    return [
        outcome
        for condition, own in by_condition.items()
        for prefix in MODELS
        if (outcome := _outcome(condition, own, prefix)).candidates and (not prefix or outcome.chosen)
    ]


def choose(validation: Mapping[str, float]) -> str:
    """The treatment with the highest accuracy; of equals, the first."""
    return max(validation, key=validation.__getitem__)


def _outcome(condition: str, runs: list[SearchRun], prefix: str) -> SearchOutcome:
    by_treatment: dict[str, list[SearchRun]] = {}
    for run in runs:
        by_treatment.setdefault(run.treatment, []).append(run)
    candidates = [_candidate(treatment, own, prefix) for treatment, own in by_treatment.items()]
    outcome = SearchOutcome(
        condition=condition,
        model=prefix.rstrip("_") or "raw",
        validation_labels=runs[0].validation_labels,
        candidates=candidates,
        notes=_clean_validation(runs) + _unfinished(runs, sum(c.n for c in candidates)),
    )
    validation = {c.treatment: c.validation for c in candidates if c.validation is not None}
    test = {c.treatment: c.test for c in candidates if c.test is not None}
    if validation:
        outcome.chosen = choose(validation)
        if test.keys() == validation.keys():
            outcome.oracle = choose(test)
            outcome.regret = test[outcome.oracle] - test[outcome.chosen]
        errors = {c.treatment: c.validation_standard_error or 0.0 for c in candidates}
        outcome.notes += _narrow_lead(validation, errors, outcome.chosen)
    return outcome


def _candidate(treatment: str, runs: list[SearchRun], prefix: str) -> Candidate:
    validated = _measured(runs, f"{prefix}validation_accuracy")
    if not validated:
        return Candidate(treatment=treatment, num_runs=len(runs), n=0)
    validation = fmean(accuracy for _, accuracy in validated)
    # Runs of other programs may have no test accuracy.
    tested = _measured([run for run, _ in validated], f"{prefix}test_accuracy")
    ceilings = [expected_on_noisy(test, run.wrong_labels, run.num_classes) for run, test in tested if run.wrong_labels is not None]
    return Candidate(
        treatment=treatment,
        num_runs=len(runs),
        n=len(validated),
        validation=validation,
        validation_standard_error=standard_error(validation, validated[0][0].num_validation),
        ceiling=fmean(ceilings) if ceilings else None,
        test=fmean(test for _, test in tested) if tested else None,
    )


def _measured(runs: Iterable[SearchRun], metric: str) -> list[tuple[SearchRun, float]]:
    """The finished runs that have the metric, with its last value."""
    return [(run, value) for run in runs if run.state is RunState.DONE and (value := run.last_metrics.get(metric)) is not None]


def _clean_validation(runs: list[SearchRun]) -> list[str]:
    is_clean = any(run.validation_labels == "clean" for run in runs)
    return ["chosen on clean validation labels, which nobody has who has noisy ones alone"] if is_clean else []


def _unfinished(runs: list[SearchRun], finished: int) -> list[str]:
    stopped = sum(run.state is RunState.STOPPED for run in runs)
    notes = [f"{finished} of {len(runs)} runs are finished"] if finished + stopped < len(runs) else []
    if stopped:
        notes.append(f"{stopped} of {len(runs)} runs were stopped early and do not count: one of them may have ended best")
    return notes


def _narrow_lead(validation: Mapping[str, float], errors: Mapping[str, float], chosen: str) -> list[str]:
    """Whether the next best is as good as far as the validation split can tell: within the standard error of the difference."""
    others = {treatment: accuracy for treatment, accuracy in validation.items() if treatment != chosen}
    if not others:
        return []
    second = choose(others)
    lead, spread = validation[chosen] - validation[second], math.hypot(errors[chosen], errors[second])
    figures = f"{100 * lead:.2f} points apart, standard error {100 * spread:.2f}"
    return [] if lead > spread else [f"the split cannot tell {second} from {chosen}: {figures}"]
