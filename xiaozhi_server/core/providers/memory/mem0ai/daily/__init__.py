"""What is done once a day: when, by whom, and what came of it."""
