-- A threshold that is no longer reached, because the limit was raised or use was given back, may be
-- reached again in the same period: its alert stays as it was told, and another one may follow.
ALTER TABLE "alerts" ADD COLUMN "rearmed_at" TIMESTAMPTZ(3);
ALTER TABLE "alerts" ADD CONSTRAINT "alerts_rearmed" CHECK (rearmed_at >= raised_at);

DROP INDEX "alerts_once";
-- Once per subject, period and threshold until it is rearmed, whoever notices first.
CREATE UNIQUE INDEX "alerts_once" ON "alerts" (subject_id, period, basis, threshold) WHERE rearmed_at IS NULL;
