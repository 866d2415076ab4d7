"""How memories fade: the formulas, what recall leaves behind, and who goes."""
