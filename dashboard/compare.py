"""Comparison: a grid's results beside published ones, and a refusal wherever the two are not of the same thing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from statistics import fmean, stdev
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from dashboard.published.cells import Labels, PublishedCell
from spec.grid import value_at
from spec.identity import content_hash
from spec.records import RunState
from spec.summary import Summary, TestAccuracy

# Kinds of noise whose labels are of one published kind, if not the same.
KINDS = {"symmetric": "symmetric", "uniform": "symmetric", "asymmetric": "asymmetric", "pair": "asymmetric"}
RE_SLN_KINDS = {"sym": "symmetric", "asym": "asymmetric", "openset": "openset"}
# The mean of so many seeds may be half as far off as one seed's.
SEEDS_THAT_HALVE = 3
HASH_DIGITS = 8


class Verdict(StrEnum):
    """What a comparison says."""

    WITHIN = "within"
    OUTSIDE = "outside"
    REFUSED = "refused"
    WAITING = "waiting"
    UNPUBLISHED = "unpublished"


class OurRun(NamedTuple):
    """A run of the grid: its resolved configuration, and how far it is."""

    config: Mapping[str, Any]
    state: RunState
    noisy_hash: str | None
    summary: Summary | None


class Ours(BaseModel):
    """Runs of the grid that differ in nothing but their seeds, evaluated as one method; accuracies in [0, 1], of finished runs."""

    dataset: str
    noise: str
    method: str
    sigma: float | None = None
    num_runs: int
    n: int = Field(description="finished runs")
    last_ten: float | None = Field(None, description="mean over the last ten epochs, and over runs")
    sd: float | None = Field(None, description="sample standard deviation of `last_ten` over runs; None where n < 2")
    last: float | None = Field(None, description="after the last epoch, mean over runs")


class Comparison(BaseModel):
    """One result of ours beside one that was published."""

    ours: Ours
    published: PublishedCell | None = Field(None, description="None where nobody published such a result")
    verdict: Verdict
    expected: float | None = Field(None, description="what ours is held to; None unless both may be compared")
    difference: float | None = Field(None, description="our mean of the last ten epochs minus `expected`")
    tolerance: float | None = None
    reasons: list[str] = Field(default_factory=list, description="why they cannot be compared, or not yet")
    notes: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class OurLabels:
    """The labels of runs that differ in nothing but seeds: their name, their kind in published words, their identities."""

    name: str
    kind: str
    rate: float | None
    # Of finished runs, if there are any; None where the labels are not drawn yet, or nobody said which they were.
    hashes: frozenset[str | None]


class Result(NamedTuple):
    """Runs that differ in nothing but seeds, evaluated as one method."""

    runs: list[OurRun]
    model: str
    ours: Ours
    labels: OurLabels

    @property
    def config(self) -> Mapping[str, Any]:
        """Of the first run: but for the seeds, of all."""
        return self.runs[0].config


def compare(runs: Iterable[OurRun], published: Sequence[PublishedCell]) -> list[Comparison]:
    """Every result of the runs beside its published counterparts, one of each source, in the order of the runs."""
    found = []
    for result in results(runs, published):
        cells = _counterparts(result.ours, result.labels, published)
        found += [_judged(result, cell) for cell in cells] or [_unpublished(result.ours, result.labels)]
    return found


def results(runs: Iterable[OurRun], published: Sequence[PublishedCell]) -> Iterator[Result]:
    """The runs' results, in their order; labels that a published generator surely draws have its hash before they are drawn."""
    for replicates in _replicates(runs):
        drawn = _drawn(replicates[0].config, published)
        pinned = drawn.noisy_hash if drawn else None
        known = [run._replace(noisy_hash=run.noisy_hash or pinned) for run in replicates]
        labels = _our_labels(known, drawn, published)
        for model, method in evaluated_methods(known[0].config).items():
            yield Result(known, model, _ours(known, model, method), labels)


