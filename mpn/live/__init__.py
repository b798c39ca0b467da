"""Live cameras: streams in, alarms out. Needs the extra `mpn[live]`."""
