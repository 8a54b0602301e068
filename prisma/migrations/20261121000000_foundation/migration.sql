-- The first tables: identity, budgets, the journal, the catalogue and the price book.

-- CreateTable
CREATE TABLE "accounts" (
    "id" UUID NOT NULL,
    "slug" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "plan" TEXT NOT NULL,
    "seats" INTEGER NOT NULL DEFAULT 1,
    "max_spend_limit_pico_usd" DECIMAL(38,0),
    "requests_per_minute" INTEGER,
    "requests_per_day" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "accounts_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "members" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "removed_at" TIMESTAMPTZ(3),

    CONSTRAINT "members_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "tokens" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "member_id" UUID,
    "name" TEXT NOT NULL,
    "hash" BYTEA NOT NULL,
    "prefix" TEXT NOT NULL,
    "scopes" TEXT[],
    "requests_per_minute" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "last_used_at" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "tokens_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "budgets" (
    "subject_id" UUID NOT NULL,
    "scope" TEXT NOT NULL,
    "account_id" UUID NOT NULL,
    "limit_pico_usd" DECIMAL(38,0),
    "is_pay_as_you_go" BOOLEAN NOT NULL,
    "is_closed" BOOLEAN NOT NULL DEFAULT false,
    "period" CHAR(7) NOT NULL,
    "used_pico_usd" DECIMAL(38,0) NOT NULL DEFAULT 0,
    "previous_used_pico_usd" DECIMAL(38,0) NOT NULL DEFAULT 0,
    "held_pico_usd" DECIMAL(38,0),

    CONSTRAINT "budgets_pkey" PRIMARY KEY ("subject_id")
);

-- CreateTable
CREATE TABLE "open_events" (
    "id" UUID NOT NULL,
    "owner_id" UUID,
    "account_id" UUID NOT NULL,
    "member_id" UUID,
    "token_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "admitted_at" TIMESTAMPTZ(3) NOT NULL,
    "period" CHAR(7) NOT NULL,
    "upstream" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "task" TEXT NOT NULL,
    "is_stream" BOOLEAN NOT NULL,
    "hold_pico_usd" BIGINT NOT NULL,
    "tags" JSONB,
    "session_id" TEXT,
    "client_request_id" TEXT,
    "idempotency_key" TEXT,

    CONSTRAINT "open_events_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "usage_events" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "member_id" UUID,
    "token_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "admitted_at" TIMESTAMPTZ(3) NOT NULL,
    "served_at" TIMESTAMPTZ(3),
    "settled_at" TIMESTAMPTZ(3) NOT NULL,
    "period" CHAR(7) NOT NULL,
    "state" TEXT NOT NULL,
    "outcome" TEXT NOT NULL,
    "upstream" TEXT NOT NULL,
    "provider" TEXT,
    "model" TEXT NOT NULL,
    "provider_model_id" TEXT,
    "provider_request_id" TEXT,
    "task" TEXT NOT NULL,
    "is_stream" BOOLEAN NOT NULL,
    "status" SMALLINT,
    "tags" JSONB,
    "session_id" TEXT,
    "client_request_id" TEXT,
    "input_tokens" BIGINT,
    "cached_input_tokens" BIGINT,
    "output_tokens" BIGINT,
    "reasoning_tokens" BIGINT,
    "units" JSONB,
    "usage_source" TEXT NOT NULL,
    "is_price_assumed" BOOLEAN NOT NULL DEFAULT false,
    "is_external" BOOLEAN NOT NULL DEFAULT false,
    "is_overrun" BOOLEAN NOT NULL DEFAULT false,
    "is_late" BOOLEAN NOT NULL DEFAULT false,
    "hold_pico_usd" BIGINT NOT NULL,
    "cost_pico_usd" BIGINT,
    "credit_pico_usd" BIGINT,
    "pay_as_you_go_pico_usd" BIGINT,
    "rated_cost_pico_usd" BIGINT,
    "absorbed_pico_usd" BIGINT,
    "provider_reported_pico_usd" BIGINT,
    "first_byte_ms" INTEGER,
    "duration_ms" INTEGER,
    "price_row_ids" BIGINT[],
    "attempts" JSONB,
    "raw_usage" TEXT,

    CONSTRAINT "usage_events_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "charged_requests" (
    "upstream" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "provider_request_id" TEXT NOT NULL,
    "event_id" UUID NOT NULL,

    CONSTRAINT "charged_requests_pkey" PRIMARY KEY ("upstream","provider","provider_request_id")
);

