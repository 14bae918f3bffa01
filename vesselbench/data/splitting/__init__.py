"""Who belongs to whom, and who to train, val and test; what stands in two sets."""
