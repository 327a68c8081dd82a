"""Fitting: sees training and validation data only."""
