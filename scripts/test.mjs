// `npm test`: every check there is. A part that is missing, skipped or ends by a signal has failed:
// nothing is left out silently. The last line counts each static check as one, and every test.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const STATIC_CHECKS = ['format', 'lint', 'types', 'deps'];
/** How many static checks run side by side: the linter alone fills one core. */
const SIDE_BY_SIDE = 2;
/** Every part must have tests, told by where their files lie. */
const PARTS = {
  unit: /^(src|simulator)\//,
  integration: /^test\/integration\//,
  e2e: /^test\/e2e\//,
};

const totals = { passed: 0, failed: 0 };
await runStaticChecks([...STATIC_CHECKS]);
await runTests();
process.stdout.write(`${totals.passed} passed, ${totals.failed} failed\n`);
process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;

function count(isPassed, line) {
  totals[isPassed ? 'passed' : 'failed'] += 1;
  if (line !== undefined) process.stdout.write(`${isPassed ? 'ok    ' : 'FAILED'} ${line}\n`);
}

async function runStaticChecks(waiting) {
  const lane = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const startedAt = performance.now();
      const { code, output } = await run('npm', ['run', '--silent', name], 'collect');
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      count(code === 0, `${name} (${seconds} s)`);
      if (code !== 0) process.stdout.write(`${output.trimEnd()}\n`);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, lane));
}

async function runTests() {
  const folder = await mkdtemp(join(tmpdir(), 'tollgate-report-'));
  const reportFile = join(folder, 'vitest.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const { code } = await run(
    process.execPath,
    [vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`],
    'show',
  );
  const report = await readFile(reportFile, 'utf8').then(JSON.parse, () => null);
  await rm(folder, { recursive: true, force: true });
  if (report === null) {
    count(false, 'tests: vitest left no report');
    return;
  }
  const failedBefore = totals.failed;
  const filesByPart = new Map(Object.keys(PARTS).map((part) => [part, 0]));
  for (const file of report.testResults) {
    const path = relative(root, file.name).split(sep).join('/');
    countFile(path, file);
    const part = Object.keys(PARTS).find((name) => PARTS[name].test(path));
    if (part !== undefined) filesByPart.set(part, filesByPart.get(part) + 1);
  }
  for (const [part, files] of filesByPart) {
    if (files === 0) count(false, `${part}: there are no tests of this part`);
  }
  // An error outside any test, or an end by a signal.
  if (code !== 0 && totals.failed === failedBefore) count(false, 'tests: vitest itself failed');
}

/** A file that could not be loaded, or holds no test, is one failure; so is a test that did not run. */
function countFile(path, { status, assertionResults }) {
  let failed = 0;
  for (const { status: result, fullName } of assertionResults) {
    if (result === 'passed') {
      count(true);
    } else {
      failed += 1;
      count(false, `${path}: ${fullName}${result === 'failed' ? '' : ` (${result})`}`);
    }
  }
  if (failed === 0 && (status !== 'passed' || assertionResults.length === 0)) count(false, path);
}

function run(command, args, output) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: output === 'show' ? 'inherit' : ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: process.stdout.isTTY ? '1' : '0' },
    });
    const parts = [];
    child.stdout?.on('data', (part) => parts.push(part));
    child.stderr?.on('data', (part) => parts.push(part));
    child.once('error', (error) => resolve({ code: 1, output: error.message }));
    child.once('close', (code) =>
      resolve({ code: code ?? 1, output: Buffer.concat(parts).toString() }),
    );
  });
}
