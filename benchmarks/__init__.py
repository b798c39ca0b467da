"""Measurements that are run by hand; see README.md. Not part of the installed package."""
