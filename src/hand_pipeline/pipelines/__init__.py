"""Thin Kedro pipelines: build objects, call the library, return artefacts."""
