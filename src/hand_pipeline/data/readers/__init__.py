"""One reader for each data set's own on-disk format."""
