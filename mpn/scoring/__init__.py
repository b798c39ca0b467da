"""The way from a model and frames to scores, thresholds, events and places."""
