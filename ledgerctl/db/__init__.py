"""Everything PostgreSQL: how it is reached, what it holds, and the SQL, by noun."""
