-- What the tables' own constraints cannot say. Checks of entries run once a statement over all rows it brought, which
-- costs half of what two foreign keys do, row by row. They are ENABLE ALWAYS: a replica role does not switch them off.

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is refused on %: what is written there stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'append_only';
END $$;

-- New entries are good when, for every one, the account and the transaction exist and the transaction is this one's
-- (no leg is ever added to an old transaction), its amount has no more decimals than the currency, it follows the
-- account's previous entry in seq and in balance, and every transaction sums to zero in each currency. An amount is
-- never zero, so a sum of zero also means at least two legs.
--
-- The plans are made when a session posts first, often on small tables, and kept: scalar subqueries, OFFSET 0 and the
-- settings hold them to one look by key an entry, whatever has grown since. Sums are taken in the order of the transactions, so
-- that those are looked up in the order of their key.
CREATE OR REPLACE FUNCTION check_entries() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off SET enable_mergejoin = off SET enable_hashagg = off AS $$
DECLARE
    entry record;
    bad record;
BEGIN
    -- Most entries of a large statement follow another of it; only the first of each account is compared with the table.
    SELECT bool_or(a.exponent IS NULL OR (scale(e.amount) > a.exponent AND scale(trim_scale(e.amount)) > a.exponent)) AS unfit,
           min(a.currency) <> max(a.currency) AS mixed,
           min(e.account_id) FILTER (WHERE
               CASE WHEN e.previous_seq IS NOT NULL THEN e.seq <> e.previous_seq + 1 OR e.before <> e.previous_balance
                    WHEN e.seq = 1 THEN e.before <> 0
                    ELSE (SELECT p.balance_after FROM transaction_entries p
                          WHERE p.ledger_id = e.ledger_id AND p.account_id = e.account_id AND p.seq = e.seq - 1)
                         IS DISTINCT FROM e.before END) AS with_gap
    INTO entry
    FROM (SELECT ledger_id, account_id, seq, amount, balance_after - amount AS before,
                 lag(seq) OVER account AS previous_seq, lag(balance_after) OVER account AS previous_balance
          FROM new_entries
          WINDOW account AS (PARTITION BY ledger_id, account_id ORDER BY seq)) e
    LEFT JOIN LATERAL (
        SELECT currency, exponent FROM accounts WHERE ledger_id = e.ledger_id AND id = e.account_id OFFSET 0
    ) a ON true;
    IF entry.unfit THEN
        RAISE EXCEPTION 'an entry has no such account, or more decimals than its currency'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_fits_account';
    END IF;
    IF entry.mixed THEN -- only then can a sum of zero hide two currencies
        SELECT e.transaction_id, a.currency, sum(e.amount) AS difference INTO bad
        FROM new_entries e
        CROSS JOIN LATERAL (
            SELECT currency FROM accounts WHERE ledger_id = e.ledger_id AND id = e.account_id OFFSET 0
        ) a
        GROUP BY e.ledger_id, e.transaction_id, a.currency
        HAVING sum(e.amount) <> 0
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'transaction % is off balance by % %', bad.transaction_id, bad.difference, bad.currency
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entries_sum_to_zero';
        END IF;
    END IF;

    SELECT n.* INTO bad
    FROM (SELECT ledger_id, transaction_id, sum(amount) AS difference
          FROM new_entries GROUP BY ledger_id, transaction_id) n
    WHERE n.difference <> 0
       OR (SELECT t.xid8 FROM transactions t WHERE t.ledger_id = n.ledger_id AND t.id = n.transaction_id)
          IS DISTINCT FROM pg_current_xact_id()
    LIMIT 1;
    IF FOUND AND bad.difference <> 0 THEN
        RAISE EXCEPTION 'transaction % is off balance by %', bad.transaction_id, bad.difference
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entries_sum_to_zero';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'entries of transaction % do not belong to a transaction being posted now', bad.transaction_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entries_of_a_new_transaction';
    END IF;

    IF entry.with_gap IS NOT NULL THEN
        RAISE EXCEPTION 'an entry of account % does not follow the one before it', entry.with_gap
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entries_without_gap';
    END IF;
    RETURN NULL;
END $$;

-- An account's balance and seq say what its last entry says. (Without sorting, that is found by its key, however small the
-- table was when the plan was made.)
CREATE OR REPLACE FUNCTION check_standings() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
    bad record;
