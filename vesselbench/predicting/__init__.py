"""Predictions of images that no data set knows: which images, by what, and the files that come of it."""
