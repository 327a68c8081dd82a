"""The bundled example: a small knowledge base of colliding names, with pictures drawn by the project."""
