-- The service works under a role without login that cannot change what was booked, whatever its code
-- does. Owners and superusers are bound by no grant, so every connection of the service takes this role.
DO $$
BEGIN
  CREATE ROLE tollgate_app NOLOGIN;
EXCEPTION
  -- Roles belong to the whole server: another database of it may have made this one.
  WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
  IF NOT pg_has_role(current_user, 'tollgate_app', 'MEMBER') THEN
    EXECUTE format('GRANT tollgate_app TO %I', current_user);
  END IF;
EXCEPTION
  WHEN unique_violation THEN NULL;
END $$;

GRANT USAGE ON SCHEMA public TO tollgate_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO tollgate_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO tollgate_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tollgate_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO tollgate_app;

REVOKE UPDATE, DELETE ON "ledger_transfers", "credit_grants", "period_closes", "corrections", "credit_notes",
  "provider_payments", "audit_log" FROM tollgate_app;
REVOKE DELETE ON "invoices", "usage_events", "prices", "charged_requests", "plan_changes", "plans",
  "document_numbers", "budgets", "accounts" FROM tollgate_app;
