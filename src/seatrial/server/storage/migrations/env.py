"""What Alembic runs: the steps, over a connection that is handed in."""

from alembic import context

from seatrial.server.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transaction_per_migration=False
)
context.run_migrations()
