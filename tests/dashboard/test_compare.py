"""Comparisons on hand-made cells."""

from typing import Any

import pytest

from dashboard.compare import Comparison, OurRun, Verdict, compare, differences, evaluated_methods, noise_text
from dashboard.published.cells import Labels, PublishedCell
from spec.records import RunState
from spec.summary import summarise

FILE, OTHER = "a" * 64, "b" * 64
PROTOCOL = {"epochs": 300, "optimizer.lr": 0.001, "ema.decay": 0.999}


def published(
    method: str = "SLN-MO", sigma: float = 1.0, source: str = "paper", noisy_hash: str | None = FILE, **changes: Any
) -> PublishedCell:
    labels = Labels(name=f"{(noisy_hash or 'drawn')[0]}.csv", noise="symmetric", rate=0.4, noisy_hash=noisy_hash)
    facts: dict[str, Any] = {"last": 0.85, "sd": 0.004, "n": 5, "tolerance": 0.012, "protocol": PROTOCOL, "dataset": "cifar10", **changes}
    return PublishedCell(source=source, labels=labels, method=method, sigma=sigma, **facts)


def config(seed: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": "cifar10", "verify": True},
        "noise": {"name": "recorded", "path": "sln_labels/a.csv", "sha256": None},
        "method": {"name": "sln", "sigma": 1.0, "correct_from": None},
        "optimizer": {"name": "sgd", "lr": 0.001},
        "ema": {"decay": 0.999},
        "epochs": 300,
        "seed": seed,
        "seeds": {"label": seed},
        **changes,
    }


def run(accuracy: float = 0.85, seed: int = 0, state: RunState = RunState.DONE, noisy_hash: str | None = FILE, **changes: Any) -> OurRun:
    """A run whose averaged model ended at this accuracy; in the last ten epochs but one at one point less."""
    epochs = {epoch: {"test_accuracy": 0.8, "ema_test_accuracy": accuracy if epoch == 300 else accuracy - 0.01} for epoch in (299, 300)}
    return OurRun(config(seed, **changes), state, noisy_hash, summarise(epochs) if state is not RunState.QUEUED else None)


def averaged(runs: list[OurRun], *cells: PublishedCell) -> Comparison:
    """What becomes of the moving average."""
    (found,) = [comparison for comparison in compare(runs, cells) if "MO" in comparison.ours.method]
    return found


def test_ours_is_the_mean_of_the_last_ten_epochs_and_held_to_the_published_mean():
    found = averaged([run(0.85)], published())
    assert found.ours.last_ten == pytest.approx(0.845)
    assert found.ours.last == pytest.approx(0.85)
    assert found.difference == pytest.approx(-0.005)
    assert (found.verdict, found.tolerance, found.ours.sd) == (Verdict.WITHIN, 0.012, None)


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.8669, "within"), (0.8671, "outside"), (0.8431, "within"), (0.8429, "outside")])
def test_within_is_up_to_the_tolerance_on_either_side(accuracy: float, verdict: str):
    assert averaged([run(accuracy)], published()).verdict == verdict


def test_three_seeds_halve_the_tolerance_and_have_a_sample_deviation():
    found = averaged([run(0.85, 0), run(0.86, 1), run(0.87, 2)], published())
    assert (found.ours.n, found.ours.num_runs) == (3, 3)
    assert found.ours.last_ten == pytest.approx(0.855)
    # Deviations of -0.01, 0 and 0.01: (0.0001 + 0.0001) / 2.
    assert found.ours.sd == pytest.approx(0.01)
    assert found.tolerance == pytest.approx(0.006)


