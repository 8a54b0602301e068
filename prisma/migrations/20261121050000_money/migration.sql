-- Plans, credits, the ledger, period closes, invoices, corrections, credit notes.

-- Plans are rows: amounts and kind can change without a release.
CREATE TABLE "plans" (
    "slug" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "price_pico_usd" BIGINT NOT NULL,
    "credit_pico_usd" BIGINT NOT NULL,
    "is_per_seat" BOOLEAN NOT NULL,
    "is_pay_as_you_go_default" BOOLEAN NOT NULL,
    "position" INTEGER NOT NULL,

    CONSTRAINT "plans_pkey" PRIMARY KEY ("slug"),
    CONSTRAINT "plans_amounts" CHECK (price_pico_usd >= 0 AND credit_pico_usd >= 0)
);
INSERT INTO "plans" VALUES
  ('free', 'Free', 0, 100000000000, FALSE, FALSE, 1),
  ('pro', 'Pro', 9000000000000, 2000000000000, FALSE, TRUE, 2),
  ('team', 'Team', 20000000000000, 2000000000000, TRUE, TRUE, 3);

ALTER TABLE "accounts" ADD CONSTRAINT "accounts_plan_fkey" FOREIGN KEY ("plan") REFERENCES "plans"("slug") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- The plan and seats of an account from an instant on. A change that is scheduled can be cancelled
-- by a later one; one that took effect stays.
CREATE TABLE "plan_changes" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "plan" TEXT NOT NULL,
    "seats" INTEGER NOT NULL,
    "requested_at" TIMESTAMPTZ(3) NOT NULL,
    "effective_at" TIMESTAMPTZ(3) NOT NULL,
    "cancelled_at" TIMESTAMPTZ(3),

    CONSTRAINT "plan_changes_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "plan_changes_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "plan_changes_plan_fkey" FOREIGN KEY ("plan") REFERENCES "plans"("slug") ON DELETE RESTRICT ON UPDATE RESTRICT,
    CONSTRAINT "plan_changes_seats" CHECK (seats BETWEEN 1 AND 100000),
    CONSTRAINT "plan_changes_cancelled_before_effect" CHECK (cancelled_at IS NULL OR cancelled_at <= effective_at)
);
CREATE INDEX "plan_changes_account" ON "plan_changes" ("account_id", "effective_at", "id");

-- Accounts that exist already: their plan since they were made.
INSERT INTO "plan_changes" (id, account_id, plan, seats, requested_at, effective_at)
SELECT gen_random_uuid(), id, plan, seats, created_at, created_at FROM "accounts";

