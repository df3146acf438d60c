"""The database's tables. server/migrations makes them; a test compares the two."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID = String(16)
NAMES = {"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"}
TYPES = {dict[str, Any]: JSON, list[Any]: JSON, str: Text, float: Float(53), int: BigInteger, bool: Boolean}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = TYPES


class SequenceRow(Base):
    """One row: the number of the last change. Rows that change carry it as `seq`, and event streams resume by it."""

    __tablename__ = "sequence"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[int]


class GridRow(Base):
    __tablename__ = "grids"

    grid_id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    spec: Mapped[dict[str, Any]]
    factors: Mapped[list[Any]]
    created_at: Mapped[float] = mapped_column(index=True)
    # Launched by its sender, not by the service.
    external: Mapped[bool]
    cancelled: Mapped[bool]
    message: Mapped[str]
    # Since when its present runs are made, and the epochs that there were before: the estimate of the time left needs both.
    active_since: Mapped[float]
    epochs_before: Mapped[int]
    seq: Mapped[int]


class RunRow(Base):
    """A run exists once, whatever number of grids hold it."""

    __tablename__ = "runs"

    run_id: Mapped[str] = mapped_column(ID, primary_key=True)
    # The grid that is responsible for making it.
    grid_id: Mapped[str] = mapped_column(ID, ForeignKey("grids.grid_id"), index=True)
    config: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempt: Mapped[int]
    epoch: Mapped[int]
    epochs: Mapped[int]
    started_at: Mapped[float | None]
    heard_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    noise_rate: Mapped[float | None]
    realised_rate: Mapped[float | None]
    noisy_hash: Mapped[str | None]
    labels: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    num_train: Mapped[int | None]
    num_validation: Mapped[int | None]
    num_test: Mapped[int | None]
    num_parameters: Mapped[int | None]
    # Epochs that another run trained for it.
    forked_after: Mapped[int] = mapped_column(server_default="0")
    device: Mapped[str | None]
    host: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None]
    log_tail: Mapped[str]
    seq: Mapped[int] = mapped_column(index=True)


class CellRow(Base):
    """A run's place in a grid."""

    __tablename__ = "cells"
    __table_args__ = (Index("ix_cells_run_id", "run_id"), {"sqlite_with_rowid": False})

    grid_id: Mapped[str] = mapped_column(ID, ForeignKey("grids.grid_id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ID, ForeignKey("runs.run_id"))
    factors: Mapped[dict[str, Any]]
    # A `spec.forks.Fork`, and the epochs that it leaves the run to train.
    fork: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    epochs_own: Mapped[int | None]


class EpochRow(Base):
    """What a run measured after an epoch. Every attempt's records stay; readers take the last attempt's."""

    __tablename__ = "epoch_records"
    __table_args__ = ({"sqlite_with_rowid": False},)

    run_id: Mapped[str] = mapped_column(ID, ForeignKey("runs.run_id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    metrics: Mapped[dict[str, Any]]
