-- What a provider calls models that are called otherwise here: {"<id here>": "<its own id>"}.
ALTER TABLE "providers"
  ADD COLUMN "model_ids" JSONB,
  ADD CONSTRAINT "providers_model_ids" CHECK (jsonb_typeof(model_ids) = 'object');
