"""A data set written in another format, or taken in without names; what that costs."""
