import type { DatabaseService } from '../../src/database/database.service.js';
import type { Writer, WriterTransaction } from '../../src/database/writer.js';

export type Break =
  /** A statement of a transaction fails, and the transaction with it. */
  | 'statement_fails'
  /** The server ends the connection in the middle of a transaction. */
  | 'connection_dies'
  /** The transaction commits, and nobody learns of it. */
  | 'answer_lost';

/** The error that a broken connection gives: whether a COMMIT took effect is not known. */
class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';

  constructor() {
    super('Connection terminated unexpectedly (simulated)');
  }
}

/** What goes wrong with one process's database, and when: counted in statements, so it can be repeated. */
export class Interruption {
  private armed: { readonly how: Break; left: number; readonly isFatal: boolean } | null = null;
  private isDead = false;
  hasStruck = false;

  /** @param isFatal the process is dead from then on, until `disarm`. */
  arm(how: Break, afterStatements: number, isFatal: boolean): void {
    this.armed = { how, left: afterStatements, isFatal };
    this.hasStruck = false;
    this.isDead = false;
  }

  disarm(): void {
    this.armed = null;
    this.isDead = false;
  }

  /** Called before every statement of a transaction. */
  async beforeStatement(kill: () => Promise<unknown>): Promise<void> {
    if (this.isDead) throw new ConnectionLost();
    if (this.armed === null || this.armed.how === 'answer_lost') return;
    this.armed.left -= 1;
    if (this.armed.left > 0) return;
    const { how } = this.armed;
    this.strike();
    if (how === 'connection_dies') await kill().catch(() => undefined);
    throw new ConnectionLost();
  }

  /** Called after every commit. */
  afterCommit(): void {
    if (this.armed?.how !== 'answer_lost') return;
    this.armed.left -= 1;
    if (this.armed.left > 0) return;
    this.strike();
    throw new ConnectionLost();
  }

  private strike(): void {
    this.hasStruck = true;
    this.isDead = this.armed?.isFatal ?? false;
    this.armed = null;
  }
}

const KILL_SELF = 'SELECT pg_terminate_backend(pg_backend_pid())::text';

/** The database as a process sees it whose connections may break. */
export function interruptible(
  database: DatabaseService,
  billing: Interruption,
  journal: Interruption,
): DatabaseService {
  const prisma = interruptiblePrisma(database.prisma, billing);
  const writer = interruptibleWriter(database.writer, journal);
  const lanes = interruptibleWriter(database.lanes, journal);
  return new Proxy(database, {
    get(target, key): unknown {
      if (key === 'prisma') return prisma;
      if (key === 'writer') return writer;
      if (key === 'lanes') return lanes;
      return Reflect.get(target, key);
    },
  });
}

type Prisma = DatabaseService['prisma'];
type PrismaTransaction = Parameters<Parameters<Prisma['$transaction']>[0]>[0];
type Callable = (...values: unknown[]) => Promise<unknown>;

function interruptiblePrisma(prisma: Prisma, interruption: Interruption): Prisma {
  const transaction = async (
    work: (tx: PrismaTransaction) => Promise<unknown>,
    options: object,
  ): Promise<unknown> => {
    const result = await prisma.$transaction((tx) => work(watched(tx, tx, interruption)), options);
    interruption.afterCommit();
    return result;
  };
  return new Proxy(prisma, {
    get: (target, key): unknown =>
      key === '$transaction' ? transaction : (Reflect.get(target, key) as unknown),
  });
}

/** Counts every call on the transaction and on its models. */
function watched<Target extends object>(
  target: Target,
  tx: PrismaTransaction,
  interruption: Interruption,
): Target {
  return new Proxy(target, {
    get(_target, key): unknown {
      const value: unknown = Reflect.get(target, key);
      if (typeof value === 'function') {
        return async (...values: unknown[]): Promise<unknown> => {
          await interruption.beforeStatement(() => tx.$queryRawUnsafe(KILL_SELF));
          return (value as Callable).apply(target, values);
        };
      }
      return typeof value === 'object' && value !== null ? watched(value, tx, interruption) : value;
    },
  });
}

function interruptibleWriter(writer: Writer, interruption: Interruption): Writer {
  const transaction = async <Result>(
    work: (tx: WriterTransaction) => Promise<Result>,
  ): Promise<Result> => {
    const result = await writer.transaction((tx) => {
      const before = (): Promise<void> => interruption.beforeStatement(() => tx.rows(KILL_SELF));
      return work({
        rows: async (sql, ...values) => {
          await before();
          return tx.rows(sql, ...values);
        },
        count: async (sql, ...values) => {
          await before();
          return tx.count(sql, ...values);
        },
      });
    });
    interruption.afterCommit();
    return result;
  };
  return new Proxy(writer, {
    get: (target, key): unknown =>
      key === 'transaction' ? transaction : (Reflect.get(target, key) as unknown),
  });
}
