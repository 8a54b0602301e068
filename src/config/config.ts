import { readEnvironment, type Environment, type EnvironmentProblem } from './environment.js';

/** The whole configuration, typed, read once at boot. Times in ms, sizes in bytes, money in pico-USD. */
/** Month close and invoices. */
export interface BillingConfig {
  readonly periodCloseDelayMs: number;
  readonly invoiceMinimumPicoUsd: bigint;
  readonly paymentTermsDays: number;
  /** Who issues invoices; a `\\n` in the address is a line break. */
  readonly issuer: {
    readonly name: string | null;
    readonly address: string | null;
    readonly taxId: string | null;
  };
}

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly publicUrl: string;
  /** null: the embedded PostgreSQL under `dataDir`. */
  readonly databaseUrl: string | null;
  readonly databasePoolMax: number;
  readonly dataDir: string;
  readonly isDemo: boolean;
  readonly upstream: UpstreamConfig;
  /** Who is asked what providers call the models of the router; null: nobody. */
  readonly hubUrl: string | null;
  /** null: generated under `dataDir`. */
  readonly adminToken: string | null;
  readonly encryptionKey: string | null;
  readonly priceSyncIntervalMs: number;
  readonly unpricedModels: 'reject' | 'allow';
  /** What `:cheapest` compares: the whole cost of a request, or the price of output alone. */
  readonly cheapestBy: 'total' | 'output';
  readonly unpricedHoldPicoUsd: bigint;
  readonly holdUnknownPicoUsd: bigint;
  readonly holdDefaultOutputTokens: number;
  readonly defaultSpendLimitPicoUsd: bigint;
  readonly billing: BillingConfig;
  readonly requestMaxBytes: number;
  readonly uploadMaxBytes: number;
  readonly bufferMaxBytes: number;
  readonly responseHoldMaxBytes: number;
  readonly admitWaitMaxMs: number;
  readonly settleWaitMaxMs: number;
  readonly inFlightMax: number;
  readonly maxAttempts: number;
  readonly drainMaxMs: number;
  readonly drainMaxConcurrent: number;
  readonly streamsPerTokenMax: number;
  /** A media job that did not end by itself is given up at this age. */
  readonly jobMaxAgeMs: number;
  readonly shutdownDelayMs: number;
  readonly shutdownGraceMs: number;
  readonly trustProxy: readonly string[];
  /** Web origins that may call `/v1` from a browser; `*`: all. */
  readonly corsOrigins: readonly string[];
  /** null: each process counts requests by itself. */
  readonly redisUrl: string | null;
  /** Hosts (lower case, no port) that addresses entered through the API may name although private. */
  readonly allowPrivateUpstreams: readonly string[];
  /** null: no e-mail is sent. */
  readonly mail: MailConfig | null;
  readonly metricsPort: number | null;
  readonly logLevel: string;
}

export interface MailConfig {
  /** `smtp:` or `smtps:`, with user and password where the server wants them. */
  readonly smtpUrl: string;
  readonly from: string;
}

