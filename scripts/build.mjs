// `npm run build`: compiles src/, simulator/ and test/ (without the specs) into dist/, when what is
// there was not built from exactly these sources. Their contents are compared, not their times: a
// pull, a checkout or a copy may set times to anything.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generatePrismaClient } from './prisma-generate.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
/** Written last: a dist/ without it was cut off in the middle. */
const stampFile = join(dist, '.built-from');
const lockFile = join(root, 'node_modules/.cache/tollgate/build.lock');
const LOCK_POLL_MS = 100;

/**
 * Makes dist/ complete and up to date. Processes that build at once do it one after the other, and
 * dist/ is exchanged whole.
 *
 * @returns {Promise<boolean>} whether anything had to be built.
 * @throws {Error} with a message for the operator.
 */
export async function build() {
  if (isBuiltFrom(await fingerprint())) return false;
  requireTools();
  const release = await lock();
  try {
    // Another process may have built while this one waited.
    if (isBuiltFrom(await fingerprint())) return false;
    process.stdout.write('building ...\n');
    if (!generatePrismaClient()) throw new Error(missingTools('prisma'));
    const stamp = await fingerprint();
    await compile(stamp);
    return true;
  } finally {
    await release();
  }
}

/** A digest over everything the output depends on. */
async function fingerprint() {
  const files = [
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'prisma/schema.prisma',
  ];
  for (const folder of ['src', 'simulator', 'test']) {
    const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      if (!entry.isFile() || !entry.name.endsWith('.ts') || entry.name.endsWith('.spec.ts'))
        continue;
      const path = relative(root, join(entry.parentPath, entry.name));
      // Made from the schema, which is in the list.
      if (!path.startsWith('src/database/prisma/')) files.push(path);
    }
  }
  const digest = createHash('sha256');
  for (const file of files.sort()) {
    digest
      .update(`${file}\0`)
      .update(await readFile(join(root, file)))
      .update('\0');
  }
  return digest.digest('hex');
}

function isBuiltFrom(stamp) {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp;
}

function requireTools() {
  for (const tool of ['typescript', '@types/node', 'vitest']) {
    if (!existsSync(join(root, 'node_modules', tool))) throw new Error(missingTools(tool));
  }
}

function missingTools(tool) {
  return `dist/ is not built and ${tool} is not installed: run "npm ci --include=dev", which NODE_ENV=production leaves out`;
}

async function compile(stamp) {
  const fresh = join(root, 'dist.new');
  const stale = join(root, 'dist.old');
  await rm(fresh, { recursive: true, force: true });
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  await run([
    ...[tsc, '-p', 'tsconfig.build.json', '--outDir', fresh],
    ...['--incremental', 'false', '--tsBuildInfoFile', 'null'],
  ]);
  await writeFile(join(fresh, '.built-from'), stamp);
  await rm(stale, { recursive: true, force: true });
  if (existsSync(dist)) await rename(dist, stale);
  await rename(fresh, dist);
  await rm(stale, { recursive: true, force: true });
}

/** Runs node with these arguments. A signal to us ends it too: no compiler is left behind. */
async function run(args) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
  const pass = (signal) => child.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  try {
    const { code, signal } = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    if (signal !== null) throw new Error(`the build was stopped by ${signal}`);
    if (code !== 0) throw new Error('the build failed');
  } finally {
    process.off('SIGINT', pass).off('SIGTERM', pass);
  }
}

/** An exclusive file with the holder's process id; one whose holder is gone is taken over. */
async function lock() {
  await mkdir(dirname(lockFile), { recursive: true });
  for (;;) {
    try {
      const file = await open(lockFile, 'wx');
      await file.writeFile(String(process.pid));
      await file.close();
      return () => rm(lockFile, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const holder = Number(await readFile(lockFile, 'utf8').catch(() => '0'));
      if (holder > 0 && !isAlive(holder)) await rm(lockFile, { force: true });
      else await new Promise((wake) => setTimeout(wake, LOCK_POLL_MS));
    }
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await build();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
