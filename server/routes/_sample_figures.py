"""A run's sheet of sample images, drawn by the service where it can read the run's data set."""

import textwrap
import threading
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from plotly.graph_objects import Figure

from dashboard.figures.samples import sample_figure, sample_table
from dashboard.figures.style import empty_figure
from server.routes._reading import read_lightly
from server.state import State
from server.views import RunView
from spec.identity import content_hash
from spec.run import RunConfig

if TYPE_CHECKING:
    from trainables.image_data.samples import Samples

TITLE = "Training images"
MAX_CACHED = 32
LINE_CHARACTERS = 80


class SampleCache:
    """Samples that were asked for lately. Safe to use from several threads; one at a time reads data sets."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Samples] = OrderedDict()
        self._lock = threading.Lock()

    def samples(self, run: RunConfig, root: Path) -> "Samples":
        """The run's samples. Data set, noise and label seed decide them; `draw_samples` says what it raises."""
        # Imports torch, which takes seconds: not before somebody looks at a sheet.
        from trainables.image_data.samples import draw_samples

        config = run.resolved()
        key = content_hash({"dataset": config["dataset"], "noise": config["noise"], "label_seed": run.seeds.label})
        with self._lock:
            if key not in self._entries:
                self._entries[key] = draw_samples(run.model_copy(update={"dataset": read_lightly(run.dataset)}), root)
            self._entries.move_to_end(key)
            while len(self._entries) > MAX_CACHED:
                self._entries.popitem(last=False)
            return self._entries[key]


def run_samples_figure(run: RunView, state: State, cache: SampleCache, columns: int) -> Figure:
    """The sheet, or a sentence that says why there is none."""
    root = state.settings.dataset_root
    assert root is not None
    try:
        samples = cache.samples(state.run_type.model_validate(run.config), root)
    except (OSError, ValueError) as error:
        return empty_figure(TITLE, _folded(f"The service cannot read the run's data: {error}"))
    if run.labels is not None and run.labels.noisy_hash != samples.card.noisy_hash:
        return empty_figure(TITLE, _folded("The data that the service can read gives other labels than the run was given."))
    return sample_figure(sample_table(map(asdict, samples.samples), samples.card), samples.card, columns)


def _folded(text: str) -> str:
    return "<br>".join(textwrap.wrap(text, LINE_CHARACTERS))
