"""Frames in, films out: what lies in a folder, decoding, times and rates; annotated videos."""
