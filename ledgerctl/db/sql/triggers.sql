CREATE OR REPLACE TRIGGER transaction_entries_check AFTER INSERT ON transaction_entries
    REFERENCING NEW TABLE AS new_entries FOR EACH STATEMENT EXECUTE FUNCTION check_entries();
CREATE OR REPLACE TRIGGER accounts_check_insert AFTER INSERT ON accounts
    REFERENCING NEW TABLE AS new_accounts FOR EACH STATEMENT EXECUTE FUNCTION check_standings();
CREATE OR REPLACE TRIGGER accounts_check_update AFTER UPDATE ON accounts
    REFERENCING NEW TABLE AS new_accounts FOR EACH STATEMENT EXECUTE FUNCTION check_standings();
CREATE OR REPLACE TRIGGER transactions_check AFTER INSERT ON transactions
    REFERENCING NEW TABLE AS new_transactions FOR EACH STATEMENT EXECUTE FUNCTION check_transactions();
ALTER TABLE transaction_entries ENABLE ALWAYS TRIGGER transaction_entries_check;
ALTER TABLE transactions ENABLE ALWAYS TRIGGER transactions_check;
ALTER TABLE accounts ENABLE ALWAYS TRIGGER accounts_check_insert;
ALTER TABLE accounts ENABLE ALWAYS TRIGGER accounts_check_update;

-- What an account counts in never changes; its code, status and limits may.
CREATE OR REPLACE TRIGGER accounts_keep_identity BEFORE UPDATE OF ledger_id, id, currency, exponent, type, created_at ON accounts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER accounts_keep_identity;

-- Append-only: rows are neither changed nor taken away, one by one or all at once.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['transactions', 'transaction_entries', 'audit_logs', 'reconciliations',
                                'bank_statements', 'bank_lines'] LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()',
                       name || '_append_only', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', name, name || '_append_only');
    END LOOP;
    FOREACH name IN ARRAY ARRAY['ledgers', 'accounts', 'imports', 'bank_accounts', 'bank_matches', 'bank_match_lines',
                                'bank_match_entries'] LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()',
                       name || '_keep', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', name, name || '_keep');
    END LOOP;
    FOREACH name IN ARRAY ARRAY['transactions', 'transaction_entries', 'audit_logs', 'reconciliations',
                                'bank_statements', 'bank_lines', 'ledgers', 'accounts', 'imports', 'bank_accounts',
                                'bank_matches', 'bank_match_lines', 'bank_match_entries'] LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()',
                       name || '_no_truncate', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', name, name || '_no_truncate');
    END LOOP;
END $$;
