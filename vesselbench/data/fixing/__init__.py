"""A new data set in which what rules can mend is mended."""