def test_a_published_mean_of_the_last_ten_goes_before_a_last_epoch():
    found = averaged([run(0.85)], published(last=0.9, last_ten=0.844))
    assert found.expected == 0.844
    assert found.verdict is Verdict.WITHIN


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 10}, "epochs: ours 10, published 300"),
        ({"optimizer": {"name": "sgd", "lr": 0.1}}, "optimizer.lr: ours 0.1, published 0.001"),
        ({"ema": {"decay": 0.9}}, "ema.decay: ours 0.9, published 0.999"),
        ({"optimizer": {"name": "adam"}}, "optimizer.lr: ours none, published 0.001"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_protocol_is_refused_and_said(changes: dict[str, Any], said: str):
    found = averaged([run(**changes)], published())
    assert (found.verdict, found.reasons) == (Verdict.REFUSED, [said])
    assert found.difference is None
    assert found.expected is None


def test_another_protocol_is_refused_before_anything_is_finished():
    assert averaged([run(state=RunState.QUEUED, noisy_hash=None, epochs=10)], published()).verdict is Verdict.REFUSED


def test_other_labels_are_refused_and_said():
    found = averaged([run(noisy_hash=OTHER)], published())
    assert (found.verdict, found.reasons) == (Verdict.REFUSED, ["labels: ours hash bbbbbbbb, published a.csv (hash aaaaaaaa)"])


def test_labels_drawn_anew_for_each_seed_are_not_a_published_set():
    noise = {"name": "symmetric", "rate": 0.4}
    found = averaged([run(seed=0, noise=noise), run(seed=1, noise=noise, noisy_hash=OTHER)], published())
    assert found.reasons == ["labels: ours 2 draws, published a.csv (hash aaaaaaaa)"]


def test_labels_of_finished_runs_decide_and_not_those_still_to_be_drawn():
    noise = {"name": "symmetric", "rate": 0.4}
    runs = [run(noise=noise), run(seed=1, noise=noise, state=RunState.QUEUED, noisy_hash=None)]
    assert averaged(runs, published()).verdict is Verdict.WITHIN


def test_a_finished_run_that_never_said_its_labels_is_refused():
    found = averaged([run(noisy_hash=None)], published())
    assert found.reasons == ["labels: ours not known, published a.csv (hash aaaaaaaa)"]


def test_labels_are_known_before_the_first_run_where_the_generator_is_pinned():
    generator = {"name": "re_sln", "mode": "sym", "rate": 0.4, "seed": 123}
    file, drawn = published(), published(noisy_hash=OTHER)
    drawn = drawn.model_copy(update={"labels": drawn.labels.model_copy(update={"generator": generator})})
    queued = run(state=RunState.QUEUED, noisy_hash=None, noise=generator)
    found = averaged([queued], file, drawn)
    assert (found.verdict, found.published) == (Verdict.WAITING, drawn)
    other = drawn.model_copy(update={"source": "re-sln"})
    verdicts = {c.published.source: c.verdict for c in compare([queued], [file, other]) if c.published and c.ours.method == "SLN-MO"}
    assert verdicts == {"paper": Verdict.REFUSED, "re-sln": Verdict.WAITING}


def test_published_labels_that_nobody_knows_cannot_be_others():
    found = averaged([run(noise={"name": "symmetric", "rate": 0.4})], published(noisy_hash=None))
    assert found.verdict is Verdict.WITHIN
    assert found.notes == ["published labels were drawn anew, and are not known"]


def test_labels_that_are_wrong_as_published_are_compared_and_said_to_be_taken_for_the_same():
    as_published = Labels(name="as published", noise="real", generator={"name": "clean"})
    cell = published(dataset="animal10n").model_copy(update={"labels": as_published})
    found = averaged([run(dataset={"name": "animal10n"}, noise={"name": "clean"})], cell)
    assert (found.verdict, found.ours.noise) == (Verdict.WITHIN, "clean")
    assert found.notes == ["the published labels' hash is not known: ours are taken to be the same data set's"]


def test_labels_that_were_corrupted_further_are_not_those_that_are_wrong_as_published():
    as_published = Labels(name="as published", noise="real", generator={"name": "clean"})
    cell = published(dataset="animal10n").model_copy(update={"labels": as_published})
    found = averaged([run(dataset={"name": "animal10n"}, noise={"name": "symmetric", "rate": 0.4})], cell)
    assert found.verdict is Verdict.UNPUBLISHED


def test_one_source_answers_with_its_cell_on_our_very_labels():
    cells = [
        published(noisy_hash=OTHER, last=0.1),
        published(),
        published(source="re-sln", noisy_hash=OTHER),
        published(noisy_hash="c" * 64),
    ]
    found = [c for c in compare([run()], cells) if c.ours.method == "SLN-MO"]
    assert [(c.published.source, c.published.last, c.verdict) for c in found if c.published] == [
        ("paper", 0.85, "within"),
        ("re-sln", 0.85, "refused"),
    ]


def test_unfinished_runs_wait_and_do_not_count():
    waiting = averaged([run(state=RunState.RUNNING), run(seed=1, state=RunState.QUEUED, noisy_hash=None)], published())
    assert (waiting.verdict, waiting.reasons, waiting.ours.last_ten) == (Verdict.WAITING, ["none of 2 runs is finished"], None)
    partly = averaged([run(0.85), run(0.1, seed=1, state=RunState.RUNNING)], published())
    assert (partly.verdict, partly.ours.n, partly.notes) == (Verdict.WITHIN, 1, ["1 of 2 runs are finished"])


def test_what_nobody_published_says_so():
    (raw, ema) = compare([run(method={"name": "sln", "sigma": 0.3, "correct_from": None})], [published()])
    assert {raw.verdict, ema.verdict} == {Verdict.UNPUBLISHED}
    assert ema.reasons == ["no published figure for SLN-MO, σ = 0.3 on cifar10 symmetric 0.4"]


def test_the_averages_decay_does_not_matter_for_the_raw_model():
    cell = published(method="SLN", last=0.8, protocol={"epochs": 300})
    raw = compare([run(ema={"decay": 0.5})], [cell])[0]
    assert (raw.ours.method, raw.verdict) == ("SLN", Verdict.WITHIN)


def test_precision_and_unchecked_images_are_noted():
    found = averaged([run(precision="bfloat16", dataset={"name": "cifar10", "verify": False})], published())
    assert found.verdict is Verdict.WITHIN
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    ("method", "ema", "names"),
    [
        ({"name": "ce"}, None, {"raw": "CE"}),
        ({"name": "sln", "sigma": 0.0, "correct_from": None}, {}, {"raw": "CE", "ema": "CE-MO"}),
        ({"name": "sln", "sigma": 1.0, "correct_from": None}, {}, {"raw": "SLN", "ema": "SLN-MO"}),
        ({"name": "sln", "sigma": 1.0, "correct_from": 250}, {}, {"raw": "SLN-LC", "ema": "SLN-MO-LC"}),
        ({"name": "gce", "q": 0.7}, None, {"raw": "gce"}),
    ],
)
def test_methods_are_called_as_in_the_paper(method: dict[str, Any], ema: dict[str, Any] | None, names: dict[str, str]):
    assert evaluated_methods({"method": method, "ema": ema}) == names


def test_differences_follow_dotted_paths():
    assert differences({"a": {"b": 1}}, {"a.b": 1, "a.c": None}) == []
    assert differences({"a": {"b": 1}}, {"a.b": 2}) == ["a.b: ours 1, published 2"]


def test_noise_is_named_by_its_file_or_by_kind_and_rate():
    assert noise_text({"name": "recorded", "path": "labels/x.csv"}) == "x.csv"
    assert noise_text({"name": "re_sln", "mode": "sym", "rate": 0.4, "seed": 123}) == "re_sln sym 0.4"
