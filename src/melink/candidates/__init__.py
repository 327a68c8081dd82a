"""Which entities could be meant: names, full text, vectors, and their fusion."""
