"""The REST API: the same services through HTTP. It has no rule of its own."""
