// `npm run deps`: checks the tree against the rules of .dependency-cruiser.cjs (who may import whom)
// and of this file (where a file may lie), and then the rules themselves: a small tree that breaks
// each of them once is checked in the same way, and every rule must report its own file.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise } from 'dependency-cruiser';
import extractTsConfig from 'dependency-cruiser/config-utl/extract-ts-config';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const config = createRequire(import.meta.url)('../.dependency-cruiser.cjs');
const FOLDERS = ['src', 'simulator', 'test'];

/** Where a file may lie: what an import cannot tell. Generated code is not ours to arrange. */
const layoutRules = [
  {
    name: 'two-levels-deep',
    isBroken: (path) => path.split('/').length > 4,
  },
  {
    name: 'folders-are-features',
    isBroken: (path) => /(^|\/)(common|shared|utils?|helpers?|core)\//.test(path),
  },
  {
    name: 'no-barrels',
    isBroken: (path) => /(^|\/)index\.[cm]?[jt]sx?$/.test(path),
  },
];

/** One violation of every rule: the files to plant, and the file that must be reported. */
const planted = {
  'domain-is-pure': {
    'src/domain/reads-a-file.ts':
      "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n",
  },
  'prisma-in-repositories': {
    'src/usage/usage.service.ts':
      "import type { PrismaClient } from '@prisma/client';\nexport type Client = PrismaClient;\n",
    'src/usage/row.ts':
      "import type { Row } from '../database/prisma/client.js';\nexport type Mine = Row;\n",
  },
  'pg-in-database': {
    'src/jobs/listen.ts': "import pg from 'pg';\nexport const client = pg;\n",
  },
  'stripe-in-payments': {
    'src/billing/pay.ts': "import Stripe from 'stripe';\nexport const stripe = Stripe;\n",
  },
  'repositories-are-private': {
    'src/usage/peeks.ts':
      "import { tokens } from '../identity/tokens.repository.js';\nexport const peek = tokens;\n",
  },
  'proxy-knows-few': {
    'src/proxy/bills.ts':
      "import { bill } from '../billing/bill.js';\nexport const charge = bill;\n",
  },
  'money-edges-are-wired-from-outside': {
    'src/billing/asks.ts': "import { pay } from '../payments/pay.js';\nexport const ask = pay;\n",
    'src/reconciliation/asks.ts':
      "import { pay } from '../payments/pay.js';\nexport const ask = pay;\n",
  },
  'simulator-is-independent': {
    'simulator/borrows.ts':
      "import { price } from '../src/domain/price.js';\nexport const same = price;\n",
  },
  'only-the-demo-knows-the-simulator': {
    'src/catalog/cheats.ts': "export const cheat = () => import('../../simulator/plain.js');\n",
  },
  'the-demo-loads-the-simulator-late': {
    'src/demo/demo-upstream.ts':
      "import { plain } from '../../simulator/plain.js';\nexport const early = plain;\n",
  },
  'no-tests-in-production': {
    'src/http/tested.ts':
      "import { fake } from '../../test/support/fake.js';\nexport const faked = fake;\n",
  },
  'no-development-packages-in-production': {
    'src/http/heavy.ts': "import { expect } from 'vitest';\nexport const check = expect;\n",
  },
  'no-cycles': {
    'src/jobs/chicken.ts':
      "import type { Egg } from './egg.js';\nexport interface Chicken { egg: Egg }\n",
  },
  'everything-resolves': {
    'src/jobs/lost.ts': "import { gone } from './gone.js';\nexport const lost = gone;\n",
  },
  'two-levels-deep': { 'src/proxy/dialects/more/deep.ts': 'export const deep = 1;\n' },
  'folders-are-features': { 'src/utils/anything.ts': 'export const anything = 1;\n' },
  'no-barrels': { 'src/usage/index.ts': 'export const usage = 1;\n' },
};

