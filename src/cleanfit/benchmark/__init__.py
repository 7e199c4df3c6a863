"""The benchmark: every defense against every attack on the same rows, seeds and epochs, cell by cell."""
