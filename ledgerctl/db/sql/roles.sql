-- Who may do what, by role. Run again, it changes nothing. Nobody logs in as one of these: GRANT ledger_app TO name;
-- gives a login of your own its rights.
DO $$
DECLARE
    role text;
    former text;
BEGIN
    FOREACH role IN ARRAY ARRAY['ledger_owner', 'ledger_migrator', 'ledger_app', 'ledger_ro', 'ledger_auditor', 'ledger_metrics'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- from another database of this server, or at this very moment
        END;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = role AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)) THEN
            EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS', role);
        END IF;
    END LOOP;

    -- A login that has owned the tables until now goes on posting, and no more than that.
    SELECT r.rolname INTO former
    FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.oid = 'transactions'::regclass AND NOT r.rolsuper AND r.rolname <> 'ledger_owner';
    IF former IS NOT NULL THEN
        EXECUTE format('GRANT ledger_app TO %I', former);
    END IF;

    -- What nobody was given, nobody has.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    FOREACH role IN ARRAY ARRAY['ledger_migrator', 'ledger_app', 'ledger_ro', 'ledger_auditor', 'ledger_metrics'] LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role);
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
    END LOOP;

    -- The owner's rights are had by becoming it: the migrator may.
    GRANT USAGE, CREATE ON SCHEMA public TO ledger_owner;
    IF NOT pg_has_role('ledger_migrator', 'ledger_owner', 'MEMBER') THEN
        GRANT ledger_owner TO ledger_migrator;
    END IF;
END $$;

ALTER TABLE ledgers OWNER TO ledger_owner;
ALTER TABLE currencies OWNER TO ledger_owner;
ALTER TABLE accounts OWNER TO ledger_owner;
ALTER TABLE imports OWNER TO ledger_owner;
ALTER TABLE transactions OWNER TO ledger_owner;
ALTER TABLE transaction_entries OWNER TO ledger_owner;
ALTER TABLE reconciliations OWNER TO ledger_owner;
ALTER TABLE reconciliation_checkpoints OWNER TO ledger_owner;
ALTER TABLE reconciliation_digests OWNER TO ledger_owner;
ALTER TABLE bank_accounts OWNER TO ledger_owner;
ALTER TABLE bank_statements OWNER TO ledger_owner;
ALTER TABLE bank_lines OWNER TO ledger_owner;
ALTER TABLE bank_matches OWNER TO ledger_owner;
ALTER TABLE bank_match_lines OWNER TO ledger_owner;
ALTER TABLE bank_match_entries OWNER TO ledger_owner;
ALTER TABLE cache_epochs OWNER TO ledger_owner;
ALTER TABLE audit_logs OWNER TO ledger_owner;
ALTER TABLE alembic_version OWNER TO ledger_owner;
ALTER VIEW account_balances OWNER TO ledger_owner;
ALTER VIEW account_history OWNER TO ledger_owner;
ALTER VIEW transaction_list OWNER TO ledger_owner;
ALTER VIEW trial_balance OWNER TO ledger_owner;
ALTER VIEW activity OWNER TO ledger_owner;
ALTER VIEW account_numbers OWNER TO ledger_owner;
ALTER VIEW live_epochs OWNER TO ledger_owner;
ALTER FUNCTION refuse_change() OWNER TO ledger_owner;
ALTER FUNCTION check_entries() OWNER TO ledger_owner;
ALTER FUNCTION check_standings() OWNER TO ledger_owner;
ALTER FUNCTION check_transactions() OWNER TO ledger_owner;
ALTER FUNCTION entry_hash(uuid, bigint, bigint, numeric, numeric) OWNER TO ledger_owner;
ALTER FUNCTION account_hash(accounts) OWNER TO ledger_owner;
ALTER FUNCTION bytes_hash(bytea, bigint) OWNER TO ledger_owner;
ALTER FUNCTION instant_hash(timestamptz, bigint) OWNER TO ledger_owner;
ALTER FUNCTION writer_hash(xid8, bigint) OWNER TO ledger_owner;
ALTER FUNCTION transaction_hash(transactions) OWNER TO ledger_owner;
REVOKE ALL ON FUNCTION refuse_change(), check_entries(), check_standings(), check_transactions() FROM PUBLIC;

-- Posts, and changes of an account nothing but where it stands and whether it is open. Never deletes.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ledger_app;
GRANT INSERT ON ledgers, currencies, accounts, imports, transactions, transaction_entries, reconciliations,
                reconciliation_checkpoints, reconciliation_digests, bank_accounts, bank_statements, bank_lines,
                bank_matches, bank_match_lines, bank_match_entries, cache_epochs, audit_logs
      TO ledger_app;
GRANT USAGE ON SEQUENCE reconciliations_id_seq TO ledger_app; -- a run's number is taken before the run is recorded
GRANT UPDATE (status, balance, seq, last_posted_at) ON accounts TO ledger_app;
GRANT UPDATE (status, rows, decided, posted, replayed, rejected, totals, rejects_file, finished_at, reversed_at)
      ON imports TO ledger_app;
GRANT UPDATE (seq, balance, verified_at) ON reconciliation_checkpoints TO ledger_app;
GRANT UPDATE (rows, total, weighted) ON reconciliation_digests TO ledger_app;
GRANT UPDATE (undone_at) ON bank_matches TO ledger_app;
GRANT UPDATE (undone) ON bank_match_lines, bank_match_entries TO ledger_app;
GRANT UPDATE (id, state, instance, secret, server_started_at, written_by, file, changed_at, reason)
      ON cache_epochs TO ledger_app;

-- Looks at the books, and takes the backup: a dump reads where the sequences stand, too.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ledger_ro;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO ledger_ro;

-- Looks at who did what, not at what people wrote about their payments.
GRANT SELECT ON alembic_version, ledgers, imports, reconciliations, reconciliation_checkpoints, bank_matches,
                bank_match_lines, bank_match_entries, audit_logs TO ledger_auditor;

-- Counts.
GRANT SELECT ON alembic_version, ledgers, imports, reconciliations, reconciliation_checkpoints, activity,
                account_numbers TO ledger_metrics;
GRANT SELECT (ledger_id, purpose, state, changed_at) ON live_epochs TO ledger_metrics;
