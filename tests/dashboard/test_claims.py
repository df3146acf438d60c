"""Claims about two methods, on hand-made runs."""

from collections.abc import Iterable
from typing import Any

import pytest

from dashboard.claims import CheckedClaim, check_claims
from dashboard.compare import OurRun
from dashboard.published.cells import Claim, Labels, PublishedCell, PublishedPair
from spec.records import RunState
from spec.summary import summarise

FILE, OTHER = "a" * 64, "b" * 64
PROTOCOL = {"epochs": 300, "optimizer.lr": 0.001}
CE, SLN = {"name": "ce"}, {"name": "sln", "sigma": 1.0, "correct_from": None}
LC = {**SLN, "correct_from": 251}


def cell(method: str, last: float, labels: Labels | None = None, source: str = "paper", **protocol: Any) -> PublishedCell:
    return PublishedCell(
        source=source,
        dataset="cifar10",
        labels=labels or Labels(name="a.csv", noise="symmetric", rate=0.4, noisy_hash=FILE),
        method=method,
        sigma=0.0 if method == "CE" else 1.0,
        last=last,
        n=5,
        tolerance=0.01,
        protocol={**PROTOCOL, **protocol},
    )


BETTER = Claim((PublishedPair(cell("SLN", 0.80), cell("CE", 0.53)),))
AVERAGED = Claim((PublishedPair(cell("SLN-MO", 0.85), cell("SLN", 0.80)),))
CORRECTED = Claim((PublishedPair(cell("SLN-MO-LC", 0.87), cell("SLN-MO", 0.85)),), at_least=0.015)
BOUNDED = CORRECTED._replace(at_least=-0.015, at_most=0.005)


def run(method: dict[str, Any], raw: float, averaged: float = 0.9, seed: int = 0, **changes: Any) -> OurRun:
    """A finished run on the published labels with these final accuracies, unless something else is said."""
    state, noisy_hash = changes.pop("state", RunState.DONE), changes.pop("noisy_hash", FILE)
    config = {
        "dataset": {"name": "cifar10", "verify": True},
        "noise": {"name": "recorded", "path": "sln_labels/a.csv", "sha256": None},
        "method": method,
        "optimizer": {"name": "sgd", "lr": 0.001},
        "ema": {"decay": 0.999},
        "epochs": 300,
        "seed": seed,
        "seeds": {"label": seed},
        **changes,
    }
    return OurRun(config, state, noisy_hash, summarise({300: {"test_accuracy": raw, "ema_test_accuracy": averaged}}))


def check(claim: Claim, runs: Iterable[OurRun]) -> CheckedClaim:
    """The one answer to a claim."""
    cells = [cell for pair in claim.pairs for cell in pair]
    (checked,) = check_claims(runs, [claim], cells)
    return checked


@pytest.mark.parametrize(("sln", "verdict"), [(0.51, "holds"), (0.5, "does not hold"), (0.49, "does not hold")])
def test_without_bounds_one_method_is_more_accurate_than_the_other(sln: float, verdict: str):
    """Two models that both only guess are not in order."""
    checked = check(BETTER, [run(CE, 0.5), run(SLN, sln)])
    assert (checked.claim, checked.verdict) == ("SLN > CE", verdict)
    assert checked.ours
    assert checked.ours.mean == pytest.approx(sln - 0.5)
    assert [(found.source, round(found.difference, 6)) for found in checked.published] == [("paper", 0.27)]


@pytest.mark.parametrize(
    ("claim", "gain", "verdict"),
    [
        (CORRECTED, 0.016, "holds"),
        (CORRECTED, 0.014, "does not hold"),
        (BOUNDED, 0.004, "holds"),
        (BOUNDED, -0.014, "holds"),
        (BOUNDED, 0.006, "does not hold"),
        (BOUNDED, -0.016, "does not hold"),
    ],
)
def test_bounds_are_of_the_difference(claim: Claim, gain: float, verdict: str):
    assert check(claim, [run(SLN, 0.8, 0.85), run(LC, 0.8, 0.85 + gain)]).verdict == verdict


def test_claims_say_their_bounds_in_points():
    assert (CORRECTED.text, BOUNDED.text) == ("SLN-MO-LC − SLN-MO at least +1.5", "SLN-MO-LC − SLN-MO from -1.5 to +0.5")
    assert CORRECTED._replace(at_least=None, at_most=0.005).text == "SLN-MO-LC − SLN-MO at most +0.5"


def test_one_run_answers_for_its_model_and_its_average():
    checked = check(AVERAGED, [run(SLN, 0.80, 0.84)])
    assert checked.ours
    assert (checked.ours.mean, checked.ours.n, checked.ours.is_paired) == (pytest.approx(0.04), 1, True)


