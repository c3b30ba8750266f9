"""Errors, curves, benchmarks, prediction over a loader and submission files."""
