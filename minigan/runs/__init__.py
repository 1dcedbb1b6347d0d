"""A training run: its parts, its directory, its checkpoints, the loop, and what a step costs."""
