"""Names of the constraints that the program recognises in an error; `schema.py` declares them under these names."""

IDEMPOTENCY_KEY = "transactions_idempotency_key"
REVERSED_ONCE = "transactions_reversed_once"
ACCOUNT_CODE = "accounts_code"
LEDGER_NAME = "ledgers_name"
TRANSACTION_ID = "transactions_pkey"
ENTRY_SEQ = "transaction_entries_pkey"
CURRENCY_CODE = "currencies_pkey"