def test_the_same_seeds_are_paired_and_the_error_is_of_their_differences():
    """Differences of 0.2, 0.3 and 0.4: deviation 0.1, standard error 0.1 / sqrt(3); either method alone spreads far more."""
    runs = [run(CE, raw, seed=seed) for seed, raw in enumerate((0.1, 0.3, 0.5))]
    runs += [run(SLN, raw, seed=seed) for seed, raw in ((2, 0.9), (0, 0.3), (1, 0.6))]
    ours = check(BETTER, runs).ours
    assert ours
    assert (ours.n, ours.n_than, ours.is_paired) == (3, 3, True)
    assert (ours.mean, ours.standard_error) == (pytest.approx(0.3), pytest.approx(0.1 / 3**0.5))


def test_other_seeds_are_not_paired_and_the_variances_of_the_means_add():
    """Variances 0.0002 and 0.0008, each of two runs: sqrt(0.0001 + 0.0004)."""
    runs = [run(CE, 0.50, seed=0), run(CE, 0.52, seed=1), run(SLN, 0.78, seed=2), run(SLN, 0.82, seed=3)]
    checked = check(BETTER, runs)
    assert checked.ours
    assert (checked.ours.is_paired, checked.ours.n, checked.ours.n_than) == (False, 2, 2)
    assert (checked.ours.mean, checked.ours.standard_error) == (pytest.approx(0.29), pytest.approx(0.0005**0.5))
    assert checked.notes == ["not paired: the two have other seeds"]


def test_a_single_seed_on_either_side_has_no_standard_error():
    ours = check(BETTER, [run(CE, 0.5, seed=0), run(SLN, 0.78, seed=1), run(SLN, 0.82, seed=2)]).ours
    assert ours
    assert (ours.standard_error, ours.n, ours.n_than) == (None, 2, 1)


def test_only_seeds_that_both_have_finished_count():
    runs = [run(CE, 0.5, seed=0), run(CE, 0.0, seed=1), run(SLN, 0.8, seed=0), run(SLN, 0.0, seed=1, state=RunState.RUNNING)]
    checked = check(BETTER, runs)
    assert checked.ours
    assert (checked.ours.mean, checked.ours.n) == (pytest.approx(0.3), 1)
    assert checked.notes == ["1 of 2 seeds are finished"]


def test_a_claim_waits_until_a_seed_of_both_is_finished():
    half = [run(CE, 0.5, seed=0), run(CE, 0.5, seed=1, state=RunState.QUEUED)]
    half += [run(SLN, 0.8, seed=0, state=RunState.FAILED), run(SLN, 0.8, seed=1)]
    checked = check(BETTER, half)
    assert (checked.verdict, checked.reasons, checked.ours) == ("waiting", ["no seed of both is finished"], None)


def test_a_difference_near_a_bound_is_noted():
    runs = [run(CE, 0.5, seed=seed) for seed in (0, 1)] + [run(SLN, 0.50, seed=0), run(SLN, 0.54, seed=1)]
    checked = check(BETTER, runs)
    assert (checked.verdict, checked.notes) == ("holds", ["no more than 2 standard errors from a bound"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 10}, "epochs: ours 10, published 300"),
        ({"noisy_hash": OTHER}, "labels: ours hash bbbbbbbb, published a.csv (hash aaaaaaaa)"),
    ],
)
def test_another_protocol_or_other_labels_leave_an_observation_without_verdict(changes: dict[str, Any], said: str):
    checked = check(BETTER, [run(CE, 0.5, **changes), run(SLN, 0.8, **changes)])
    assert (checked.verdict, checked.reasons, checked.published) == ("refused", [said], [])
    assert checked.ours
    assert checked.ours.mean == pytest.approx(0.3)


@pytest.mark.parametrize("changes", [{"epochs": 10}, {"optimizer": {"name": "sgd", "lr": 0.1}}, {"precision": "bfloat16"}])
def test_our_two_results_must_share_all_but_method_and_seeds(changes: dict[str, Any]):
    checked = check(BETTER, [run(CE, 0.5, **changes), run(SLN, 0.8)])
    assert (checked.verdict, checked.ours) == ("refused", None)
    assert checked.reasons == ["no run of CE that differs in nothing but method and seeds"]


def test_two_averages_must_be_of_one_kind_and_a_raw_model_may_come_with_any():
    other = {"decay": 0.99}
    assert check(CORRECTED, [run(SLN, 0.8, 0.85, ema=other), run(LC, 0.8, 0.9)]).verdict == "refused"
    assert check(BETTER, [run(CE, 0.5, ema=None), run(SLN, 0.8)]).verdict == "holds"


