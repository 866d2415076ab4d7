"""Why a memory is not what it should be. What is suspect is kept and listed, but never recalled as if it were known."""

UNEXTRACTED = "unextracted"  # as it was said, since no model could make facts of it
UNFOUNDED = "unfounded"  # a fact that nobody said
INSTRUCTION = "instruction"  # an order to a machine in place of a fact
FOREIGN = "foreign"  # in another language or script than what was said: what it was made of is kept beside it

SUSPECT = (UNFOUNDED, INSTRUCTION, FOREIGN)
