"""One function for each thing that changes the books, one transaction each. What follows a commit happens after it."""
