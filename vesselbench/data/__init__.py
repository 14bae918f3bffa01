"""From annotation files to batches: formats, masks, split, augmentation, loader."""
