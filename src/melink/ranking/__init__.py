"""Ranking a whole knowledge base: exactly, in bounded memory, without scoring what cannot win."""
