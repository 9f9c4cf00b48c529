"""What banks write: one reader a format, all behind `formats/statements.py`."""
