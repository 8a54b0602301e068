import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as Pino from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadConfig, type Config } from '../../src/config/config.js';
import { loadAdminToken, loadEncryptionKey } from '../../src/config/secrets.js';
import { TokensService } from '../../src/identity/tokens.service.js';
import { ApiClient } from '../support/api-client.js';
import { ADMIN_TOKEN, startService, type TestService } from '../support/service.js';

/** Everything that is logged, by loggers as the service makes them. */
const { lines } = vi.hoisted(() => ({ lines: [] as string[] }));
vi.mock('pino', async (original) => {
  const actual = await original<typeof Pino>();
  const sink = { write: (line: string): void => void lines.push(line) };
  const pino = (options: Pino.LoggerOptions): Pino.Logger => actual.pino(options, sink);
  return { ...actual, pino: Object.assign(pino, actual.pino) };
});

describe('the secret of a token', () => {
  it('is in no table and in no log line, at any level, even when its request fails', async () => {
    let service: TestService | null = null;
    try {
      service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9', LOG_LEVEL: 'trace' });
      const operator = new ApiClient(service.url);
      const { tokenId, secret } = await operator.addOrganization('quiet', 'pro', ['tokens.write']);
      const caller = operator.as(secret);
      await caller.get('/api/me');
      await caller.get(`/api/${secret}`);
      await operator.as(`${secret}x`).get('/api/me');
      await caller.post('/api/organizations/quiet/tokens', { name: secret.slice(0, 5), x: 1 });
      const tokens = service.app.get(TokensService, { strict: false });
      vi.spyOn(tokens, 'find').mockRejectedValueOnce(new Error('planted failure'));
      expect((await caller.get('/api/me')).status).toBe(500);
      await caller.delete(`/api/tokens/${tokenId}`);

      const log = lines.join('');
      expect(log).toContain('planted failure');
      expect(log).not.toContain(secret.slice(11));
      expect(log).not.toContain(ADMIN_TOKEN);
      const dump = await everyRow(service);
      expect(dump).toContain(tokenId);
      expect(dump).toContain(secret.slice(0, 11));
      expect(dump).not.toContain(secret.slice(11));
      expect(dump).not.toContain(Buffer.from(secret).toString('hex'));
    } finally {
      vi.restoreAllMocks();
      await service?.close();
    }
  });
});

describe('secrets of an installation', () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'tollgate-secrets-'));
  });
  afterAll(async () => {
    await rm(dataDir, { recursive: true, force: true });
  });

  it('come from the environment when they are there, and nothing is written', async () => {
    const config = configOf({ ADMIN_TOKEN: 'a'.repeat(24), ENCRYPTION_KEY: 'ff'.repeat(32) });
    expect(await loadAdminToken(config)).toEqual({ token: 'a'.repeat(24), file: null });
    expect(await loadEncryptionKey(config)).toEqual(Buffer.alloc(32, 0xff));
    expect(await readdir(dataDir)).toEqual([]);
  });

  it('are generated once, for the owner alone, and found again by every later start', async () => {
    const config = configOf({});
    const starts = await Promise.all(Array.from({ length: 8 }, () => loadAdminToken(config)));
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadEncryptionKey(config)));
    expect(new Set(starts.map(({ token }) => token)).size).toBe(1);
    expect(new Set(keys.map((key) => key.toString('hex'))).size).toBe(1);
    expect(starts[0]?.token.length).toBeGreaterThanOrEqual(43);
    expect(keys[0]).toHaveLength(32);
    for (const name of await readdir(dataDir)) {
      expect((await stat(join(dataDir, name))).mode & 0o777).toBe(0o600);
    }
    expect((await readdir(dataDir)).sort()).toEqual(['admin-token', 'encryption-key']);
    expect(await loadAdminToken(config)).toEqual(starts[0]);
  });

  it('that are damaged stop the start by the name of their file, never by their content', async () => {
    const config = configOf({});
    await writeFile(join(dataDir, 'admin-token'), 'short-one');
    await writeFile(join(dataDir, 'encryption-key'), 'not a key');
    await expect(loadAdminToken(config)).rejects.toThrow(/admin-token must hold at least 24/);
    await expect(loadAdminToken(config)).rejects.not.toThrow(/short-one/);
    await expect(loadEncryptionKey(config)).rejects.toThrow(/encryption-key does not hold a key/);
    expect(await readFile(join(dataDir, 'encryption-key'), 'utf8')).toBe('not a key');
  });

  function configOf(environment: Record<string, string>): Config {
    const loaded = loadConfig({ DATA_DIR: dataDir, DEMO: '1', ...environment });
    if (!loaded.ok) throw new Error(loaded.problems.map(({ problem }) => problem).join());
    return loaded.config;
  }
});

async function everyRow(service: TestService): Promise<string> {
  const tables = await service.database.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`,
  );
  const dumps = await Promise.all(
    tables.map(({ name }) =>
      service.database.query<{ row: string }>(`SELECT t::text AS row FROM "${name}" t`),
    ),
  );
  return dumps
    .flat()
    .map(({ row }) => row)
    .join('\n');
}
