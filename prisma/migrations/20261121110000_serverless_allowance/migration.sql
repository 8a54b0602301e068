-- Calls of the serverless tier, by account and UTC day: counted here, so that neither a restart nor a
-- second process resets or multiplies them. The first call of a day deletes the account's older days.
CREATE TABLE "serverless_days" (
    "account_id" UUID NOT NULL,
    "day" DATE NOT NULL,
    "used" INTEGER NOT NULL,

    CONSTRAINT "serverless_days_pkey" PRIMARY KEY ("account_id", "day"),
    CONSTRAINT "serverless_days_used" CHECK ("used" >= 0),
    CONSTRAINT "serverless_days_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE
) WITH (fillfactor = 70);

-- What every process has in flight, written every other second. It means nothing after a crash of the
-- server, and is not worth a write-ahead log.
CREATE UNLOGGED TABLE "process_loads" (
    "process_id" UUID NOT NULL,
    "in_flight" INTEGER NOT NULL,
    "capacity" INTEGER NOT NULL,
    "seen_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "process_loads_pkey" PRIMARY KEY ("process_id"),
    CONSTRAINT "process_loads_figures" CHECK ("in_flight" >= 0 AND "capacity" > 0)
) WITH (fillfactor = 50);
