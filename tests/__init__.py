"""The tests; a package so that scripts and benchmarks can use its fixture writers."""