export interface UpstreamConfig {
  readonly baseUrl: string;
  readonly apiKey: string | null;
  readonly billTo: string | null;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

const HUGGING_FACE_ROUTER = 'https://router.huggingface.co';
const HUGGING_FACE_HUB = 'https://huggingface.co';

/**
 * Reads and checks the environment.
 *
 * @returns the configuration, or every problem found; a problem names the variable and the fix and
 *   never contains a value.
 */
export function loadConfig(
  env: Environment,
): { ok: true; config: Config } | { ok: false; problems: readonly EnvironmentProblem[] } {
  const read = readEnvironment(env);

  const host = read.text('HOST') ?? '127.0.0.1';
  const port = read.integer('PORT', { fallback: 3000, min: 0, max: 65535 });
  const databaseUrl = read.url('DATABASE_URL', ['postgres:', 'postgresql:']);
  const baseUrl = read.url('UPSTREAM_BASE_URL', ['http:', 'https:']);
  const hubUrl = read.url('HUB_URL', ['http:', 'https:']);
  const apiKey = read.text('UPSTREAM_API_KEY');
  const stripeKey = read.text('STRIPE_SECRET_KEY');
  const demo = read.choice('DEMO', ['auto', '0', '1'], 'auto');
  const looksUnconfigured =
    baseUrl === null && apiKey === null && databaseUrl === null && stripeKey === null;
  const isDemo = demo === '1' || (demo === 'auto' && looksUnconfigured);

  if (demo === '1' && apiKey !== null) {
    read.fail(
      'DEMO',
      'is 1 while UPSTREAM_API_KEY is set: unset one of them, so that a service with a real key never serves invented answers',
    );
  }
  if (!isDemo && apiKey === null && (baseUrl ?? HUGGING_FACE_ROUTER) === HUGGING_FACE_ROUTER) {
    read.fail(
      'UPSTREAM_API_KEY',
      'is required for the Hugging Face router: set it, set UPSTREAM_BASE_URL to a server that needs no key, or set DEMO=1',
    );
  }

  const adminToken = read.text('ADMIN_TOKEN');
  const encryptionKey = read.text('ENCRYPTION_KEY');
  const generatesSecrets = databaseUrl === null || isDemo;
  if (!generatesSecrets && adminToken === null) {
    read.fail(
      'ADMIN_TOKEN',
      'is required when DATABASE_URL is set: choose a long random text, at least 24 characters',
    );
  }
  if (!generatesSecrets && encryptionKey === null) {
    read.fail(
      'ENCRYPTION_KEY',
      'is required when DATABASE_URL is set: 32 random bytes, base64 or hex',
    );
  }
  if (adminToken !== null && adminToken.length < 24) {
    read.fail('ADMIN_TOKEN', 'is too short: use at least 24 characters');
  }
  if (encryptionKey !== null && !isEncryptionKey(encryptionKey)) {
    read.fail('ENCRYPTION_KEY', 'must be 32 bytes, written in base64 or hex');
  }

  const publicUrl = read.url('PUBLIC_URL', ['http:', 'https:']);
  const smtpUrl = read.url('SMTP_URL', ['smtp:', 'smtps:']);
  const mailFrom = read.text('MAIL_FROM');
  if (publicUrl === null && (!isLoopback(host) || smtpUrl !== null)) {
    read.fail(
      'PUBLIC_URL',
      'is required when HOST is not a loopback address or SMTP_URL is set: it is the only source of links',
    );
  }

  if (smtpUrl !== null && mailFrom === null) {
    read.fail(
      'MAIL_FROM',
      'is required when SMTP_URL is set: the sender of what we send, such as Tollgate <billing@example.com>',
    );
  }

  const config: Config = {
    host,
    port,
    publicUrl: publicUrl ?? httpUrl(host, port),
    databaseUrl,
    databasePoolMax: read.integer('DATABASE_POOL_MAX', { fallback: 8, min: 1, max: 500 }),
    dataDir: read.text('DATA_DIR') ?? '.tollgate',
    isDemo,
    upstream: {
      baseUrl: (baseUrl ?? HUGGING_FACE_ROUTER).replace(/\/+$/, ''),
      apiKey,
      billTo: read.text('UPSTREAM_BILL_TO'),
      headersTimeoutMs: read.integer('UPSTREAM_HEADERS_TIMEOUT_MS', {
        fallback: 600_000,
        min: 1,
        max: 86_400_000,
      }),
      idleTimeoutMs: read.integer('UPSTREAM_IDLE_TIMEOUT_MS', {
        fallback: 300_000,
        min: 1,
        max: 86_400_000,
      }),
    },
    hubUrl: hubUrl?.replace(/\/+$/, '') ?? hubOf(baseUrl ?? HUGGING_FACE_ROUTER),
    adminToken,
    encryptionKey,
    priceSyncIntervalMs:
      read.integer('PRICE_SYNC_INTERVAL_S', { fallback: 3600, min: 1, max: 86_400 }) * 1000,
    unpricedModels: read.choice('UNPRICED_MODELS', ['reject', 'allow'], 'reject'),
    cheapestBy: read.choice('CHEAPEST_BY', ['total', 'output'], 'total'),
    unpricedHoldPicoUsd: read.usd('UNPRICED_HOLD_USD', '1.00'),
    holdUnknownPicoUsd: read.usd('HOLD_UNKNOWN_USD', '0.50'),
    holdDefaultOutputTokens: read.integer('HOLD_DEFAULT_OUTPUT_TOKENS', {
      fallback: 16_384,
      min: 256,
      max: 10_000_000,
    }),
    defaultSpendLimitPicoUsd: read.usd('DEFAULT_SPEND_LIMIT_USD', '100.00'),
    billing: {
      periodCloseDelayMs:
        read.integer('PERIOD_CLOSE_DELAY_S', { fallback: 3600, min: 0, max: 2_592_000 }) * 1000,
      invoiceMinimumPicoUsd: read.usd('INVOICE_MINIMUM_USD', '0.50'),
      paymentTermsDays: read.integer('PAYMENT_TERMS_DAYS', { fallback: 14, min: 0, max: 3650 }),
      issuer: {
        name: read.text('ISSUER_NAME'),
        address: read.text('ISSUER_ADDRESS'),
        taxId: read.text('ISSUER_TAX_ID'),
      },
    },
    requestMaxBytes: read.bytes('REQUEST_MAX_BYTES', '32MiB'),
    uploadMaxBytes: read.bytes('UPLOAD_MAX_BYTES', '256MiB'),
    bufferMaxBytes: read.bytes('BUFFER_MAX_BYTES', '512MiB'),
    responseHoldMaxBytes: read.bytes('RESPONSE_HOLD_MAX_BYTES', '1MiB'),
    admitWaitMaxMs: read.integer('ADMIT_WAIT_MAX_MS', { fallback: 2000, min: 1, max: 600_000 }),
    settleWaitMaxMs: read.integer('SETTLE_WAIT_MAX_MS', { fallback: 30_000, min: 1, max: 600_000 }),
    inFlightMax: read.integer('IN_FLIGHT_MAX', { fallback: 4000, min: 1, max: 1_000_000 }),
    maxAttempts: read.integer('MAX_ATTEMPTS', { fallback: 3, min: 1, max: 10 }),
    drainMaxMs: read.integer('DRAIN_MAX_MS', { fallback: 120_000, min: 1, max: 3_600_000 }),
    drainMaxConcurrent: read.integer('DRAIN_MAX_CONCURRENT', {
      fallback: 200,
      min: 0,
      max: 1_000_000,
    }),
    streamsPerTokenMax: read.integer('STREAMS_PER_TOKEN_MAX', {
      fallback: 2000,
      min: 1,
      max: 1_000_000,
    }),
    jobMaxAgeMs: read.integer('JOB_MAX_AGE_S', { fallback: 86_400, min: 1, max: 2_592_000 }) * 1000,
    shutdownDelayMs: read.integer('SHUTDOWN_DELAY_MS', { fallback: 0, min: 0, max: 600_000 }),
    shutdownGraceMs: read.integer('SHUTDOWN_GRACE_MS', {
      fallback: 25_000,
      min: 0,
      max: 3_600_000,
    }),
    trustProxy: read.list('TRUST_PROXY'),
    corsOrigins: read.origins('CORS_ORIGINS'),
    redisUrl: read.url('REDIS_URL', ['redis:', 'rediss:']),
    allowPrivateUpstreams: read.list('ALLOW_PRIVATE_UPSTREAMS').map((host) => host.toLowerCase()),
    mail: smtpUrl === null ? null : { smtpUrl, from: mailFrom ?? '' },
    metricsPort: read.optionalInteger('METRICS_PORT', { min: 0, max: 65535 }),
    logLevel: read.choice(
      'LOG_LEVEL',
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'info',
    ),
  };
  const problems = read.problems();
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config };
}

/** Only Hugging Face's router has models that the Hub knows by the same ids. */
function hubOf(baseUrl: string): string | null {
  const isHuggingFace = new URL(baseUrl).hostname === new URL(HUGGING_FACE_ROUTER).hostname;
  return isHuggingFace ? HUGGING_FACE_HUB : null;
}

export function httpUrl(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function isEncryptionKey(text: string): boolean {
  if (/^[0-9a-f]{64}$/i.test(text)) return true;
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(text);
}
