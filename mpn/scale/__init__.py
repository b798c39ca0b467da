"""An archive scored by several processes or machines, on Ray. Needs the extra `mpn[scale]`."""
