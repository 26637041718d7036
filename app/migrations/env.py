"""Alembic's entry: runs the revisions on the connection that app.migrate opened (and locked)."""

from alembic import context

from app.storage.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
