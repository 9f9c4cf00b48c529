-- The read API for people with psql, and for `db/reports.py`. Balances are on the account's normal side here: a debit
-- makes an asset and an expense grow, a credit the others. The tables keep credits positive, whatever the account.

CREATE OR REPLACE VIEW account_balances AS
SELECT a.ledger_id, l.name AS ledger, a.id AS account_id, a.code AS account, a.name, a.type, a.currency, a.exponent,
       a.status, CASE WHEN a.type IN ('asset', 'expense') THEN -a.balance ELSE a.balance END AS balance,
       a.min_balance, a.max_balance, a.seq, a.last_posted_at, a.created_at, a.metadata
FROM accounts a
JOIN ledgers l ON l.id = a.ledger_id;

CREATE OR REPLACE VIEW account_history AS
SELECT e.ledger_id, e.account_id, a.code AS account, e.seq, e.transaction_id, t.kind, t.posted_at,
       coalesce(t.effective_at, t.posted_at) AS effective_at,
       CASE WHEN e.amount < 0 THEN -e.amount END AS debit,
       CASE WHEN e.amount > 0 THEN e.amount END AS credit,
       CASE WHEN a.type IN ('asset', 'expense') THEN -e.balance_after ELSE e.balance_after END AS balance,
       a.currency, a.exponent,
       ARRAY(SELECT DISTINCT other.code COLLATE "C"
             FROM transaction_entries o
             JOIN accounts other ON other.ledger_id = o.ledger_id AND other.id = o.account_id
             WHERE o.ledger_id = e.ledger_id AND o.transaction_id = e.transaction_id AND o.account_id <> e.account_id
             ORDER BY 1) AS counterparties,
       t.description, t.reference, t.idempotency_key
FROM transaction_entries e
JOIN accounts a ON a.ledger_id = e.ledger_id AND a.id = e.account_id
JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id;

CREATE OR REPLACE VIEW transaction_list AS
SELECT t.ledger_id, t.id AS transaction_id, t.kind, t.idempotency_key, t.posted_at,
       coalesce(t.effective_at, t.posted_at) AS effective_at, t.description, t.reference, t.metadata,
       t.reverses, r.id AS reversed_by, t.import_id, t.import_row
FROM transactions t
LEFT JOIN transactions r ON r.ledger_id = t.ledger_id AND r.reverses = t.id;

CREATE OR REPLACE VIEW trial_balance AS
SELECT l.name AS ledger, a.currency, a.type,
       sum(CASE WHEN a.balance < 0 THEN -a.balance ELSE 0 END) AS debits,
       sum(CASE WHEN a.balance > 0 THEN a.balance ELSE 0 END) AS credits
FROM accounts a
JOIN ledgers l ON l.id = a.ledger_id
GROUP BY l.name, a.currency, a.type;

-- What was done, for whoever counts: nothing in it tells of whom, which account, or what it was for. A line has
-- `entries` if its transaction posted some. No rows are hidden, so it need be no barrier, which no index could pass.
CREATE OR REPLACE VIEW activity AS
SELECT ledger_id, id, xid8, action, outcome,
       CASE WHEN outcome = 'refused' THEN detail ->> 'reason' END AS reason,
       (detail ->> 'transactions')::bigint AS transactions,
       (detail ->> 'entries')::bigint AS entries,
       detail -> 'volume' AS volume,
       (detail ->> 'rejected')::bigint AS rejected,
       CASE WHEN action = 'import' THEN detail -> 'reasons' END AS reasons,
       detail ->> 'from' AS status_before
FROM audit_logs;

CREATE OR REPLACE VIEW account_numbers AS
SELECT ledger_id, currency, status, count(*) AS accounts
FROM accounts
GROUP BY ledger_id, currency, status;

-- The epochs of what is kept in Redis, as they are in force. A row that was not written where it stands, in this
-- database and by the server that runs now, came with a dump, a copy, a snapshot or a standby: values of another past
-- may still be read by its name.
CREATE OR REPLACE VIEW live_epochs AS
SELECT ledger_id, purpose, id, instance, secret, changed_at, reason,
       CASE WHEN state = 'off' THEN 'off'
            WHEN xmin = written_by::xid AND server_started_at = pg_postmaster_start_time()
                 AND file = pg_relation_filepath('cache_epochs') THEN state
            ELSE 'closing' END AS state
FROM cache_epochs;