-- CreateTable
CREATE TABLE "idempotency_keys" (
    "token_id" UUID NOT NULL,
    "key" TEXT NOT NULL,
    "body_mac" BYTEA NOT NULL,
    "event_id" UUID NOT NULL,
    "taken_at" TIMESTAMPTZ(3) NOT NULL,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY ("token_id","key")
);

-- CreateTable
CREATE TABLE "journal_batches" (
    "id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "journal_batches_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "journal_owners" (
    "id" UUID NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "heartbeat_at" TIMESTAMPTZ(3) NOT NULL,
    "description" TEXT NOT NULL,

    CONSTRAINT "journal_owners_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "providers" (
    "slug" TEXT NOT NULL,
    "is_enabled" BOOLEAN NOT NULL DEFAULT true,
    "on_client_gone" TEXT,
    "stream_usage" TEXT,

    CONSTRAINT "providers_pkey" PRIMARY KEY ("slug")
);

-- CreateTable
CREATE TABLE "models" (
    "upstream" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "entry" JSONB NOT NULL,
    "is_listed" BOOLEAN NOT NULL DEFAULT true,
    "synced_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "models_pkey" PRIMARY KEY ("upstream","id")
);

-- CreateTable
CREATE TABLE "model_routes" (
    "upstream" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "context_length" INTEGER,
    "entry" JSONB NOT NULL,
    "is_listed" BOOLEAN NOT NULL DEFAULT true,
    "is_price_stale" BOOLEAN NOT NULL DEFAULT false,
    "synced_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "model_routes_pkey" PRIMARY KEY ("upstream","model","provider")
);

-- CreateTable
CREATE TABLE "prices" (
    "id" BIGSERIAL NOT NULL,
    "upstream" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "unit" TEXT NOT NULL,
    "condition" TEXT NOT NULL DEFAULT '',
    "pico_usd" BIGINT NOT NULL,
    "per_units" BIGINT NOT NULL,
    "effective_from" TIMESTAMPTZ(3) NOT NULL,
    "effective_to" TIMESTAMPTZ(3),
    "source" TEXT NOT NULL,
    "imported_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "prices_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "pending_prices" (
    "id" UUID NOT NULL,
    "upstream" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "unit" TEXT NOT NULL,
    "condition" TEXT NOT NULL DEFAULT '',
    "pico_usd" BIGINT NOT NULL,
    "per_units" BIGINT NOT NULL,
    "source" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "decided_at" TIMESTAMPTZ(3),
    "decision" TEXT,

    CONSTRAINT "pending_prices_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "audit_log" (
    "id" UUID NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "actor" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "before" JSONB,
    "after" JSONB,
    "address" TEXT,

    CONSTRAINT "audit_log_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "accounts_slug_key" ON "accounts"("slug");

-- CreateIndex
CREATE UNIQUE INDEX "tokens_hash_key" ON "tokens"("hash");

-- CreateIndex
CREATE INDEX "tokens_account_id_id_idx" ON "tokens"("account_id", "id");

-- CreateIndex
CREATE INDEX "budgets_account_id_idx" ON "budgets"("account_id");

-- CreateIndex
CREATE INDEX "usage_events_account_id_admitted_at_id_idx" ON "usage_events"("account_id", "admitted_at", "id");

-- CreateIndex
CREATE INDEX "journal_batches_created_at_idx" ON "journal_batches"("created_at");

-- AddForeignKey
ALTER TABLE "members" ADD CONSTRAINT "members_account_id_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "tokens" ADD CONSTRAINT "tokens_account_id_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "tokens" ADD CONSTRAINT "tokens_member_id_fkey" FOREIGN KEY ("member_id") REFERENCES "members"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "model_routes" ADD CONSTRAINT "model_routes_upstream_model_fkey" FOREIGN KEY ("upstream", "model") REFERENCES "models"("upstream", "id") ON DELETE RESTRICT ON UPDATE CASCADE;


-- What the schema language cannot say.

-- Budgets are updated by every batch: room for heap-only updates, and an eager vacuum.
ALTER TABLE "budgets" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200);
ALTER TABLE "open_events" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE "journal_batches" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

ALTER TABLE "budgets"
  ADD CONSTRAINT "budgets_scope" CHECK (scope IN ('account', 'member', 'token')),
  ADD CONSTRAINT "budgets_not_negative" CHECK (limit_pico_usd >= 0 AND used_pico_usd >= 0 AND previous_used_pico_usd >= 0 AND held_pico_usd >= 0),
  -- The account's ceiling is its pay-as-you-go; off means 0, which is a limit.
  ADD CONSTRAINT "budgets_held_while_limited" CHECK (
    (held_pico_usd IS NOT NULL) = (limit_pico_usd IS NOT NULL OR (scope = 'account' AND NOT is_pay_as_you_go))
  );

ALTER TABLE "open_events"
  ADD CONSTRAINT "open_events_hold" CHECK (hold_pico_usd >= 0);

ALTER TABLE "usage_events"
  ADD CONSTRAINT "usage_events_state" CHECK (state IN ('pending', 'settled', 'released', 'unpriced', 'quarantined', 'failed_to_bill')),
  ADD CONSTRAINT "usage_events_outcome" CHECK (outcome IN ('complete', 'client_gone', 'upstream_error', 'aborted')),
  ADD CONSTRAINT "usage_events_source" CHECK (usage_source IN ('provider', 'estimated', 'none')),
  ADD CONSTRAINT "usage_events_quantities" CHECK (input_tokens >= 0 AND cached_input_tokens >= 0 AND output_tokens >= 0 AND reasoning_tokens >= 0),
  ADD CONSTRAINT "usage_events_amounts" CHECK (hold_pico_usd >= 0 AND cost_pico_usd >= 0 AND credit_pico_usd >= 0 AND pay_as_you_go_pico_usd >= 0 AND absorbed_pico_usd >= 0),
  ADD CONSTRAINT "usage_events_split" CHECK (credit_pico_usd + pay_as_you_go_pico_usd = cost_pico_usd),
  -- Only a settled event costs, and a settled event always states its cost.
  ADD CONSTRAINT "usage_events_cost_when_settled" CHECK ((state = 'settled') = (cost_pico_usd IS NOT NULL));

-- The few events that wait for a person or a price.
CREATE INDEX "usage_events_undecided" ON "usage_events" (state, id) WHERE state IN ('pending', 'unpriced', 'quarantined');
CREATE INDEX "usage_events_client_request_id" ON "usage_events" (account_id, client_request_id) WHERE client_request_id IS NOT NULL;

ALTER TABLE "members" ADD CONSTRAINT "members_role" CHECK (role IN ('owner', 'admin', 'billing', 'member'));
CREATE UNIQUE INDEX "members_email" ON "members" (account_id, lower(email)) WHERE removed_at IS NULL;

-- At most one price in force per key at every instant.
CREATE EXTENSION IF NOT EXISTS btree_gist;
ALTER TABLE "prices"
  ADD CONSTRAINT "prices_amount" CHECK (pico_usd >= 0 AND per_units > 0),
  ADD CONSTRAINT "prices_span" CHECK (effective_to IS NULL OR effective_to > effective_from),
  ADD CONSTRAINT "prices_one_in_force" EXCLUDE USING gist (
    upstream WITH =, provider WITH =, model WITH =, unit WITH =, condition WITH =,
    tstzrange(effective_from, effective_to) WITH &&
  );
ALTER TABLE "pending_prices"
  ADD CONSTRAINT "pending_prices_reason" CHECK (reason IN ('large_change', 'to_or_from_zero', 'differs_from_manual'));
CREATE UNIQUE INDEX "pending_prices_one_open" ON "pending_prices" (upstream, provider, model, unit, condition) WHERE decided_at IS NULL;

CREATE FUNCTION prices_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a price row is never deleted (id %)', OLD.id;
  END IF;
  IF OLD.effective_to IS NOT NULL OR
     to_jsonb(NEW) - 'effective_to' IS DISTINCT FROM to_jsonb(OLD) - 'effective_to' THEN
    RAISE EXCEPTION 'a price row never changes but for its end, set once (id %)', OLD.id;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER prices_are_immutable BEFORE UPDATE OR DELETE ON "prices"
  FOR EACH ROW EXECUTE FUNCTION prices_are_immutable();

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE ON "audit_log"
  FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();
