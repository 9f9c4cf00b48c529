"""Redis, where it helps: no answer is ever right because of it. docs/caching.md."""


class Away(Exception):
    """Redis did not do what it was asked: it is gone, slow, full, or not one that may be trusted with balances."""
