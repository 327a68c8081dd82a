"""The knowledge base on disk: the store, its importers, its names index."""
