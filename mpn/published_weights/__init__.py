"""Weights that the paper's authors' code saved, read without running any of it."""
