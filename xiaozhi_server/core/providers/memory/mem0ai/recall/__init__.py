"""How a question finds its memories: words, vectors and time, in one ranking. Knows no database."""
