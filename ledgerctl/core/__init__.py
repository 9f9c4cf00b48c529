"""What the ledger knows without asking anybody: values, money, and the decision whether money may move."""
