"""From what was said to rows: the outbox, the worker, the saver without a model."""
