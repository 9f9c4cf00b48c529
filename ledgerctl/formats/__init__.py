"""Files and objects in and out: bytes to core values and back, without a database."""
