"""The command line: parse, call a service or a report, show. It has no rule of its own, and nobody imports it."""
