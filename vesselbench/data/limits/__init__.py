"""What a model's grids cost before it has learned anything."""
