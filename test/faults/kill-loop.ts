import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SeededRandom } from '../../simulator/random.js';
import { type Simulator, startSimulator } from '../../simulator/server.js';
import { compareBooks, type Violation } from './compare.js';
import { Load } from './load.js';
import { Operator } from './operator.js';
import { type FaultOptions, readFaultOptions } from './options.js';
import { PostgresServer } from './postgres-server.js';
import { readRecorded, untilNothingIsOpen } from './recorded.js';
import { type FaultRun, reportOf } from './report.js';
import { ADMIN_TOKEN, freePort, ServiceProcess } from './service-process.js';

/** After the last fault: stale heartbeat, sweep, and the drains of clients that left. */
const RECOVERY_TIMEOUT_MS = 60_000;
/** A service whose database is back must serve again within this, without a restart of its own. */
const SERVES_AGAIN_TIMEOUT_MS = 30_000;
const CALM_MS = 500;
const IDLE_STOP_MAX_MS = 10_000;

interface World {
  readonly options: FaultOptions;
  readonly random: SeededRandom;
  readonly simulator: Simulator;
  /** Null: the service runs its own. */
  readonly postgres: PostgresServer | null;
  readonly services: readonly ServiceProcess[];
  readonly dataDir: string;
  readonly logPath: string;
}

interface Faults {
  kills: number;
  killsDuringStart: number;
  postgresStops: number;
  postgresCuts: number;
  slowestReturnMs: number | null;
  readonly violations: Violation[];
}

/**
 * Runs the service under a mixed load, breaks it again and again, and compares three books: what the
 * clients received, what the simulator billed, what Tollgate recorded.
 */
export async function runFaultLoop(options: FaultOptions): Promise<FaultRun> {
  const startedAt = Date.now();
  const world = await createWorld(options);
  try {
    await Promise.all(world.services.map((service) => service.start()));
    const load = new Load({
      seed: options.seed,
      prefix: `f${options.seed}`,
      clients: options.clients,
      tokens: await createTokens(world),
    });
    load.start();
    const faults = await breakThings(world, load);
    await new Promise((wake) => setTimeout(wake, CALM_MS));
    await load.finish();
    const { simulator } = world;
    await eventually(() => simulator.openRequests() === 0, 'the simulator ends its requests');
    const recoveryStart = Date.now();
    const url = await databaseUrlOf(world);
    await untilNothingIsOpen(url, RECOVERY_TIMEOUT_MS);
    const recoveryMs = Date.now() - recoveryStart;
    const comparison = compareBooks({
      receipts: load.receipts,
      billed: simulator.books.since(),
      recorded: await readRecorded(url),
      nobodyDied: faults.kills + faults.killsDuringStart === 0,
    });
    const stops = await stopInOrder(world);
    const violations = [...comparison.violations, ...faults.violations, ...stops];
    const durationMs = Date.now() - startedAt;
    return { options, comparison, ...faults, violations, recoveryMs, durationMs };
  } finally {
    await disposeWorld(world);
  }
}

async function createWorld(options: FaultOptions): Promise<World> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tollgate-faults-'));
  // The catalogue publishes no cached price, so only without one are costs the same by nature.
  const simulator = await startSimulator({
    seed: options.seed,
    cachedPrices: false,
    apiKey: 'harness-key',
  });
  const postgres = options.isEmbedded ? null : await PostgresServer.start(join(dataDir, 'server'));
  const logPath = options.logPath ?? join(dataDir, 'service.log');
  const databaseUrl = options.postgresRestarts > 0 ? postgres?.gateUrl : postgres?.url;
  const services: ServiceProcess[] = [];
  for (let index = 0; index < options.processes; index += 1) {
    services.push(
      new ServiceProcess({
        port: await freePort(),
        logPath,
        environment: {
          DATA_DIR: join(dataDir, `service-${index}`),
          UPSTREAM_BASE_URL: simulator.url,
          UPSTREAM_HEADERS_TIMEOUT_MS: '20000',
          UPSTREAM_IDLE_TIMEOUT_MS: '20000',
          LOG_LEVEL: 'warn',
          ...(databaseUrl !== undefined && { DATABASE_URL: databaseUrl }),
        },
      }),
    );
  }
  const random = new SeededRandom(options.seed ^ 0x5eed);
  return { options, random, simulator, postgres, services, dataDir, logPath };
}

async function disposeWorld({ services, simulator, postgres, dataDir }: World): Promise<void> {
  await Promise.all(services.map((service) => service.stop()));
  await simulator.close();
  await postgres?.dispose();
  await rm(dataDir, { recursive: true, force: true });
}

/** Nothing is in flight any more: a SIGTERM now ends every service at once, in order. */
async function stopInOrder({ services }: World): Promise<Violation[]> {
  const rule = 'SIGTERM ends an idle service in order';
  const stops = services.map(async (service): Promise<Violation[]> => {
    const startedAt = Date.now();
    const code = await service.stop();
    const tookMs = Date.now() - startedAt;
    if (code === 0 && tookMs <= IDLE_STOP_MAX_MS) return [];
    return [{ rule, what: `exit code ${code ?? 'none'} after ${tookMs} ms` }];
  });
  return (await Promise.all(stops)).flat();
}

