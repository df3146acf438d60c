"""Claims: what published results say of two methods beside each other, asked of a grid's results.

The difference between two methods on the same labels is often surer than either accuracy: what moves both is not in it.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import product
from math import sqrt
from statistics import fmean, stdev, variance
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from dashboard.compare import OurRun, Result, accuracy_of, caveats, departures, hash_text, results
from dashboard.published.cells import Claim, PublishedCell, PublishedPair
from spec.identity import content_hash
from spec.records import RunState

# What may differ between two results whose methods are compared.
FREE = ("seed", "seeds", "method")
# A mean this many standard errors from a bound, or fewer, may well be on its other side.
CLOSE = 2


class ClaimVerdict(StrEnum):
    """What becomes of a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    REFUSED = "refused"
    WAITING = "waiting"


class PublishedDifference(BaseModel):
    """What one source found."""

    source: str
    difference: float


class Difference(BaseModel):
    """Of two methods' mean test accuracies on the same labels, each over the last ten epochs, in [-1, 1]."""

    mean: float
    standard_error: float | None = Field(description="over seeds; None where a method has only one")
    n: int = Field(description="seeds of the one method")
    n_than: int = Field(description="seeds of the other")
    is_paired: bool = Field(description="whether it is taken seed by seed, both methods having the same")


class CheckedClaim(BaseModel):
    """A claim about two methods, and the difference between our results with them."""

    claim: str = Field(description="in words, with bounds in points")
    dataset: str
    noise: str
    method: str
    sigma: float | None
    than: str = Field(description="the method that it is held against")
    at_least: float | None = Field(description="of the difference `method` minus `than`; without bounds, it is to be above 0")
    at_most: float | None
    verdict: ClaimVerdict
    ours: Difference | None = Field(None, description="None before a seed of both is finished, and unless they share their labels")
    published: list[PublishedDifference] = Field(default_factory=list, description="of sources whose labels and protocol ours are")
    reasons: list[str] = Field(default_factory=list, description="why it cannot be asked, or not yet")
    notes: list[str] = Field(default_factory=list)


class _Score(NamedTuple):
    run: OurRun
    accuracy: float


class _Both(NamedTuple):
    """The finished runs of two methods by which they are compared."""

    ours: list[_Score]
    others: list[_Score]
    is_paired: bool


def check_claims(runs: Iterable[OurRun], claims: Sequence[Claim], published: Sequence[PublishedCell]) -> list[CheckedClaim]:
    """Every claim about a method that the runs have, on labels of the claim's kind, in the order of the runs."""
    found = [result for result in results(runs, published) if _may_have_accuracy(result)]
    return [_checked(claim, result, _partner(claim, result, found)) for result in found for claim in _claims_about(result, claims)]


def _may_have_accuracy(result: Result) -> bool:
    """False for a model that the program behind a foreign run did not evaluate."""
    return result.ours.n > 0 or any(run.state is not RunState.DONE for run in result.runs)


def _claims_about(result: Result, claims: Iterable[Claim]) -> list[Claim]:
    """One against each method: that on our very labels, if there is one."""
    ours, labels = result.ours, result.labels
    wanted = (ours.dataset, labels.kind, labels.rate, ours.method, ours.sigma)
    chosen: dict[str, Claim] = {}
    for claim in claims:
        cell = claim.method
        if (cell.dataset, cell.labels.noise, cell.labels.rate, cell.method, cell.sigma) != wanted:
            continue
        if claim.than.method not in chosen or cell.labels.noisy_hash in labels.hashes - {None}:
            chosen[claim.than.method] = claim
    return list(chosen.values())


def _partner(claim: Claim, result: Result, found: Iterable[Result]) -> Result | None:
    """The other method's result under the same settings: of several, one that has figures, and is of the same runs."""
    wanted = (claim.than.method, claim.than.sigma)
    partners = [other for other in found if (other.ours.method, other.ours.sigma) == wanted and _differ_in_method(result, other)]
    return min(partners, key=lambda other: (other.ours.n == 0, other.runs != result.runs), default=None)


def _differ_in_method(one: Result, other: Result) -> bool:
    """Whether two results have the same settings but for method and seeds; a raw model may come from a run with any average."""
    are_averages = one.model == other.model == "ema"
    free = FREE if are_averages else (*FREE, "ema")
    settings = [{name: value for name, value in result.config.items() if name not in free} for result in (one, other)]
    return settings[0] == settings[1]


