"""Forks: runs of a grid that differ only in what happens after an epoch train the epochs before it once.

Label correction from epoch 250 on, and none at all, are the same run for 249 epochs. Which run trains a prefix does not matter: it
is known by its content, and a run that does not find it trains it itself.
"""

from collections import defaultdict
from collections.abc import Sequence

from pydantic import BaseModel, Field

from spec.identity import content_hash
from spec.run import RunConfig


class Fork(BaseModel):
    """A run's place among those that it shares epochs with."""

    wave: int = Field(0, ge=0, description="the run starts when those of earlier waves are over")
    after: int = Field(0, ge=0, description="epochs that a run of an earlier wave trains for this one")
    shared: list[int] = Field([], description="epochs after which this run's state is another run's too")


def plan_forks(runs: Sequence[RunConfig]) -> list[Fork]:
    """Each run's fork, such that every epoch that runs share is trained once."""
    forks = [Fork()] * len(runs)
    families = defaultdict(list)
    for place, run in enumerate(runs):
        families[content_hash(run.prefix(0))].append(place)
    for places in families.values():
        if len(places) > 1:
            for place, fork in zip(places, _plan_family([runs[place] for place in places]), strict=True):
                forks[place] = fork
    return forks


def _plan_family(runs: Sequence[RunConfig]) -> list[Fork]:
    """Forks of runs that are the same before the first epoch."""
    turns = sorted(set().union(*(run.turns() for run in runs)), reverse=True)
    prefixes = [{epoch: run.prefix_id(epoch) for epoch in turns if epoch <= run.epochs} for run in runs]
    # The longest first, so that the others find all that they share with it.
    order = sorted(range(len(runs)), key=lambda place: -runs[place].epochs)
    after, wave = [0] * len(runs), [0] * len(runs)
    first_wave: dict[str, int] = {}
    for place in order:
        after[place] = next((epoch for epoch, prefix in prefixes[place].items() if prefix in first_wave), 0)
        if after[place]:
            wave[place] = first_wave[prefixes[place][after[place]]] + 1
        for prefix in prefixes[place].values():
            first_wave.setdefault(prefix, wave[place])
    taken = {prefixes[place][after[place]] for place in order if after[place]}
    shared = [sorted(epoch for epoch, prefix in known.items() if prefix in taken) for known in prefixes]
    return [Fork(wave=wave[place], after=after[place], shared=shared[place]) for place in range(len(runs))]
