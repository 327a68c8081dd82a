"""Adding to mentions and entities what their source does not say: facts, types, descriptions."""
