"""What is wrong with footage, and how to remedy it."""
