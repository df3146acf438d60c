"""Alembic's entry: runs the revisions on the connection that server.db.migrate hands over."""

from alembic import context

from server.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
