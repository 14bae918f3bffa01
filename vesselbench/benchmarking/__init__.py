"""What a model costs here: optimizer steps and predictions, in rounds beside peaks measured in the same run."""