/** What the planted files import, and what must not be reported: each use is allowed. */
const innocent = {
  'package.json':
    '{ "type": "module", "dependencies": { "pg": "1" }, "devDependencies": { "vitest": "1" } }',
  'tsconfig.json':
    '{ "compilerOptions": { "module": "nodenext", "moduleResolution": "nodenext" } }',
  'src/app.module.ts': "import { pay } from './payments/pay.js';\nexport const app = pay;\n",
  'src/billing/bill.ts': 'export const bill = 1;\n',
  'src/database/prisma/client.ts': 'export interface Row { id: string }\n',
  'src/database/pool.ts': "import pg from 'pg';\nexport const pool = pg;\n",
  'src/domain/price.ts': 'export const price = 1n;\n',
  'src/identity/tokens.repository.ts':
    "import type { Row } from '../database/prisma/client.js';\nexport const tokens: Row[] = [];\n",
  'src/identity/tokens.service.ts':
    "import { tokens } from './tokens.repository.js';\nexport const service = tokens;\n",
  'src/jobs/egg.ts':
    "import type { Chicken } from './chicken.js';\nexport interface Egg { of: Chicken }\n",
  'src/payments/pay.ts': "import Stripe from 'stripe';\nexport const pay = Stripe;\n",
  'src/payments/again.ts': "import { pay } from './pay.js';\nexport const again = pay;\n",
  'src/proxy/prices.ts':
    "import { price } from '../domain/price.js';\nexport const prices = [price];\n",
  'simulator/plain.ts': 'export const plain = 1;\n',
  'test/support/fake.ts':
    "import { price } from '../../src/domain/price.js';\nexport const fake = price;\n",
};

const problems = [...(await violationsIn(root)).map(describe), ...(await rulesThatMiss())];
for (const problem of problems) process.stderr.write(`${problem}\n`);
if (problems.length === 0) {
  const count = config.forbidden.length + layoutRules.length;
  process.stdout.write(`${count} rules hold, and each finds the violation planted for it\n`);
} else {
  process.exitCode = 1;
}

function describe({ rule, from, to }) {
  return `${rule}: ${from}${to === undefined ? '' : ` -> ${to}`}`;
}

/** @returns {Promise<{ rule: string, from: string, to?: string }[]>} */
async function violationsIn(folder) {
  const options = {
    ...config.options,
    ruleSet: { forbidden: config.forbidden },
    validate: true,
    baseDir: folder,
    tsConfig: undefined,
  };
  const tsConfig = extractTsConfig(join(folder, 'tsconfig.json'));
  const { output } = await cruise(FOLDERS, options, config.options.enhancedResolveOptions, {
    tsConfig,
  });
  const imports = output.summary.violations.map(({ rule, from, to }) => ({
    rule: rule.name,
    from,
    to,
  }));
  const places = layoutRules.flatMap((rule) =>
    filesOf(folder)
      .filter((path) => rule.isBroken(path))
      .map((from) => ({ rule: rule.name, from })),
  );
  return [...imports, ...places];
}

function filesOf(folder) {
  return FOLDERS.flatMap((name) =>
    readdirSync(join(folder, name), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .filter((path) => !path.startsWith('src/database/prisma/')),
  );
}

/** Plants every violation in a small tree; a rule that is silent, or hits the innocent, is named. */
async function rulesThatMiss() {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-rules-'));
  try {
    for (const files of [innocent, ...Object.values(planted)]) {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), text);
      }
    }
    for (const name of ['pg', 'stripe', 'vitest', '@prisma/client']) {
      const home = join(folder, 'node_modules', name);
      mkdirSync(home, { recursive: true });
      writeFileSync(
        join(home, 'package.json'),
        `{ "name": "${name}", "version": "1.0.0", "main": "main.js" }`,
      );
      writeFileSync(join(home, 'main.js'), 'module.exports = {};\n');
    }
    const found = await violationsIn(folder);
    const names = [...config.forbidden, ...layoutRules].map(({ name }) => name);
    const guilty = new Set(Object.values(planted).flatMap((files) => Object.keys(files)));
    return [
      ...names
        .filter((name) => planted[name] === undefined)
        .map((name) => `${name}: no violation is planted for this rule`),
      ...names.flatMap((name) =>
        Object.keys(planted[name] ?? {})
          .filter((path) => !found.some(({ rule, from }) => rule === name && from === path))
          .map((path) => `${name}: does not find the violation planted in ${path}`),
      ),
      ...found
        .filter(({ from, rule }) => !guilty.has(from) && rule !== 'no-cycles')
        .map((violation) => `reports what is allowed: ${describe(violation)}`),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
