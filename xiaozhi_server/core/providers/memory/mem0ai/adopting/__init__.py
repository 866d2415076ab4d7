"""What mem0 itself has stored in PostgreSQL, brought over: an owner at the first contact, everybody by a command."""
