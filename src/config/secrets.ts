import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from './config.js';
import { StartupError } from './startup-error.js';

const SECRET_BYTES = 32;
const SECRET_MIN_CHARS = 24;

export interface AdminTokenSource {
  readonly token: string;
  /** Where it was generated; null when it came from the environment. */
  readonly file: string | null;
}

/**
 * The operator's token: `ADMIN_TOKEN`, else one generated under `DATA_DIR` on the first start.
 *
 * @throws StartupError when the file cannot be written or holds something else.
 */
export async function loadAdminToken(config: Config): Promise<AdminTokenSource> {
  if (config.adminToken !== null) return { token: config.adminToken, file: null };
  const file = join(config.dataDir, 'admin-token');
  const token = await readOrCreate(file, () => randomBytes(SECRET_BYTES).toString('base64url'));
  if (token.length < SECRET_MIN_CHARS) {
    throw new StartupError(
      `${resolve(file)} must hold at least ${SECRET_MIN_CHARS} characters: delete it to have one generated`,
    );
  }
  return { token, file };
}

/**
 * The 32 bytes that encrypt secrets at rest: `ENCRYPTION_KEY`, else generated under `DATA_DIR`.
 *
 * @throws StartupError when the file cannot be written or holds something else.
 */
export async function loadEncryptionKey(config: Config): Promise<Buffer> {
  if (config.encryptionKey !== null) return keyBytes(config.encryptionKey);
  const file = join(config.dataDir, 'encryption-key');
  const key = keyBytes(
    await readOrCreate(file, () => randomBytes(SECRET_BYTES).toString('base64url')),
  );
  // Never replaced by itself: whatever was encrypted with it would be lost.
  if (key.length !== SECRET_BYTES) {
    throw new StartupError(
      `${resolve(file)} does not hold a key of 32 bytes, written in base64 or hex: restore it`,
    );
  }
  return key;
}

function keyBytes(text: string): Buffer {
  return Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64');
}

/** The file appears whole or not at all, and the first of two processes decides. */
async function readOrCreate(file: string, make: () => string): Promise<string> {
  const known = await readIfThere(file);
  if (known !== null) return known;
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(draft, `${make()}\n`, { mode: 0o600, flag: 'wx' });
    await link(draft, file).catch((error: unknown) => {
      if (errnoOf(error) !== 'EEXIST') throw error;
    });
  } catch (error) {
    throw unusable(file, error);
  } finally {
    await rm(draft, { force: true });
  }
  const written = await readIfThere(file);
  if (written === null) throw new StartupError(`${resolve(file)} vanished while it was written`);
  return written;
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw unusable(file, error);
  }
}

function unusable(file: string, error: unknown): StartupError {
  return new StartupError(
    `DATA_DIR cannot be used: ${resolve(file)} cannot be read or written (${errnoOf(error)})`,
  );
}

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}
