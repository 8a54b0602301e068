import { readFileSync } from 'node:fs';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { StartupError } from '../config/startup-error.js';

/** The right to use a data directory, held until released or until the process is gone. */
export interface DataDirLock {
  /** Where a second process finds the connection string to share (0600). */
  writeDatabaseUrl(url: string): Promise<void>;
  release(): Promise<void>;
}

/**
 * Takes the lock file of a data directory. A file left by a dead process is taken over; a process is
 * known by its id and its start time, since ids are used again.
 *
 * @throws StartupError when a live process holds it; the message says how to share its database.
 */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  const path = join(resolve(dataDir), 'lock');
  const urlPath = join(resolve(dataDir), 'database-url');
  const mine = identify(process.pid);
  for (let attempt = 0; ; attempt += 1) {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(mine);
      await file.close();
      break;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST' || attempt > 20) {
        throw new StartupError(
          `DATA_DIR cannot be used: ${path} cannot be written (${code ?? 'unknown'})`,
        );
      }
      const holder = (await readFile(path, 'utf8').catch(() => '')).trim();
      if (holder !== '' && isAlive(holder)) {
        throw new StartupError(
          `DATA_DIR ${resolve(dataDir)} is in use by process ${holder.split(' ')[0] ?? ''}. ` +
            `To run a second one on the same data, give it DATABASE_URL="$(cat ${urlPath})" (and the same ADMIN_TOKEN and ENCRYPTION_KEY)`,
        );
      }
      // An empty file may be one that is just being written.
      if (holder === '' && attempt < 10) await new Promise((wake) => setTimeout(wake, 20));
      else await rm(path, { force: true });
    }
  }
  return {
    writeDatabaseUrl: (url) => writeFile(urlPath, url, { mode: 0o600 }),
    release: async () => {
      const holder = (await readFile(path, 'utf8').catch(() => '')).trim();
      if (holder === mine) await rm(path, { force: true });
    },
  };
}

function identify(pid: number): string {
  return `${pid} ${startTimeOf(pid)}`;
}

function isAlive(holder: string): boolean {
  const pid = Number(holder.split(' ')[0]);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return identify(pid) === holder;
}

/** Clock ticks since boot at which the process started; '-' where the system does not tell. */
function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-';
  } catch {
    return '-';
  }
}
