"""Forks: epochs that runs of a grid share."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("forked_after", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("cells", sa.Column("fork", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("cells", sa.Column("epochs_own", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("cells", "epochs_own")
    op.drop_column("cells", "fork")
    op.drop_column("runs", "forked_after")
