"""The built-in data set formats, one file each."""