/** Two payers; limits on account, member and token in several combinations, one of them tight. */
async function createTokens({ services }: World): Promise<string[]> {
  const operator = new Operator(services[0]!.url, ADMIN_TOKEN);
  const far = '90.00';
  await operator.createOrganization('acme');
  await operator.createOrganization('globex');
  const ada = await operator.createMember('acme', 'ada', far);
  const ben = await operator.createMember('globex', 'ben', far);
  return [
    await operator.createToken('acme', { name: 'limited', memberId: ada, monthlyLimitUsd: far }),
    await operator.createToken('acme', { name: 'service' }),
    await operator.createToken('acme', { name: 'member', memberId: ada }),
    await operator.createToken('globex', { name: 'limited', memberId: ben, monthlyLimitUsd: far }),
    await operator.createToken('globex', { name: 'service', monthlyLimitUsd: far }),
    await operator.createToken('globex', { name: 'tight', monthlyLimitUsd: '0.002' }),
  ];
}

async function breakThings(world: World, load: Load): Promise<Faults> {
  const faults: Faults = {
    kills: 0,
    killsDuringStart: 0,
    postgresStops: 0,
    postgresCuts: 0,
    slowestReturnMs: null,
    violations: [],
  };
  for (const service of world.services) load.addTarget(service.url);
  if (world.options.postgresRestarts > 0) await breakPostgres(world, load, faults);
  if (world.options.kills > 0) {
    await Promise.all(world.services.map((service) => killAgain(world, load, service, faults)));
  }
  return faults;
}

/** Kills one service at a random moment after it is ready, starts it again, until there were enough. */
async function killAgain(
  world: World,
  load: Load,
  service: ServiceProcess,
  faults: Faults,
): Promise<void> {
  const { random, options } = world;
  while (faults.kills < options.kills) {
    // Most die while they are still cold and meet the load that had piled up, some in full swing.
    const lifeMs = random.between(1, 4) === 1 ? random.between(800, 2500) : random.between(50, 800);
    await new Promise((wake) => setTimeout(wake, lifeMs));
    load.removeTarget(service.url);
    faults.kills += 1;
    await service.kill();
    if (options.isEmbedded && random.between(1, 4) === 1) await crashEmbeddedPostgres(world);
    await service.spawn();
    if (random.between(1, 20) === 1) {
      await new Promise((wake) => setTimeout(wake, random.between(20, 900)));
      faults.killsDuringStart += 1;
      await service.kill();
      await service.spawn();
    }
    await service.untilReady();
    load.addTarget(service.url);
    options.progress(`${faults.kills} of ${options.kills} kills, ${load.receipts.length} requests`);
  }
}

/** What a power failure leaves: the service's own database dies without a checkpoint as well. */
async function crashEmbeddedPostgres({ dataDir }: World): Promise<void> {
  const file = join(dataDir, 'service-0', 'postgres', 'postmaster.pid');
  const pid = Number((await readFile(file, 'utf8')).split('\n')[0]);
  process.kill(pid, 'SIGQUIT');
  await eventually(() => !isAlive(pid), 'the embedded database dies');
}

/** Takes the database away under load and gives it back, while the services live on. */
async function breakPostgres(world: World, load: Load, faults: Faults): Promise<void> {
  const { random, options, postgres, services } = world;
  if (postgres === null) throw new Error('--postgres-restarts needs the server of the harness');
  const pids = services.map((service) => service.pid);
  while (faults.postgresStops < options.postgresRestarts) {
    await new Promise((wake) => setTimeout(wake, random.between(300, 1500)));
    if (random.between(1, 2) === 1) {
      faults.postgresCuts += 1;
      postgres.cutConnections();
      await new Promise((wake) => setTimeout(wake, random.between(100, 800)));
    }
    faults.postgresStops += 1;
    await postgres.stop(random.between(1, 3) === 1 ? 'fast' : 'immediate');
    await new Promise((wake) => setTimeout(wake, random.between(100, 2500)));
    await postgres.startAgain();
    const returnedAt = Date.now();
    for (const service of services) {
      if (!(await servesAgain(load, service.url))) {
        const what = `${service.url} after stop ${faults.postgresStops}`;
        faults.violations.push({ rule: 'serves again without a restart', what });
      }
    }
    faults.slowestReturnMs = Math.max(faults.slowestReturnMs ?? 0, Date.now() - returnedAt);
    options.progress(`${faults.postgresStops} database stops, ${load.receipts.length} requests`);
  }
  services.forEach((service, index) => {
    if (service.pid !== pids[index]) {
      faults.violations.push({ rule: 'serves again without a restart', what: 'a service died' });
    }
  });
}

async function servesAgain(load: Load, url: string): Promise<boolean> {
  const deadline = Date.now() + SERVES_AGAIN_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const { kind } = await load.probe(url);
    if (kind === 'delivered') return true;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  return false;
}

async function databaseUrlOf({ postgres, dataDir }: World): Promise<string> {
  if (postgres !== null) return postgres.url;
  return (await readFile(join(dataDir, 'service-0', 'database-url'), 'utf8')).trim();
}

async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + RECOVERY_TIMEOUT_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`it never came true that ${what}`);
    await new Promise((wake) => setTimeout(wake, 10));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function main(): Promise<void> {
  const run = await runFaultLoop(readFaultOptions(process.argv.slice(2)));
  process.stdout.write(reportOf(run));
  process.exitCode = run.violations.length > 0 ? 1 : 0;
}

const entry = process.argv[1];
if (entry !== undefined && import.meta.url === pathToFileURL(entry).href) await main();
