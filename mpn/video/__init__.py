"""Footage and films: what lies in a folder, decoding, times and rates; annotated videos."""
