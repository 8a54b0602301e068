import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from './package-root.js';

export interface Migration {
  readonly name: string;
  readonly sql: string;
}

export function migrationsFolder(): string {
  return join(packageRoot(), 'prisma', 'migrations');
}

/** Our migrations in the order in which they are applied. */
export async function readMigrations(): Promise<readonly Migration[]> {
  const folder = migrationsFolder();
  const names = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
  return Promise.all(
    names.map(async (name) => ({
      name,
      sql: await readFile(join(folder, name, 'migration.sql'), 'utf8'),
    })),
  );
}
