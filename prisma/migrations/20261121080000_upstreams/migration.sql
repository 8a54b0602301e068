-- Providers called directly, each an upstream of its own, and what accounts choose among providers.

-- `kind` makes an upstream of a provider; without it the row only says how the provider behaves.
-- An address that is null is the one that we know of the provider.
ALTER TABLE "providers"
  ADD COLUMN "kind" TEXT,
  ADD COLUMN "base_url" TEXT,
  ADD COLUMN "api_key" BYTEA,
  ADD COLUMN "api_key_key_id" TEXT,
  ADD COLUMN "cost" TEXT NOT NULL DEFAULT 'price_book',
  ADD COLUMN "cost_api_url" TEXT,
  ADD COLUMN "max_output_field" TEXT,
  ADD COLUMN "rejects" TEXT[],
  ADD COLUMN "updated_at" TIMESTAMPTZ(3);
ALTER TABLE "providers"
  ADD CONSTRAINT "providers_kind" CHECK (kind IN ('openai_compatible', 'fal', 'replicate')),
  -- The router's name: it is configured by the environment.
  ADD CONSTRAINT "providers_slug" CHECK (slug <> 'default'),
  ADD CONSTRAINT "providers_upstream" CHECK (kind IS NOT NULL OR (base_url IS NULL AND api_key IS NULL)),
  ADD CONSTRAINT "providers_sealed" CHECK ((api_key IS NULL) = (api_key_key_id IS NULL)),
  ADD CONSTRAINT "providers_cost" CHECK (cost = 'price_book' OR (cost = 'cost_api' AND cost_api_url IS NOT NULL)),
  ADD CONSTRAINT "providers_on_client_gone" CHECK (on_client_gone IN ('drain', 'abort')),
  ADD CONSTRAINT "providers_stream_usage" CHECK (stream_usage IN ('ask', 'never')),
  ADD CONSTRAINT "providers_rejects" CHECK (cardinality(rejects) <= 50);

-- What the provider calls the model where that is not its id here.
ALTER TABLE "model_routes" ADD COLUMN "provider_model_id" TEXT;

-- What an account decides about one provider. Without a row: allowed, with the operator's key.
CREATE TABLE "account_providers" (
    "account_id" UUID NOT NULL,
    "provider" TEXT NOT NULL,
    "is_enabled" BOOLEAN NOT NULL DEFAULT true,
    "api_key" BYTEA,
    "api_key_key_id" TEXT,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "account_providers_pkey" PRIMARY KEY ("account_id", "provider"),
    CONSTRAINT "account_providers_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "account_providers_sealed" CHECK ((api_key IS NULL) = (api_key_key_id IS NULL))
);

-- Which of the providers that may serve a request an account would have.
CREATE TABLE "account_routing" (
    "account_id" UUID NOT NULL,
    "default_policy" TEXT,
    "preferred" TEXT[] NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "account_routing_pkey" PRIMARY KEY ("account_id"),
    CONSTRAINT "account_routing_account_fkey" FOREIGN KEY ("account_id") REFERENCES "accounts"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "account_routing_policy" CHECK (default_policy IN ('fastest', 'cheapest', 'preferred')),
    CONSTRAINT "account_routing_preferred" CHECK (cardinality(preferred) <= 50)
);
