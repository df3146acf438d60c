"""Reporting: what a run says while it trains, and to whom."""

from typing import Protocol

from spec.records import LabelCard, RunState


class Reporter(Protocol):
    """Where a run's messages go. The run's identity and attempt are the reporter's own business."""

    @property
    def stop_requested(self) -> bool:
        """Whether somebody cancelled the run; asked after every epoch."""
        ...

    def started(
        self,
        *,
        labels: LabelCard,
        num_train: int,
        num_validation: int,
        num_test: int,
        num_parameters: int,
        device: str,
        resumed_from: int,
    ) -> None:
        """The run is set up and trains from the epoch after `resumed_from`."""

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """What was measured after an epoch, counted from 1. Durable when this returns."""

    def finished(self, state: RunState, error: str | None = None, log_tail: str = "") -> None:
        """The run is over."""


class NullReporter:
    """Says nothing to nobody: for tests, and for all ranks but the first."""

    stop_requested = False

    def started(self, **facts: object) -> None:
        pass

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        pass

    def finished(self, state: RunState, error: str | None = None, log_tail: str = "") -> None:
        pass