BEGIN
    SELECT a.code INTO bad
    FROM new_accounts a
    LEFT JOIN LATERAL (
        SELECT e.seq, e.balance_after FROM transaction_entries e
        WHERE e.ledger_id = a.ledger_id AND e.account_id = a.id
        ORDER BY e.seq DESC LIMIT 1
    ) last ON true
    WHERE coalesce(last.seq, 0) <> a.seq OR coalesce(last.balance_after, 0) <> a.balance
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'account % does not stand where its last entry says', bad.code
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'account_equals_last_entry';
    END IF;
    RETURN NULL;
END $$;

-- A transaction says truly which database transaction wrote it, and a row of an import names a receipt that exists. Once
-- a statement, since a foreign key would ask once a row.
CREATE OR REPLACE FUNCTION check_transactions() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    bad record;
BEGIN
    SELECT n.id INTO bad FROM new_transactions n WHERE n.xid8 <> pg_current_xact_id() LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction % names another writer', bad.id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'transactions_of_this_writer';
    END IF;

    SELECT n.* INTO bad
    FROM (SELECT DISTINCT ledger_id, import_id FROM new_transactions WHERE import_id IS NOT NULL) n
    LEFT JOIN imports i ON i.ledger_id = n.ledger_id AND i.id = n.import_id
    WHERE i.id IS NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no import %', bad.import_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'transactions_of_an_import';
    END IF;
    RETURN NULL;
END $$;

-- Of a row, a number that changes with whatever must not change in it; `db/digests.py` sums them up. They are simple
-- enough for the planner to put them in their caller's place. Three things are asked of them that PostgreSQL's hashes do
-- not give by themselves: that of a NUMERIC does not see the sign, and 5 and 50000 differ by one bit; that of a BIGINT
-- takes in 32 bits, and all 64 only of the seed; that of a record is a sum over its columns, in which those of two rows
-- could change places.

CREATE OR REPLACE FUNCTION entry_hash(transaction uuid, account bigint, seq bigint, amount numeric, balance numeric)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN uuid_hash_extended(transaction, hash_numeric_extended(amount, hash_numeric_extended(balance, hashint8extended(
    CASE WHEN balance < 0 THEN -account ELSE account END, CASE WHEN amount < 0 THEN -seq ELSE seq END))));

CREATE OR REPLACE FUNCTION account_hash(a accounts) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashint8extended(a.id, hash_record_extended(ROW(a.code, a.type, a.currency, a.exponent, a.name, a.min_balance,
    a.min_balance < 0, a.max_balance, a.max_balance < 0, a.metadata, a.created_at), a.ledger_id));

-- PostgreSQL has hashes for bytes, instants and writers since version 18; before, those of what they can be turned into.
DO $$
DECLARE
    has_them boolean := current_setting('server_version_num')::integer >= 180000;
BEGIN
    EXECUTE format('CREATE OR REPLACE FUNCTION bytes_hash(bytes bytea, seed bigint) RETURNS bigint '
                   'LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %s',
                   CASE WHEN has_them THEN 'hashbyteaextended(bytes, seed)'
                        ELSE 'hashtextextended(encode(bytes, ''hex''), seed)' END);
    EXECUTE format('CREATE OR REPLACE FUNCTION instant_hash(instant timestamptz, seed bigint) RETURNS bigint '
                   'LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %s',
                   CASE WHEN has_them THEN 'timestamptz_hash_extended(instant, seed)'
                        ELSE 'timestamp_hash_extended(instant AT TIME ZONE ''UTC'', seed)' END);
    EXECUTE format('CREATE OR REPLACE FUNCTION writer_hash(writer xid8, seed bigint) RETURNS bigint '
                   'LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %s',
                   CASE WHEN has_them THEN 'hashxid8extended(writer, seed)'
                        ELSE 'hashtextextended(writer::text, seed)' END);
END $$;

-- A NULL would make the whole hash NULL. What most transactions do not have is hashed only where it is.
CREATE OR REPLACE FUNCTION transaction_hash(t transactions) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN uuid_hash_extended(t.id, hashtextextended(t.idempotency_key, bytes_hash(t.fingerprint,
    instant_hash(t.posted_at, hashtextextended(t.kind, writer_hash(t.xid8,
    hashint8extended(coalesce(t.import_id, 0), coalesce(t.import_row, 0)
        # CASE WHEN t.description IS NULL THEN 0 ELSE hashtextextended(t.description, 1) END
        # CASE WHEN t.reference IS NULL THEN 0 ELSE hashtextextended(t.reference, 2) END
        # CASE WHEN t.effective_at IS NULL AND t.reverses IS NULL AND t.metadata IS NULL THEN 0
               ELSE hash_record_extended(ROW(t.effective_at, t.reverses, t.metadata), 3) END)))))));