def _checked(claim: Claim, result: Result, than: Result | None) -> CheckedClaim:
    if than is None:
        reason = f"no run of {claim.than.method} that differs in nothing but method and seeds"
        return _stated(claim, result, ClaimVerdict.REFUSED, reasons=[reason])
    both = _both(result, than)
    if conflicts := _label_conflicts(both):
        return _stated(claim, result, ClaimVerdict.REFUSED, reasons=conflicts)
    ours = _difference(both)
    departed = [_departures(pair, result, than) for pair in claim.pairs]
    same = [pair for pair, reasons in zip(claim.pairs, departed, strict=True) if not reasons]
    if not same:
        return _stated(claim, result, ClaimVerdict.REFUSED, ours=ours, reasons=min(departed, key=len))
    published = [PublishedDifference(source=pair.method.source, difference=pair.difference) for pair in same]
    if ours is None:
        return _stated(claim, result, ClaimVerdict.WAITING, published=published, reasons=["no seed of both is finished"])
    verdict = ClaimVerdict.HOLDS if claim.holds(ours.mean) else ClaimVerdict.DOES_NOT_HOLD
    notes = [*_notes(claim, ours, result, than), *caveats(result.config, same[0].method)]
    return _stated(claim, result, verdict, ours=ours, published=published, notes=notes)


def _stated(claim: Claim, result: Result, verdict: ClaimVerdict, **answer: Any) -> CheckedClaim:
    return CheckedClaim(
        claim=claim.text,
        dataset=result.ours.dataset,
        noise=result.ours.noise,
        method=result.ours.method,
        sigma=result.ours.sigma,
        than=claim.than.method,
        at_least=claim.at_least,
        at_most=claim.at_most,
        verdict=verdict,
        **answer,
    )


def _departures(pair: PublishedPair, result: Result, than: Result) -> list[str]:
    """Why our two results are not of the same thing as a source's, each reason once."""
    return list(dict.fromkeys([*departures(than, pair.than), *departures(result, pair.method)]))


def _both(result: Result, than: Result) -> _Both:
    """What both have finished, seed by seed where they were given the same seeds; else all that either has."""
    ours, others = _finished(result), _finished(than)
    if {_seed(run) for run in result.runs} != {_seed(run) for run in than.runs}:
        return _Both(list(ours.values()), list(others.values()), is_paired=False)
    shared = [seed for seed in ours if seed in others]
    return _Both([ours[seed] for seed in shared], [others[seed] for seed in shared], is_paired=True)


def _finished(result: Result) -> dict[str, _Score]:
    """Finished runs by seed, each with its mean of the last ten epochs."""
    scored = [(run, accuracy_of(run, result.model)) for run in result.runs]
    return {_seed(run): _Score(run, score.last_ten) for run, score in scored if score is not None and score.last_ten is not None}


def _seed(run: OurRun) -> str:
    return content_hash({name: run.config.get(name) for name in ("seed", "seeds")})


def _difference(both: _Both) -> Difference | None:
    ours, others = ([score.accuracy for score in scores] for scores in (both.ours, both.others))
    if not ours or not others:
        return None
    return Difference(
        mean=fmean(ours) - fmean(others),
        standard_error=_paired_error(ours, others) if both.is_paired else _unpaired_error(ours, others),
        n=len(ours),
        n_than=len(others),
        is_paired=both.is_paired,
    )


def _paired_error(ours: Sequence[float], others: Sequence[float]) -> float | None:
    """Of the mean of the seeds' differences."""
    gaps = [one - other for one, other in zip(ours, others, strict=True)]
    return stdev(gaps) / sqrt(len(gaps)) if len(gaps) > 1 else None


def _unpaired_error(ours: Sequence[float], others: Sequence[float]) -> float | None:
    """Welch's: the variances of both means, added."""
    return sqrt(sum(variance(values) / len(values) for values in (ours, others))) if min(len(ours), len(others)) > 1 else None


def _label_conflicts(both: _Both) -> list[str]:
    """Why our two results are not on the same labels: seed by seed where they are paired, else one set for all."""
    pairs = zip(both.ours, both.others, strict=True) if both.is_paired else product(both.ours, both.others)
    hashes = [(one.run.noisy_hash, other.run.noisy_hash) for one, other in pairs]
    differing = [(one, other) for one, other in hashes if one is None or one != other]
    return [f"labels of our two results: {hash_text(one)}, and {hash_text(other)}" for one, other in differing[:1]]


def _notes(claim: Claim, ours: Difference, result: Result, than: Result) -> list[str]:
    """What a reader should know of a difference before trusting the verdict."""
    notes = [] if ours.is_paired else ["not paired: the two have other seeds"]
    for n, whole in ((ours.n, result), (ours.n_than, than)):
        if n < len(whole.runs):
            notes.append(f"{n} of {len(whole.runs)} seeds" + ("" if ours.is_paired else f" of {whole.ours.method}") + " are finished")
    distance = min(abs(ours.mean - bound) for bound in claim.bounds or [0.0])
    if ours.standard_error is not None and distance <= CLOSE * ours.standard_error:
        notes.append(f"no more than {CLOSE} standard errors from a bound")
    return list(dict.fromkeys(notes))
