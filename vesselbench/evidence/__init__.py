"""A comparison as a file that others can check: what goes into it, and what is computed again from it."""
