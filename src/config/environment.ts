import { parseUsd } from '../domain/money.js';

/** Names to texts, as a process is handed them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process: the only place that looks at it. */
export function processEnvironment(): Environment {
  return process.env;
}

/** A variable that cannot be used as it is; `problem` says why and never contains the value. */
export interface EnvironmentProblem {
  readonly variable: string;
  readonly problem: string;
}

interface IntegerBounds {
  readonly min: number;
  readonly max: number;
}

/** Every variable the service reads, for the near-miss check. */
export const KNOWN_VARIABLES: readonly string[] = [
  'HOST',
  'PORT',
  'PUBLIC_URL',
  'DATABASE_URL',
  'DATABASE_POOL_MAX',
  'DATA_DIR',
  'DEMO',
  'UPSTREAM_BASE_URL',
  'UPSTREAM_API_KEY',
  'UPSTREAM_BILL_TO',
  'HUB_URL',
  'ADMIN_TOKEN',
  'ENCRYPTION_KEY',
  'PRICE_SYNC_INTERVAL_S',
  'UNPRICED_MODELS',
  'CHEAPEST_BY',
  'UNPRICED_HOLD_USD',
  'HOLD_UNKNOWN_USD',
  'HOLD_DEFAULT_OUTPUT_TOKENS',
  'DEFAULT_SPEND_LIMIT_USD',
  'REQUEST_MAX_BYTES',
  'UPLOAD_MAX_BYTES',
  'BUFFER_MAX_BYTES',
  'RESPONSE_HOLD_MAX_BYTES',
  'UPSTREAM_HEADERS_TIMEOUT_MS',
  'UPSTREAM_IDLE_TIMEOUT_MS',
  'ADMIT_WAIT_MAX_MS',
  'SETTLE_WAIT_MAX_MS',
  'IN_FLIGHT_MAX',
  'MAX_ATTEMPTS',
  'DRAIN_MAX_MS',
  'DRAIN_MAX_CONCURRENT',
  'STREAMS_PER_TOKEN_MAX',
  'MATCH_AT_CLOSE',
  'MATCH_THRESHOLD_USD',
  'JOB_MAX_AGE_S',
  'PERIOD_CLOSE_DELAY_S',
  'RETENTION_YEARS',
  'INVOICE_MINIMUM_USD',
  'PAYMENT_TERMS_DAYS',
  'ISSUER_NAME',
  'ISSUER_ADDRESS',
  'ISSUER_TAX_ID',
  'SHUTDOWN_DELAY_MS',
  'SHUTDOWN_GRACE_MS',
  'STRIPE_SECRET_KEY',
  'STRIPE_WEBHOOK_SECRET',
  'STRIPE_API_BASE',
  'DUNNING_FREE_AFTER_DAYS',
  'REDIS_URL',
  'TRUST_PROXY',
  'CORS_ORIGINS',
  'ALLOW_PRIVATE_UPSTREAMS',
  'SMTP_URL',
  'MAIL_FROM',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'METRICS_PORT',
  'LOG_LEVEL',
];

const BYTE_FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

/** Typed readers over an environment that collect every problem instead of stopping at the first. */
export function readEnvironment(env: Environment): EnvironmentReader {
  return new EnvironmentReader(env);
}

export class EnvironmentReader {
  private readonly found: EnvironmentProblem[] = [];

  constructor(private readonly env: Environment) {}

  /** An empty variable is an unset one. */
  text(variable: string): string | null {
    const value = this.env[variable]?.trim();
    return value === undefined || value === '' ? null : value;
  }

  integer(variable: string, { fallback, ...bounds }: IntegerBounds & { fallback: number }): number {
    return this.optionalInteger(variable, bounds) ?? fallback;
  }

  optionalInteger(variable: string, { min, max }: IntegerBounds): number | null {
    const text = this.text(variable);
    if (text === null) return null;
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min || value > max) {
      this.fail(variable, `must be a whole number from ${min} to ${max}`);
      return null;
    }
    return value;
  }

  choice<T extends string>(variable: string, choices: readonly T[], fallback: T): T {
    const text = this.text(variable);
    if (text === null) return fallback;
    const choice = choices.find((one) => one === text);
    if (choice === undefined) this.fail(variable, `must be one of: ${choices.join(', ')}`);
    return choice ?? fallback;
  }

  url(variable: string, protocols: readonly string[]): string | null {
    const text = this.text(variable);
    if (text === null) return null;
    if (!URL.canParse(text) || !protocols.includes(new URL(text).protocol)) {
      this.fail(
        variable,
        `must be a URL that starts with ${protocols.map((p) => `${p}//`).join(' or ')}`,
      );
      return null;
    }
    return text;
  }

  usd(variable: string, fallback: string): bigint {
    const parsed = parseUsd(this.text(variable) ?? fallback);
    if (parsed === null || parsed < 0n) {
      this.fail(variable, 'must be an amount of USD such as 0.50, at least 0, at most 12 decimals');
      return 0n;
    }
    return parsed;
  }

  bytes(variable: string, fallback: string): number {
    const text = this.text(variable) ?? fallback;
    const match = /^(\d+)\s*([A-Za-z]*)$/.exec(text);
    const factor = BYTE_FACTORS[(match?.[2] ?? '?').toUpperCase()];
    const value = Number(match?.[1] ?? Number.NaN) * (factor ?? Number.NaN);
    if (!Number.isSafeInteger(value) || value < 1) {
      this.fail(variable, 'must be a number of bytes such as 33554432 or 32MiB');
      return 1;
    }
    return value;
  }

  list(variable: string): readonly string[] {
    const text = this.text(variable);
    return text === null
      ? []
      : text
          .split(',')
          .map((item) => item.trim())
          .filter((item) => item !== '');
  }

  /** Web origins as browsers write them, or `*`. */
  origins(variable: string): readonly string[] {
    const origins = this.list(variable);
    const isOrigin = (text: string): boolean =>
      text === '*' ||
      (/^https?:[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text);
    if (!origins.every(isOrigin)) {
      this.fail(
        variable,
        'must be * or a list of origins such as https://app.example.com,http://localhost:5173: lower case, no path, no slash at the end',
      );
    }
    return origins;
  }

  fail(variable: string, problem: string): void {
    this.found.push({ variable, problem });
  }

  /** All problems, with names that look like a misspelt variable of ours. */
  problems(): readonly EnvironmentProblem[] {
    return this.found;
  }
}

/**
 * Names in the environment that are one slip away from a variable of ours and are not one.
 * They are pointed out at start; they stop nothing.
 */
export function nearMisses(env: Environment): readonly { name: string; meant: string }[] {
  const known = new Set(KNOWN_VARIABLES);
  const misses: { name: string; meant: string }[] = [];
  for (const name of Object.keys(env)) {
    if (known.has(name) || name.length < 6) continue;
    const plain = name.replace(/^TOLLGATE_/, '').toUpperCase();
    const meant = KNOWN_VARIABLES.find(
      (candidate) =>
        candidate.length >= 6 && (candidate === plain || isOneSlipAway(plain, candidate)),
    );
    if (meant !== undefined) misses.push({ name, meant });
  }
  return misses;
}

/** One letter changed, missing, added, or two neighbours swapped. */
function isOneSlipAway(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA -= 1;
    endB -= 1;
  }
  const restA = a.slice(start, endA);
  const restB = b.slice(start, endB);
  if (restA.length <= 1 && restB.length <= 1) return true;
  return restA.length === 2 && restB.length === 2 && restA[0] === restB[1] && restA[1] === restB[0];
}
