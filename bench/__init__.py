"""What the README claims, measured. Each module is one command that prints a table and, with --json, the figures."""