-- Grants as they were made; what is left of each is the fold of its transfers, kept in budgets.credit.
CREATE TABLE "credit_grants" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "amount_pico_usd" BIGINT NOT NULL,
    "period" CHAR(7),
    "entitlement_pico_usd" BIGINT,
    "granted_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3),
    "reason" TEXT NOT NULL,
    "actor" TEXT NOT NULL,
    "idempotency_key" TEXT,

    CONSTRAINT "credit_grants_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "credit_grants_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "credit_grants_kind" CHECK (kind IN ('plan', 'promotional', 'prepaid')),
    CONSTRAINT "credit_grants_amount" CHECK (amount_pico_usd > 0),
    CONSTRAINT "credit_grants_plan_has_period" CHECK ((kind = 'plan') = (period IS NOT NULL AND entitlement_pico_usd IS NOT NULL)),
    CONSTRAINT "credit_grants_expiry" CHECK (expires_at IS NULL OR expires_at > granted_at)
);
CREATE UNIQUE INDEX "credit_grants_one_per_entitlement" ON "credit_grants" (account_id, period, entitlement_pico_usd) WHERE kind = 'plan';
CREATE UNIQUE INDEX "credit_grants_idempotency" ON "credit_grants" (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX "credit_grants_account" ON "credit_grants" (account_id, id);

-- Two-sided transfers. A settlement's replay protection is its event's single transition; every
-- other transfer carries the identity of the business fact that it books.
CREATE TABLE "ledger_transfers" (
    "id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "period" CHAR(7) NOT NULL,
    "kind" TEXT NOT NULL,
    "debit" TEXT NOT NULL,
    "credit" TEXT NOT NULL,
    "amount_pico_usd" BIGINT NOT NULL,
    "account_id" UUID,
    "grant_id" UUID,
    "idempotency_id" TEXT,

    CONSTRAINT "ledger_transfers_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ledger_transfers_amount" CHECK (amount_pico_usd > 0),
    CONSTRAINT "ledger_transfers_two_sides" CHECK (debit <> credit)
);
CREATE INDEX "ledger_transfers_account" ON "ledger_transfers" (account_id, period, id);
-- What touches a period's books from outside it: few, beside the settlements.
CREATE INDEX "ledger_transfers_facts" ON "ledger_transfers" (account_id, id)
  WHERE kind NOT IN ('settlement', 'absorbed', 'taken_back', 'covered');
CREATE UNIQUE INDEX "ledger_transfers_idempotency" ON "ledger_transfers" (idempotency_id) WHERE idempotency_id IS NOT NULL;
CREATE INDEX "ledger_transfers_time" ON "ledger_transfers" USING brin (created_at);

-- Debits minus credits of a payer's own accounts. The others are sums of their transfers: one row
-- that every settlement of every account updates would be locked by every commit.
CREATE TABLE "ledger_balances" (
    "ledger_account" TEXT NOT NULL,
    "account_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "balance_pico_usd" DECIMAL(38,0) NOT NULL,

    CONSTRAINT "ledger_balances_pkey" PRIMARY KEY ("ledger_account"),
    CONSTRAINT "ledger_balances_kind" CHECK (kind IN ('plan_credit', 'promo_credit', 'prepaid_credit', 'unbilled', 'receivable')),
    -- Credit is what we owe: never spent below zero, at any commit.
    CONSTRAINT "ledger_balances_credit_not_negative" CHECK (kind NOT IN ('plan_credit', 'promo_credit', 'prepaid_credit') OR balance_pico_usd <= 0)
);
ALTER TABLE "ledger_balances" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200);
CREATE INDEX "ledger_balances_account" ON "ledger_balances" (account_id);

-- Balances of every account up to an instant that lies behind all running transactions.
CREATE TABLE "ledger_checkpoints" (
    "at" TIMESTAMPTZ(3) NOT NULL,
    "ledger_account" TEXT NOT NULL,
    "debits_pico_usd" DECIMAL(38,0) NOT NULL,
    "credits_pico_usd" DECIMAL(38,0) NOT NULL,

    CONSTRAINT "ledger_checkpoints_pkey" PRIMARY KEY ("at", "ledger_account")
);

-- The journal's side: which transfers an event is part of, and the credit of an account under the
-- same lock as its budget.
ALTER TABLE "usage_events" ADD COLUMN "transfer_ids" UUID[], ADD COLUMN "is_withheld" BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE "budgets" ADD COLUMN "credit" JSONB, ADD COLUMN "closed_through" CHAR(7);
ALTER TABLE "budgets" ADD CONSTRAINT "budgets_credit_of_accounts" CHECK (scope = 'account' OR (credit IS NULL AND closed_through IS NULL));

CREATE TABLE "billing_details" (
    "account_id" UUID NOT NULL,
    "name" TEXT,
    "address" TEXT,
    "email" TEXT,
    "tax_id" TEXT,
    "reference" TEXT,

    CONSTRAINT "billing_details_pkey" PRIMARY KEY ("account_id"),
    CONSTRAINT "billing_details_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE
);

-- The last number given in a series; taken in the transaction that uses it, so no number is lost.
CREATE TABLE "document_numbers" (
    "series" TEXT NOT NULL,
    "last_number" INTEGER NOT NULL,

    CONSTRAINT "document_numbers_pkey" PRIMARY KEY ("series")
);
INSERT INTO "document_numbers" VALUES ('INV', 0), ('CN', 0);

