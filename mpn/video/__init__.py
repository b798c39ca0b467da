"""Frames in and annotated films out: what lies in a folder, decoding, times and rates."""
