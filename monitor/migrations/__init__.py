"""The schema's history (alembic), run by ``monitor.adapters.store.migrate``."""
