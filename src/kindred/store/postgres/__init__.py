"""A store in PostgreSQL with pgvector: one library for any number of machines.

Importing this package is cheap; the client library, psycopg, is imported with `kindred.store.postgres.store`.
"""

from kindred.store.postgres.url import PostgresUrl, is_postgres_url

__all__ = ["PostgresUrl", "is_postgres_url"]
