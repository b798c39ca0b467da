"""What moves in a camera's picture, and what motion is normal at each place of it. No torch."""
