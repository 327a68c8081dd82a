"""Encoders, and the store that keeps what they computed."""
