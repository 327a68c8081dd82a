"""Mentions: the JSONL that every command reads, and the published benchmark layouts."""
