-- People: each with an account of his own, and the members of organizations that he is.

CREATE TABLE "users" (
    "id" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "users_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "users_email" ON "users" (lower(email));

ALTER TABLE "accounts" ADD COLUMN "user_id" UUID;
CREATE UNIQUE INDEX "accounts_user_id_key" ON "accounts"("user_id");
ALTER TABLE "accounts" ADD CONSTRAINT "accounts_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "members" ADD COLUMN "user_id" UUID;
ALTER TABLE "members" ADD CONSTRAINT "members_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
-- The memberships of a user, read with his token.
CREATE INDEX "members_user_id" ON "members" (user_id) WHERE removed_at IS NULL;
-- The members that a new user is.
CREATE INDEX "members_lower_email" ON "members" (lower(email)) WHERE removed_at IS NULL;

-- One id names a person and the account that is his own. Its slug holds a colon, which the slug of
-- no organization can: neither can ever be taken for the other.
ALTER TABLE "accounts"
  ADD CONSTRAINT "accounts_kind" CHECK (kind IN ('organization', 'user')),
  ADD CONSTRAINT "accounts_own_user" CHECK (
    CASE kind WHEN 'user' THEN user_id IS NOT NULL AND user_id = id ELSE user_id IS NULL END
  ),
  ADD CONSTRAINT "accounts_slug" CHECK (
    CASE kind WHEN 'user' THEN slug = 'user:' || id::text ELSE slug ~ '^[a-z0-9-]{2,40}$' END
  ),
  -- Seats are people of an organization.
  ADD CONSTRAINT "accounts_user_has_no_team" CHECK (kind <> 'user' OR (plan <> 'team' AND seats = 1));
