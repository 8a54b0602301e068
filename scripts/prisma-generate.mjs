// Generates the Prisma client into src/database/prisma/. `prisma generate` insists on a schema-engine
// binary although it never runs it; naming any executable spares a download that may be unreachable.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const prismaPackage = createRequire(import.meta.url).resolve('prisma/package.json');
const result = spawnSync(
  process.execPath,
  [join(dirname(prismaPackage), 'build/index.js'), 'generate', '--no-hints'],
  {
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
      CHECKPOINT_DISABLE: '1',
    },
    encoding: 'utf8',
  },
);
if (result.status !== 0) {
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}prisma generate failed\n`);
  process.exit(1);
}
