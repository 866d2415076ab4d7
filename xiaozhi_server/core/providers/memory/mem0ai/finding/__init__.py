"""From a question to rows: what is at hand, the statements, owners with indexes of their own."""
