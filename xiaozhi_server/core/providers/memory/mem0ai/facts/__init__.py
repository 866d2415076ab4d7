"""From a talk to facts: what a model is asked and answers, what of it is believed, and what it changes of the known."""
