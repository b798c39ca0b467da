"""Files and small texts: what every other folder may use."""
