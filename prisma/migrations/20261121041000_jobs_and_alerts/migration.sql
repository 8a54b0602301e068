-- What ran when, and alerts before a limit with their way to people and programs.

-- One row per job whatever the number of processes; counts only grow.
CREATE TABLE "job_runs" (
    "job" TEXT NOT NULL,
    "last_started_at" TIMESTAMPTZ(3),
    "last_finished_at" TIMESTAMPTZ(3),
    "last_duration_ms" BIGINT,
    "last_succeeded_at" TIMESTAMPTZ(3),
    "last_failed_at" TIMESTAMPTZ(3),
    "last_error" TEXT,
    "runs" BIGINT NOT NULL DEFAULT 0,
    "failures" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "job_runs_pkey" PRIMARY KEY ("job"),
    CONSTRAINT "job_runs_counts" CHECK (failures >= 0 AND runs >= failures),
    CONSTRAINT "job_runs_duration" CHECK (last_duration_ms >= 0),
    CONSTRAINT "job_runs_error" CHECK (char_length(last_error) <= 1000 AND (last_error IS NULL) = (last_failed_at IS NULL))
);

-- Accounts without a row have the default thresholds, and nobody is told.
CREATE TABLE "alert_settings" (
    "account_id" UUID NOT NULL,
    "thresholds" SMALLINT[] NOT NULL,
    "webhook_url" TEXT,
    "webhook_secret" BYTEA,
    "webhook_secret_key_id" TEXT,
    "emails" TEXT[] NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "alert_settings_pkey" PRIMARY KEY ("account_id"),
    CONSTRAINT "alert_settings_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "alert_settings_thresholds" CHECK (cardinality(thresholds) <= 10 AND 1 <= ALL(thresholds) AND 100 >= ALL(thresholds)),
    CONSTRAINT "alert_settings_emails" CHECK (cardinality(emails) <= 10),
    -- Nothing leaves unsigned.
    CONSTRAINT "alert_settings_signed" CHECK ((webhook_url IS NULL) = (webhook_secret IS NULL) AND (webhook_secret IS NULL) = (webhook_secret_key_id IS NULL))
);

CREATE TABLE "alerts" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "subject_id" UUID NOT NULL,
    "scope" TEXT NOT NULL,
    "basis" TEXT NOT NULL,
    "period" CHAR(7) NOT NULL,
    "threshold" SMALLINT NOT NULL,
    "used_pico_usd" DECIMAL(38,0) NOT NULL,
    "limit_pico_usd" DECIMAL(38,0) NOT NULL,
    "raised_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "alerts_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "alerts_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "alerts_scope" CHECK (scope IN ('account', 'member', 'token') AND (scope = 'account') = (subject_id = account_id)),
    CONSTRAINT "alerts_basis" CHECK (basis IN ('pay_as_you_go', 'credit', 'limit') AND (scope = 'account') = (basis <> 'limit')),
    CONSTRAINT "alerts_threshold" CHECK (threshold BETWEEN 1 AND 100),
    -- It was reached: a limit of 0 that nothing was used of is none.
    CONSTRAINT "alerts_reached" CHECK (used_pico_usd > 0 AND limit_pico_usd >= 0 AND used_pico_usd * 100 >= limit_pico_usd * threshold)
);
-- Once per subject, period and threshold, whoever notices first; credit and pay-as-you-go of an
-- account are two limits.
CREATE UNIQUE INDEX "alerts_once" ON "alerts" (subject_id, period, basis, threshold);
CREATE INDEX "alerts_account" ON "alerts" (account_id, id);

-- The way of one alert to one address. `attempts` counts what was begun, `next_attempt_at` is also
-- the end of the lease of an attempt under way.
CREATE TABLE "alert_deliveries" (
    "alert_id" UUID NOT NULL,
    "position" SMALLINT NOT NULL,
    "account_id" UUID NOT NULL,
    "channel" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "next_attempt_at" TIMESTAMPTZ(3),
    "delivered_at" TIMESTAMPTZ(3),
    "last_error" TEXT,

    CONSTRAINT "alert_deliveries_pkey" PRIMARY KEY ("alert_id", "position"),
    CONSTRAINT "alert_deliveries_alert_fkey" FOREIGN KEY ("alert_id") REFERENCES "alerts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "alert_deliveries_channel" CHECK (channel IN ('webhook', 'email')),
    CONSTRAINT "alert_deliveries_state" CHECK (
      (state = 'pending') = (next_attempt_at IS NOT NULL) AND (state = 'delivered') = (delivered_at IS NOT NULL)
      AND state IN ('pending', 'delivered', 'dead')
    ),
    CONSTRAINT "alert_deliveries_attempts" CHECK (attempts >= 0),
    CONSTRAINT "alert_deliveries_error" CHECK (char_length(last_error) <= 300)
);
CREATE INDEX "alert_deliveries_due" ON "alert_deliveries" (next_attempt_at) WHERE state = 'pending';
CREATE INDEX "alert_deliveries_open" ON "alert_deliveries" (account_id) WHERE state = 'pending';
