"""The embedded demo set: footage of generated scenes, with labels."""
