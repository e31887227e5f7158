"""Alembic migrations. Every version runs on SQLite and on PostgreSQL."""
