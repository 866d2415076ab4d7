"""The rows in PostgreSQL: written, changed, listed, counted."""