CREATE TABLE "invoices" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "period" CHAR(7) NOT NULL,
    "number" INTEGER NOT NULL,
    "state" TEXT NOT NULL,
    "issued_at" TIMESTAMPTZ(3) NOT NULL,
    "due_at" TIMESTAMPTZ(3) NOT NULL,
    "exact_sum_pico_usd" DECIMAL(38,0) NOT NULL,
    "total_cents" BIGINT NOT NULL,
    "carried_pico_usd" DECIMAL(38,0) NOT NULL,
    "content" JSONB NOT NULL,
    "hash" TEXT NOT NULL,
    "credited_cents" BIGINT NOT NULL DEFAULT 0,
    "paid_cents" BIGINT NOT NULL DEFAULT 0,
    "paid_at" TIMESTAMPTZ(3),
    "payment_method" TEXT,
    "payment_reference" TEXT,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "invoices_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "invoices_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "invoices_state" CHECK (state IN ('finalized', 'paid', 'void', 'uncollectible')),
    CONSTRAINT "invoices_amounts" CHECK (paid_cents BETWEEN 0 AND total_cents AND credited_cents BETWEEN 0 AND total_cents),
    CONSTRAINT "invoices_sum" CHECK (exact_sum_pico_usd = total_cents::numeric * 10000000000 + carried_pico_usd)
);
CREATE UNIQUE INDEX "invoices_one_per_period" ON "invoices" (account_id, period);
CREATE UNIQUE INDEX "invoices_number" ON "invoices" (number);

-- An account's period that is closed, with or without an invoice; what it carried.
CREATE TABLE "period_closes" (
    "account_id" UUID NOT NULL,
    "period" CHAR(7) NOT NULL,
    "closed_at" TIMESTAMPTZ(3) NOT NULL,
    "invoice_id" UUID,
    "carried_pico_usd" DECIMAL(38,0) NOT NULL,
    "unpriced" INTEGER NOT NULL,
    "quarantined" INTEGER NOT NULL,

    CONSTRAINT "period_closes_pkey" PRIMARY KEY ("account_id", "period"),
    CONSTRAINT "period_closes_invoice_fkey" FOREIGN KEY ("invoice_id") REFERENCES "invoices"("id") ON DELETE RESTRICT ON UPDATE CASCADE
);

