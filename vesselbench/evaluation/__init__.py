"""From predictions to scores: metrics per image, the empty-mask policy, thresholds."""