def test_a_mean_over_seeds_with_labels_of_their_own_is_paired_by_labels():
    anew = Labels(name="drawn anew", noise="openset", rate=0.4)
    claim = Claim((PublishedPair(cell("SLN", 0.8, anew), cell("CE", 0.5, anew)),))
    noise = {"name": "openset", "rate": 0.4}
    ces = [run(CE, 0.5, seed=0, noise=noise), run(CE, 0.5, seed=1, noise=noise, noisy_hash=OTHER)]
    slns = [run(SLN, 0.8, seed=0, noise=noise), run(SLN, 0.8, seed=1, noise=noise, noisy_hash=OTHER)]
    checked = check(claim, ces + slns)
    assert (checked.verdict, checked.notes) == ("holds", ["published labels were drawn anew, and are not known"])
    swapped = [slns[0]._replace(noisy_hash=OTHER), slns[1]._replace(noisy_hash=FILE)]
    assert check(claim, ces + swapped).reasons == ["labels of our two results: hash bbbbbbbb, and hash aaaaaaaa"]


def test_unpaired_runs_on_several_draws_are_not_on_the_same_labels():
    anew = Labels(name="drawn anew", noise="openset", rate=0.4)
    claim = Claim((PublishedPair(cell("SLN", 0.8, anew), cell("CE", 0.5, anew)),))
    noise = {"name": "openset", "rate": 0.4}
    checked = check(claim, [run(CE, 0.5, seed=0, noise=noise), run(SLN, 0.8, seed=1, noise=noise, noisy_hash=OTHER)])
    assert (checked.verdict, checked.ours) == ("refused", None)


def test_labels_that_nobody_said_cannot_be_the_same():
    checked = check(BETTER, [run(CE, 0.5, noisy_hash=None), run(SLN, 0.8, noisy_hash=None)])
    assert checked.reasons == ["labels of our two results: not known, and not known"]


def test_a_source_whose_protocol_ours_is_not_is_left_out():
    start = "method.correct_from"
    later = PublishedPair(cell("SLN-MO-LC", 0.88, source="re-sln", **{start: 250}), cell("SLN-MO", 0.85, source="re-sln"))
    claim = CORRECTED._replace(pairs=(PublishedPair(cell("SLN-MO-LC", 0.87, **{start: 251}), cell("SLN-MO", 0.85)), later))
    runs = [run(SLN, 0.8, 0.85), run(LC, 0.8, 0.9)]
    assert [found.source for found in check(claim, runs).published] == ["paper"]
    neither = check(claim, [runs[0], run({**LC, "correct_from": 100}, 0.8, 0.9)])
    assert neither.reasons == ["method.correct_from: ours 100, published 251"]


def test_a_claim_on_our_very_labels_goes_before_one_on_labels_of_their_kind():
    other = Labels(name="b.csv", noise="symmetric", rate=0.4, noisy_hash=OTHER)
    own = Claim((PublishedPair(cell("SLN", 0.7, other), cell("CE", 0.5, other)),))
    runs = [run(CE, 0.5, noisy_hash=OTHER), run(SLN, 0.8, noisy_hash=OTHER)]
    cells = [cell for claim in (BETTER, own) for cell in claim.pairs[0]]
    (checked,) = check_claims(runs, [BETTER, own], cells)
    assert (checked.verdict, [round(found.difference, 6) for found in checked.published]) == ("holds", [0.2])


def test_a_model_that_was_not_evaluated_is_not_waited_for():
    """Another program's run with a moving average has no figure for the raw model: its SLN is another run."""
    averaged = run(SLN, 0.0, 0.85)._replace(summary=summarise({300: {"ema_test_accuracy": 0.85}}))
    raw = run(SLN, 0.8, seed=1, ema=None)._replace(summary=summarise({300: {"test_accuracy": 0.8}}))
    checked = check(AVERAGED, [averaged, raw])
    assert (checked.verdict, checked.ours and checked.ours.mean) == ("holds", pytest.approx(0.05))


def test_nothing_is_asked_of_labels_and_sigmas_that_nobody_published():
    runs = [run(CE, 0.5, noise={"name": "symmetric", "rate": 0.2}), run(SLN, 0.8, noise={"name": "symmetric", "rate": 0.2})]
    runs += [run({**SLN, "sigma": 0.3}, 0.8)]
    assert check_claims(runs, [BETTER, AVERAGED], [*BETTER.pairs[0], *AVERAGED.pairs[0]]) == []
