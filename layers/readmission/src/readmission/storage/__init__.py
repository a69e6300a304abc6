"""Postgres: connections, transactions, bulk transfer and schema migrations."""
