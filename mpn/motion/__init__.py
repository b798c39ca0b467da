"""What moves in a camera's picture, what stays, and what of it is normal where. No torch."""
