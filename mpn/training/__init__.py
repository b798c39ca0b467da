"""Pre-training and meta-training, and the run folder that both keep."""
