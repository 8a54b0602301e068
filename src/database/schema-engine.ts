import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import { PrismaPg } from '@prisma/adapter-pg';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import pg from 'pg';
import type * as SchemaEngine from '@prisma/schema-engine-wasm/schema_engine_bg';
import { migrationsFolder, readMigrations } from './migration-files.js';

type SchemaEngineModule = typeof SchemaEngine;

/**
 * Applies `prisma/migrations` with Prisma's own schema engine as WebAssembly, for whoever holds the
 * migration lock. It takes 40 MB that are never given back: the service runs it in a process of its
 * own (`migrate-process.ts`).
 *
 * @returns the names of the migrations applied now, in order.
 */
export async function applyMigrations(databaseUrl: string): Promise<readonly string[]> {
  const folder = migrationsFolder();
  const schema = await readFile(join(folder, '..', 'schema.prisma'), 'utf8');
  const lockfile = await readFile(join(folder, 'migration_lock.toml'), 'utf8');
  const migrationDirectories = (await readMigrations()).map(({ name, sql }) => ({
    path: name,
    migrationFile: { path: 'migration.sql', content: { tag: 'ok' as const, value: sql } },
  }));

  const engineModule = await loadSchemaEngine();
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  const engine = await engineModule.SchemaEngine.new(
    { datamodels: [['schema.prisma', schema]] },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(scriptSafe(new PrismaPg(pool), pool)),
  );
  try {
    const result = await engine.applyMigrations({
      migrationsList: {
        baseDir: folder,
        lockfile: { path: 'migration_lock.toml', content: lockfile },
        migrationDirectories,
        shadowDbInitScript: '',
      },
      filters: { externalTables: [], externalEnums: [] },
    });
    return result.appliedMigrationNames;
  } finally {
    engine.free();
    await pool.end();
  }
}

/**
 * The adapter cuts a script at every semicolon, also inside a function body. Sent whole, it is one
 * simple query: read by PostgreSQL itself, and one transaction, so a migration applies or does not.
 */
function scriptSafe(factory: PrismaPg, pool: pg.Pool): PrismaPg {
  const connect = factory.connect.bind(factory);
  factory.connect = async () => {
    const adapter = await connect();
    adapter.executeScript = async (script) => {
      await pool.query(script);
    };
    return adapter;
  };
  return factory;
}

/** The part of the global that we use; its types come only with the browser's library. */
const webAssembly = (
  globalThis as unknown as {
    WebAssembly: {
      instantiate(
        bytes: Uint8Array,
        imports: Record<string, unknown>,
      ): Promise<{ instance: { exports: Record<string, unknown> } }>;
    };
  }
).WebAssembly;

let loaded: Promise<SchemaEngineModule> | null = null;

/** The package's own entry expects a bundler; under Node its WebAssembly is instantiated by hand. */
function loadSchemaEngine(): Promise<SchemaEngineModule> {
  loaded ??= (async () => {
    const entry = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm');
    const bytes = await readFile(join(dirname(entry), 'schema_engine_bg.wasm'));
    const glue = await import('@prisma/schema-engine-wasm/schema_engine_bg');
    const { instance } = await webAssembly.instantiate(bytes, { './schema_engine_bg.js': glue });
    const { __wbg_set_wasm: setWasm } = glue as unknown as {
      __wbg_set_wasm: (exports: unknown) => void;
    };
    setWasm(instance.exports);
    const start = instance.exports['__wbindgen_start'];
    if (typeof start === 'function') (start as () => void)();
    return glue;
  })();
  return loaded;
}
