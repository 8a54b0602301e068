import type { INestApplicationContext } from '@nestjs/common';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { StartupError } from '../config/startup-error.js';
import { SYSTEM_ACTOR } from '../http/actor.js';
import { AdminToken } from '../identity/admin-token.js';
import { IdentityService } from '../identity/identity.service.js';
import { OrganizationsService } from '../identity/organizations.service.js';
import { TokensService } from '../identity/tokens.service.js';

/** What the demo prints for people to try. */
export interface DemoAccount {
  readonly slug: string;
  readonly token: string;
  /** Where the operator's token is; null: it came from the environment. */
  readonly adminTokenFile: string | null;
}

const SLUG = 'demo';
const TOKEN_FILE = 'demo-token';
const OWNER_ONLY = 0o600;

/**
 * The demo's organization and token, made at the first start and found again at every other. The
 * plan has pay-as-you-go, so that requests are paid; only a demo keeps the secret of a token.
 *
 * @throws StartupError when the token cannot be kept under `dataDir`.
 */
export async function ensureDemoAccount(
  app: INestApplicationContext,
  dataDir: string,
): Promise<DemoAccount> {
  const organizations = app.get(OrganizationsService, { strict: false });
  const { organization } = await organizations.createOnce(
    { name: 'Demo', slug: SLUG, plan: 'pro' },
    SYSTEM_ACTOR,
  );
  const { file } = app.get(AdminToken, { strict: false });
  const account = { slug: SLUG, adminTokenFile: file === null ? null : resolve(file) };

  const tokenFile = join(dataDir, TOKEN_FILE);
  const kept = await readFile(tokenFile, 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
  // Revoked, or of another database: it is replaced.
  const isUsable = kept !== null && (await isTokenOf(app, kept, organization.id));
  if (isUsable) return { ...account, token: kept };

  const tokens = app.get(TokensService, { strict: false });
  const { secret } = await tokens.create(organization, { name: 'demo' }, SYSTEM_ACTOR);
  await keep(tokenFile, secret);
  return { ...account, token: secret };
}

async function isTokenOf(
  app: INestApplicationContext,
  secret: string,
  accountId: string,
): Promise<boolean> {
  const identities = app.get(IdentityService, { strict: false });
  const identity = await identities.identify(secret, '127.0.0.1');
  return identity?.accountId === accountId;
}

async function keep(file: string, secret: string): Promise<void> {
  try {
    await writeFile(file, `${secret}\n`, { mode: OWNER_ONLY });
    // The mode above counts only for a file that is new.
    await chmod(file, OWNER_ONLY);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new StartupError(`DATA_DIR cannot be used: ${resolve(file)} cannot be written (${code})`);
  }
}