def evaluated_methods(config: Mapping[str, Any]) -> dict[str, str]:
    """What papers call the run's raw model and, where it has one, its moving average: one run answers for SLN and SLN-MO."""
    method = config["method"]
    name = {"ce": "CE", "sln": "SLN" if method.get("sigma") else "CE"}.get(method["name"], method["name"])
    correction = "-LC" if method.get("correct_from") is not None else ""
    raw = {"raw": name + correction}
    return raw if config.get("ema") is None else {**raw, "ema": f"{name}-MO{correction}"}


def differences(config: Mapping[str, Any], protocol: Mapping[str, Any]) -> list[str]:
    """Where a configuration departs from a published protocol."""
    own = {path: value_at(dict(config), path) for path in protocol}
    return [f"{path}: ours {_said(own[path])}, published {_said(value)}" for path, value in protocol.items() if own[path] != value]


def departures(result: Result, cell: PublishedCell) -> list[str]:
    """Why a result is not of the same thing as a published one: another protocol, or other labels."""
    return differences(result.config, cell.protocol) + _label_differences(result.ours, result.labels, cell.labels)


def accuracy_of(run: OurRun, model: str) -> TestAccuracy | None:
    """A finished run's test accuracy, of its model `raw` or `ema`."""
    accuracy: TestAccuracy | None = getattr(run.summary, model, None)
    return accuracy if run.state is RunState.DONE else None


def hash_text(digest: str | None) -> str:
    """Labels by the first digits of their hash."""
    return f"hash {digest[:HASH_DIGITS]}" if digest else "not known"


def noise_text(noise: Mapping[str, Any]) -> str:
    """A kind of noise in a few words: `symmetric 0.4`, `cifar10-sym0.4.csv`."""
    if noise["name"] == "recorded":
        return PurePath(str(noise["path"])).name
    given = [noise["name"], noise.get("mode"), noise.get("rate")]
    return " ".join(str(value) for value in given if value is not None)


def _replicates(runs: Iterable[OurRun]) -> Iterator[list[OurRun]]:
    """The runs in groups that differ in nothing but seeds."""
    groups: dict[str, list[OurRun]] = {}
    for run in runs:
        key = content_hash({name: value for name, value in run.config.items() if name not in ("seed", "seeds")})
        groups.setdefault(key, []).append(run)
    yield from groups.values()


def _ours(replicates: Sequence[OurRun], model: str, method: str) -> Ours:
    config = replicates[0].config
    finished = [accuracy for run in replicates if (accuracy := accuracy_of(run, model))]
    last_ten = [accuracy.last_ten for accuracy in finished if accuracy.last_ten is not None]
    last = [accuracy.last for accuracy in finished if accuracy.last is not None]
    return Ours(
        dataset=config["dataset"]["name"],
        noise=noise_text(config["noise"]),
        method=method,
        sigma=0.0 if method.startswith("CE") else config["method"].get("sigma"),
        num_runs=len(replicates),
        n=len(last_ten),
        last_ten=fmean(last_ten) if last_ten else None,
        sd=stdev(last_ten) if len(last_ten) > 1 else None,
        last=fmean(last) if last else None,
    )


def _published_labels(config: Mapping[str, Any], published: Sequence[PublishedCell]) -> list[Labels]:
    return [cell.labels for cell in published if cell.dataset == config["dataset"]["name"]]


def _drawn(config: Mapping[str, Any], published: Sequence[PublishedCell]) -> Labels | None:
    """The published labels that a run with this configuration surely has."""
    return next((labels for labels in _published_labels(config, published) if labels.are_drawn_by(config["noise"])), None)


def _our_labels(replicates: Sequence[OurRun], drawn: Labels | None, published: Sequence[PublishedCell]) -> OurLabels:
    config = replicates[0].config
    noise, name = config["noise"], noise_text(config["noise"])
    known = _published_labels(config, published)
    finished = [run for run in replicates if run.state is RunState.DONE]
    hashes = frozenset(run.noisy_hash for run in finished or replicates)
    if noise["name"] == "clean" and drawn is not None:
        return OurLabels(drawn.name, drawn.noise, drawn.rate, hashes)
    if noise["name"] != "recorded":
        return OurLabels(name, _kind(noise), noise.get("rate"), hashes)
    # A file is known by its content or, before it was read, by its name.
    same = [labels for labels in known if labels.noisy_hash in hashes - {None}] + [labels for labels in known if labels.name == name]
    return OurLabels(name, same[0].noise, same[0].rate, hashes) if same else OurLabels(name, "recorded", None, hashes)


