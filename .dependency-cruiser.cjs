// Who may import whom. `npm run deps` checks the tree against these rules, and each rule against a
// planted violation (scripts/check-dependencies.mjs): a rule that finds nothing must be able to.
const SPEC = '\\.spec\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'domain-is-pure',
      comment: 'domain/ holds rules: no framework, no I/O, no clock. It imports only domain/.',
      severity: 'error',
      from: { path: '^src/domain/', pathNot: SPEC },
      to: { pathNot: '^src/domain/' },
    },
    {
      name: 'prisma-in-repositories',
      comment:
        'Prisma and its types stay in repositories and database/: the rest speaks our words.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['\\.repository\\.ts$', '^src/database/', SPEC] },
      to: { path: ['^src/database/prisma/', '(^|/)@prisma/'] },
    },
    {
      name: 'pg-in-database',
      comment: 'LISTEN, session locks, COPY and pg-boss use pg, and live in database/.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/database/', SPEC] },
      to: { path: ['(^|/)node_modules/(pg|pg-boss|@types/pg)/', '^(pg|pg-boss)$'] },
    },
    {
      name: 'stripe-in-payments',
      comment: 'Only payments/ knows Stripe.',
      severity: 'error',
      from: { pathNot: '^src/payments/' },
      to: { path: ['(^|/)node_modules/stripe/', '^stripe$'] },
    },
    {
      name: 'repositories-are-private',
      comment: "Another module's repository is private: ask its service.",
      severity: 'error',
      from: { path: '^src/([^/]+)/' },
      to: { path: '^src/[^/]+/.*\\.repository\\.ts$', pathNot: '^src/$1/' },
    },
    {
      name: 'proxy-knows-few',
      comment: 'The hot path imports only identity, catalog, metering, domain, config and http.',
      severity: 'error',
      from: { path: '^src/proxy/' },
      to: {
        path: '^(src|simulator|test)/',
        pathNot: '^src/(proxy|identity|catalog|metering|domain|config|http)/',
      },
    },
    {
      name: 'money-edges-are-wired-from-outside',
      comment:
        'Only app.module, jobs and cli import payments and reconciliation; these two do not import each other.',
      severity: 'error',
      from: { path: '^src/([^/]+)', pathNot: '^src/(app\\.module\\.ts$|jobs/|cli/)' },
      to: { path: '^src/(payments|reconciliation)/', pathNot: '^src/$1/' },
    },
    {
      name: 'simulator-is-independent',
      comment: 'The simulator judges src/: it imports nothing from it.',
      severity: 'error',
      from: { path: '^simulator/' },
      to: { path: '^(src|test)/' },
    },
    {
      name: 'only-the-demo-knows-the-simulator',
      comment: 'A service that is not a demo never loads code that invents answers.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/demo/demo-upstream\\.ts$', SPEC] },
      to: { path: '^simulator/' },
    },
    {
      name: 'the-demo-loads-the-simulator-late',
      comment: 'A static import would load the simulator into every service.',
      severity: 'error',
      from: { path: '^src/demo/' },
      to: { path: '^simulator/', dependencyTypesNot: ['dynamic-import'] },
    },
    {
      name: 'no-tests-in-production',
      comment: 'src/ and simulator/ run without test/ and without development packages.',
      severity: 'error',
      from: { path: '^(src|simulator)/', pathNot: [SPEC, '^simulator/spec-client\\.ts$'] },
      to: { path: '^test/' },
    },
    {
      name: 'no-development-packages-in-production',
      comment: 'What runs in production is installed in production.',
      severity: 'error',
      from: { path: '^(src|simulator)/', pathNot: [SPEC, '^simulator/spec-client\\.ts$'] },
      to: {
        dependencyTypes: ['npm-dev'],
        dependencyTypesNot: ['type-only'],
        pathNot: '(^|/)node_modules/@types/',
      },
    },
    {
      name: 'no-cycles',
      comment: 'Two files that need each other are one file, or miss a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'everything-resolves',
      comment: 'An import that leads nowhere hides from every other rule.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '^src/database/prisma/'] },
    exclude: { path: '^dist' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      mainFields: ['module', 'main', 'types'],
    },
  },
};
