"""Postgres: the models, the connection pool, and what is asked of them."""
