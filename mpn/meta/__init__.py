"""Meta-learning of any network, on any data: nothing here knows of video."""
