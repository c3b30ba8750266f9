"""Hands rendered with exact labels."""
