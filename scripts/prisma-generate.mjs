// Generates the Prisma client into src/database/prisma/, when it is missing or older than the schema.
// Runs after every install; the build runs it again after a pull that changed the schema.
//
// `prisma generate` insists on a schema-engine binary although it never runs it; naming any
// executable spares a download that may be unreachable.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(root, 'node_modules/.cache/tollgate/prisma-client');

/**
 * @returns {boolean} false when the generator is not installed (`npm ci --omit=dev`).
 * @throws {Error} with Prisma's own output when it fails.
 */
export function generatePrismaClient() {
  const prisma = findPrisma();
  if (prisma === null) return false;
  const stamp = createHash('sha256')
    .update(prisma.version)
    .update(readFileSync(join(root, 'prisma/schema.prisma')))
    .digest('hex');
  const isThere = existsSync(join(root, 'src/database/prisma/client.ts'));
  if (isThere && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return true;

  const result = spawnSync(process.execPath, [prisma.cli, 'generate', '--no-hints'], {
    cwd: root,
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
      CHECKPOINT_DISABLE: '1',
    },
    encoding: 'utf8',
  });
  if (result.status !== 0) {
    throw new Error(`${result.stdout ?? ''}${result.stderr ?? ''}prisma generate failed`);
  }
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, stamp);
  return true;
}

function findPrisma() {
  try {
    const manifest = createRequire(import.meta.url).resolve('prisma/package.json');
    const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
    return { version, cli: join(dirname(manifest), 'build/index.js') };
  } catch {
    return null;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    generatePrismaClient();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
