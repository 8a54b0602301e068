/** What a failed statement or transaction means to a caller that may try again. */
export type SqlFailure =
  /** The connection broke; whether a COMMIT under way took effect is unknown. */
  | { readonly kind: 'connection' }
  /** Rolled back for certain; the same work may succeed later (classes 40, 53, lock and statement timeouts). */
  | { readonly kind: 'transient'; readonly sqlState: string }
  | { readonly kind: 'unique'; readonly sqlState: string; readonly constraint: string }
  | { readonly kind: 'exclusion'; readonly sqlState: string; readonly constraint: string }
  /** The statement itself cannot succeed: a row of it is at fault. */
  | { readonly kind: 'other'; readonly sqlState: string | null; readonly message: string };

interface DriverCause {
  readonly kind?: string;
  readonly originalCode?: string;
  readonly originalMessage?: string;
  readonly constraint?: { readonly fields?: readonly string[]; readonly index?: string };
}

const TRANSIENT_CLASSES: ReadonlySet<string> = new Set(['40', '53', '57']);
const LOCK_NOT_AVAILABLE = '55P03';
/** The server went away or is on its way out: a COMMIT that it was running may have taken effect. */
const CONNECTION_STATES = /^(08...|57P0[1-5])$/;
const CONNECTION_KINDS: ReadonlySet<string> = new Set([
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
  'TlsConnectionError',
]);
/** Prisma's codes for: cannot reach, timed out, connection closed, pool or transaction timeout. */
const PRISMA_CONNECTION_CODES: ReadonlySet<string> = new Set([
  'P1001',
  'P1002',
  'P1008',
  'P1017',
  'P2024',
  'P2028',
]);

/** Classifies whatever Prisma, its adapter or `pg` threw. */
export function classifySqlFailure(error: unknown): SqlFailure {
  const cause = driverCauseOf(error);
  const sqlState = cause?.originalCode ?? codeOf(error);
  const message =
    cause?.originalMessage ?? (error instanceof Error ? error.message : String(error));
  if (sqlState !== null && /^[0-9A-Z]{5}$/.test(sqlState) && !PRISMA_CODE.test(sqlState)) {
    if (CONNECTION_STATES.test(sqlState)) return { kind: 'connection' };
    if (TRANSIENT_CLASSES.has(sqlState.slice(0, 2)) || sqlState === LOCK_NOT_AVAILABLE) {
      return { kind: 'transient', sqlState };
    }
    const constraint = /constraint "([^"]+)"/.exec(message)?.[1] ?? '';
    if (sqlState === '23505') return { kind: 'unique', sqlState, constraint };
    if (sqlState === '23P01') return { kind: 'exclusion', sqlState, constraint };
    return { kind: 'other', sqlState, message };
  }
  if (cause?.kind !== undefined && CONNECTION_KINDS.has(cause.kind)) return { kind: 'connection' };
  const prismaCode = codeOf(error);
  // The system's own codes (ECONNREFUSED, ETIMEDOUT ...), also of an error without a message.
  if (prismaCode !== null && /^E[A-Z]+$/.test(prismaCode)) return { kind: 'connection' };
  if (prismaCode !== null && PRISMA_CONNECTION_CODES.has(prismaCode)) return { kind: 'connection' };
  if (/connection|trying to connect|socket|ECONN|EPIPE|terminat|not queryable/i.test(message))
    return { kind: 'connection' };
  return { kind: 'other', sqlState: null, message };
}

const PRISMA_CODE = /^P\d{4}$/;

function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/** The adapter's own description, wherever Prisma tucked it away. */
function driverCauseOf(error: unknown, depth = 0): DriverCause | null {
  if (typeof error !== 'object' || error === null || depth > 4) return null;
  if ('originalCode' in error || ('kind' in error && typeof error.kind === 'string')) {
    return error as DriverCause;
  }
  for (const key of ['cause', 'meta', 'driverAdapterError'] as const) {
    if (key in error) {
      const found = driverCauseOf((error as Record<string, unknown>)[key], depth + 1);
      if (found !== null) return found;
    }
  }
  return null;
}
