"""Grids, runs, their places in grids, and their epoch records."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "grids",
        sa.Column("grid_id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("factors", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("external", sa.Boolean(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("active_since", sa.Float(precision=53), nullable=False),
        sa.Column("epochs_before", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("grid_id", name=op.f("pk_grids")),
    )
    op.create_index(op.f("ix_grids_created_at"), "grids", ["created_at"], unique=False)
    op.create_table(
        "sequence",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sequence")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(length=16), nullable=False),
        sa.Column("grid_id", sa.String(length=16), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("epochs", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=True),
        sa.Column("heard_at", sa.Float(precision=53), nullable=True),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.Column("noise_rate", sa.Float(precision=53), nullable=True),
        sa.Column("realised_rate", sa.Float(precision=53), nullable=True),
        sa.Column("noisy_hash", sa.Text(), nullable=True),
        sa.Column("labels", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("num_train", sa.BigInteger(), nullable=True),
        sa.Column("num_validation", sa.BigInteger(), nullable=True),
        sa.Column("num_test", sa.BigInteger(), nullable=True),
        sa.Column("num_parameters", sa.BigInteger(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("summary", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("log_tail", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["grid_id"], ["grids.grid_id"], name=op.f("fk_runs_grid_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_grid_id"), "runs", ["grid_id"], unique=False)
    op.create_index(op.f("ix_runs_seq"), "runs", ["seq"], unique=False)
    op.create_index(op.f("ix_runs_state"), "runs", ["state"], unique=False)
    op.create_table(
        "cells",
        sa.Column("grid_id", sa.String(length=16), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(length=16), nullable=False),
        sa.Column("factors", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["grid_id"], ["grids.grid_id"], name=op.f("fk_cells_grid_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_cells_run_id")),
        sa.PrimaryKeyConstraint("grid_id", "position", name=op.f("pk_cells")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_cells_run_id", "cells", ["run_id"], unique=False)
    op.create_table(
        "epoch_records",
        sa.Column("run_id", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_epoch_records_run_id")),
        sa.PrimaryKeyConstraint("run_id", "attempt", "epoch", name=op.f("pk_epoch_records")),
        sqlite_with_rowid=False,
    )

    op.execute("INSERT INTO sequence (name, value) VALUES ('changes', 0)")


def downgrade() -> None:
    op.drop_table("epoch_records")
    op.drop_index("ix_cells_run_id", table_name="cells")
    op.drop_table("cells")
    op.drop_index(op.f("ix_runs_state"), table_name="runs")
    op.drop_index(op.f("ix_runs_seq"), table_name="runs")
    op.drop_index(op.f("ix_runs_grid_id"), table_name="runs")
    op.drop_table("runs")
    op.drop_table("sequence")
    op.drop_index(op.f("ix_grids_created_at"), table_name="grids")
    op.drop_table("grids")
