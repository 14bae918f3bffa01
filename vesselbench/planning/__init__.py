"""What a training costs on stated hardware: memory per rank by category, seconds per optimizer step, energy."""
