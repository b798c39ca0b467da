"""A model adapted to a new camera: meta-learning, and what `mpn adapt` does."""