-- Late facts: a line on the invoice of the period in which they land. `line_pico_usd` is the part
-- that goes through `unbilled`.
CREATE TABLE "corrections" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "period" CHAR(7) NOT NULL,
    "lands_in" CHAR(7) NOT NULL,
    "kind" TEXT NOT NULL,
    "amount_pico_usd" DECIMAL(38,0) NOT NULL,
    "line_pico_usd" DECIMAL(38,0) NOT NULL,
    "description" TEXT NOT NULL,
    "request_id" UUID,
    "invoice_id" UUID,
    "parts" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "actor" TEXT NOT NULL,
    "idempotency_key" TEXT,

    CONSTRAINT "corrections_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "corrections_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "corrections_kind" CHECK (kind IN ('correction', 'void', 'void_carry', 'credit_note')),
    CONSTRAINT "corrections_amount" CHECK (amount_pico_usd <> 0)
);
CREATE INDEX "corrections_landing" ON "corrections" (account_id, lands_in);
CREATE INDEX "corrections_of" ON "corrections" (account_id, period);
CREATE UNIQUE INDEX "corrections_idempotency" ON "corrections" (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX "corrections_one_per_request" ON "corrections" (request_id) WHERE request_id IS NOT NULL AND idempotency_key LIKE 'decision:%';

CREATE TABLE "credit_notes" (
    "id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "invoice_id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "amount_cents" BIGINT NOT NULL,
    "goodwill_cents" BIGINT NOT NULL,
    "reason" TEXT NOT NULL,
    "issued_at" TIMESTAMPTZ(3) NOT NULL,
    "content" JSONB NOT NULL,
    "hash" TEXT NOT NULL,
    "actor" TEXT NOT NULL,
    "idempotency_key" TEXT,

    CONSTRAINT "credit_notes_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "credit_notes_invoice_fkey" FOREIGN KEY ("invoice_id") REFERENCES "invoices"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "credit_notes_amount" CHECK (amount_cents > 0 AND goodwill_cents BETWEEN 0 AND amount_cents)
);
CREATE UNIQUE INDEX "credit_notes_number" ON "credit_notes" (number);
CREATE INDEX "credit_notes_account" ON "credit_notes" (account_id, id);
CREATE UNIQUE INDEX "credit_notes_idempotency" ON "credit_notes" (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE "provider_payments" (
    "id" UUID NOT NULL,
    "upstream" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "amount_pico_usd" BIGINT NOT NULL,
    "paid_at" TIMESTAMPTZ(3) NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "actor" TEXT NOT NULL,
    "idempotency_key" TEXT,

    CONSTRAINT "provider_payments_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "provider_payments_amount" CHECK (amount_pico_usd > 0)
);
CREATE UNIQUE INDEX "provider_payments_idempotency" ON "provider_payments" (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE "daily_controls" (
    "at" TIMESTAMPTZ(3) NOT NULL,
    "accounts" INTEGER NOT NULL,
    "differences" JSONB NOT NULL,
    "difference_pico_usd" DECIMAL(38,0) NOT NULL,

    CONSTRAINT "daily_controls_pkey" PRIMARY KEY ("at")
);

-- Nothing that was booked changes or disappears.
CREATE FUNCTION is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER ledger_transfers_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "ledger_transfers" EXECUTE FUNCTION is_append_only();
CREATE TRIGGER credit_grants_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "credit_grants" EXECUTE FUNCTION is_append_only();
CREATE TRIGGER period_closes_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "period_closes" EXECUTE FUNCTION is_append_only();
CREATE TRIGGER corrections_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "corrections" EXECUTE FUNCTION is_append_only();
CREATE TRIGGER credit_notes_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "credit_notes" EXECUTE FUNCTION is_append_only();
CREATE TRIGGER provider_payments_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "provider_payments" EXECUTE FUNCTION is_append_only();

-- A finalized invoice keeps its content for ever; only its state and what was paid of it move, and
-- only forward.
CREATE FUNCTION invoices_keep_their_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'an invoice is never deleted (%)', OLD.id;
  END IF;
  IF (OLD.id, OLD.account_id, OLD.period, OLD.number, OLD.issued_at, OLD.due_at, OLD.exact_sum_pico_usd, OLD.total_cents, OLD.carried_pico_usd, OLD.content, OLD.hash)
     IS DISTINCT FROM
     (NEW.id, NEW.account_id, NEW.period, NEW.number, NEW.issued_at, NEW.due_at, NEW.exact_sum_pico_usd, NEW.total_cents, NEW.carried_pico_usd, NEW.content, NEW.hash) THEN
    RAISE EXCEPTION 'a finalized invoice never changes (%)', OLD.id;
  END IF;
  IF OLD.state <> NEW.state AND NOT (
       (OLD.state = 'finalized' AND NEW.state IN ('paid', 'void', 'uncollectible'))
       OR (OLD.state = 'uncollectible' AND NEW.state = 'paid')) THEN
    RAISE EXCEPTION 'an invoice does not go from % to % (%)', OLD.state, NEW.state, OLD.id;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER invoices_keep_their_content BEFORE UPDATE OR DELETE ON "invoices"
  FOR EACH ROW EXECUTE FUNCTION invoices_keep_their_content();
CREATE TRIGGER invoices_are_not_truncated BEFORE TRUNCATE ON "invoices" EXECUTE FUNCTION is_append_only();