def _kind(noise: Mapping[str, Any]) -> str:
    name = str(noise["name"])
    return RE_SLN_KINDS.get(noise.get("mode", ""), name) if name == "re_sln" else KINDS.get(name, name)


def _counterparts(ours: Ours, labels: OurLabels, published: Sequence[PublishedCell]) -> list[PublishedCell]:
    """The published cells of the same question, one of each source: that on our very labels, if there is one."""
    wanted = (ours.dataset, labels.kind, labels.rate, ours.method, ours.sigma)
    chosen: dict[str, PublishedCell] = {}
    for cell in published:
        if (cell.dataset, cell.labels.noise, cell.labels.rate, cell.method, cell.sigma) != wanted:
            continue
        if cell.source not in chosen or cell.labels.noisy_hash in labels.hashes - {None}:
            chosen[cell.source] = cell
    return list(chosen.values())


def _judged(result: Result, cell: PublishedCell) -> Comparison:
    ours, refusals = result.ours, departures(result, cell)
    notes = [f"{ours.n} of {ours.num_runs} runs are finished"] if 0 < ours.n < ours.num_runs else []
    notes += caveats(result.config, cell)
    if refusals:
        return Comparison(ours=ours, published=cell, verdict=Verdict.REFUSED, reasons=refusals, notes=notes)
    if ours.last_ten is None:
        reason = f"none of {ours.num_runs} runs is finished"
        return Comparison(ours=ours, published=cell, verdict=Verdict.WAITING, reasons=[reason], notes=notes)
    difference = ours.last_ten - cell.expected
    tolerance = cell.tolerance / (2 if ours.n >= SEEDS_THAT_HALVE else 1)
    return Comparison(
        ours=ours,
        published=cell,
        verdict=Verdict.WITHIN if abs(difference) <= tolerance else Verdict.OUTSIDE,
        expected=cell.expected,
        difference=difference,
        tolerance=tolerance,
        notes=notes,
    )


def _label_differences(ours: Ours, own: OurLabels, labels: Labels) -> list[str]:
    """Why our labels are not the published ones; nothing where they are, or may yet turn out to be."""
    known = own.hashes - {None}
    if labels.noisy_hash is None or own.hashes == {labels.noisy_hash}:
        return []
    if known <= {labels.noisy_hash} and ours.n == 0:
        return []
    drawn = [hash_text(digest) for digest in own.hashes]
    said = drawn[0] if len(drawn) == 1 else f"{len(drawn)} draws"
    return [f"labels: ours {said}, published {labels.name} (hash {labels.noisy_hash[:HASH_DIGITS]})"]


def caveats(config: Mapping[str, Any], cell: PublishedCell) -> list[str]:
    """What a reader should know, and what does not forbid to compare."""
    notes = []
    if cell.labels.noisy_hash is None and cell.labels.generator is None:
        notes.append("published labels were drawn anew, and are not known")
    if cell.labels.noisy_hash is None and cell.labels.generator is not None:
        notes.append("the published labels' hash is not known: ours are taken to be the same data set's")
    if config.get("precision", "float32") != "float32":
        notes.append(f"ours in {config['precision']}, published in float32")
    if config["dataset"].get("verify") is False:
        notes.append("our image files were not checked to be the published ones (dataset.verify)")
    return notes


def _unpublished(ours: Ours, labels: OurLabels) -> Comparison:
    known = " ".join(str(value) for value in (ours.dataset, labels.kind, labels.rate) if value is not None)
    sigma = "" if not ours.sigma else f", σ = {ours.sigma:g}"
    return Comparison(ours=ours, verdict=Verdict.UNPUBLISHED, reasons=[f"no published figure for {ours.method}{sigma} on {known}"])


def _said(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
