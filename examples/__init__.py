"""How to use the library, from a checkout; not part of the installed package."""
