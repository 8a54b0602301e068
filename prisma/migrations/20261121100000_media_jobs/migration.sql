-- Jobs that providers work on after they have answered (images and videos from a queue). Written in
-- the statement that takes the hold from the process and gives it to the job, before the answer to
-- the submit is passed on: from then on the event lives as long as its job, whoever dies.
CREATE TABLE "media_jobs" (
    "event_id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "member_id" UUID,
    "token_id" UUID NOT NULL,
    "period" CHAR(7) NOT NULL,
    "admitted_at" TIMESTAMPTZ(3) NOT NULL,
    "hold_pico_usd" BIGINT NOT NULL,
    "idempotency_key" TEXT,
    "admitted_upstream" TEXT NOT NULL,
    "upstream" TEXT NOT NULL,
    -- Whose key took it: the account whose own it is; null: the operator's.
    "key_account_id" UUID,
    "provider" TEXT NOT NULL,
    "provider_job_id" TEXT NOT NULL,
    "shape" TEXT NOT NULL,
    "poll_path" TEXT NOT NULL,
    "result_path" TEXT NOT NULL,
    "cancel_path" TEXT,
    "task" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    -- What the request said that prices its result.
    "facts" JSONB NOT NULL,
    "attempts" JSONB NOT NULL,
    -- The caller was not told of it in time: its cost is ours.
    "is_withheld" BOOLEAN NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'running',
    "submitted_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "next_poll_at" TIMESTAMPTZ(3) NOT NULL,
    "polls" INTEGER NOT NULL DEFAULT 0,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "media_jobs_pkey" PRIMARY KEY ("event_id"),
    CONSTRAINT "media_jobs_state" CHECK ("state" IN ('running', 'settled', 'released', 'unpriced', 'quarantined')),
    CONSTRAINT "media_jobs_ended" CHECK (("state" = 'running') = ("ended_at" IS NULL)),
    CONSTRAINT "media_jobs_figures" CHECK ("hold_pico_usd" >= 0 AND "polls" >= 0),
    CONSTRAINT "media_jobs_age" CHECK ("expires_at" > "submitted_at"),
    -- Another account's key is never used.
    CONSTRAINT "media_jobs_key" CHECK ("key_account_id" IS NULL OR "key_account_id" = "account_id")
) WITH (fillfactor = 80);

-- One job of a provider is one event's, and one account's.
CREATE UNIQUE INDEX "media_jobs_provider_job" ON "media_jobs" ("provider_job_id", "provider", "upstream", "key_account_id") NULLS NOT DISTINCT;
CREATE INDEX "media_jobs_due" ON "media_jobs" ("next_poll_at") WHERE "state" = 'running';
CREATE INDEX "media_jobs_ended_at" ON "media_jobs" ("ended_at") WHERE "state" <> 'running';

-- What a job is, it stays; only how far it is changes, and its end is final.
CREATE FUNCTION "keep_media_job"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state <> 'running' OR
     (to_jsonb(NEW) - '{state,next_poll_at,polls,ended_at,is_withheld}'::text[]) <>
     (to_jsonb(OLD) - '{state,next_poll_at,polls,ended_at,is_withheld}'::text[]) THEN
    RAISE EXCEPTION 'media_jobs: % is not to be changed', OLD.event_id;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER "media_jobs_keep" BEFORE UPDATE ON "media_jobs" FOR EACH ROW EXECUTE FUNCTION "keep_media_job"();
