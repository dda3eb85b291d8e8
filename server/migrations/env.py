"""Runs migrations on the connection that `server.migrations.migrate` hands over."""

from alembic import context

from server.kit.db import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
