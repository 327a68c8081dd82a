"""How well does each candidate fit: one file per method."""
