"""ledgerctl administers a double-entry payments ledger on PostgreSQL."""

__version__ = "0.1.0"
