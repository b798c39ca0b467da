"""The network: its configuration, layers, losses, and its checkpoint files."""
