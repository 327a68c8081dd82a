"""Ranks, metrics, protocol and reports."""
