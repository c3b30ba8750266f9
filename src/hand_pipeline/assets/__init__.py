"""Data that ships with the package: the open hand and its licence."""
