"""Alembic's entry: runs the revisions on the connection that app.migrate opened (and locked), or, without
one, writes their SQL."""

from alembic import context

from app.storage.models import Base

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata)
else:
    context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
