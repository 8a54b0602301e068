import { expect } from 'vitest';
import { DailyControlService } from '../../src/billing/daily-control.service.js';
import { Clock } from '../../src/config/clock.js';
import { parseUsd } from '../../src/domain/money.js';
import { Journal, refOf, type Ending, type Receipt } from '../../src/metering/journal.js';
import { ApiClient, type ApiAnswer } from '../support/api-client.js';
import { admittedOf, requestOf, settledAt } from '../support/journal.js';
import { startService, type TestService } from '../support/service.js';

/** An account as tests use it: its paths, and whom its requests belong to. */
export interface BillingAccount {
  readonly id: string;
  readonly slug: string;
  /** `/api/organizations/<slug>`. */
  readonly path: string;
  readonly tokenId: string;
  /** A token with `billing.read`, as a program of the account has it. */
  readonly reader: ApiClient;
}

export interface UsedRequest {
  readonly id: string;
  readonly receipt: Receipt;
}

/** The service with its books at hand, and a clock that tests set. */
export interface BillingUnderTest extends TestService {
  readonly api: ApiClient;
  readonly journal: Journal;
  /** Sets the clock; it then stands still. */
  setTime(at: string): void;
  addAccount(slug: string, plan?: 'free' | 'pro' | 'team'): Promise<BillingAccount>;
  /** A request that is admitted now and costs `MODEL`'s prices. */
  use(
    account: BillingAccount,
    tokens: { readonly input: bigint; readonly output: bigint },
    ending?: Partial<Ending>,
  ): Promise<UsedRequest>;
  /** Admits a request and leaves it open. */
  admit(account: BillingAccount, holdPicoUsd: bigint): Promise<ReturnType<typeof admittedOf>>;
  closePeriod(period: string): Promise<ApiAnswer>;
  /** The one invoice of an account's latest period. */
  latestInvoice(account: BillingAccount): Promise<InvoiceBody>;
  /** Everything that is kept twice agrees. */
  expectBooksAgree(): Promise<void>;
}

export interface InvoiceBody {
  readonly id: string;
  readonly number: string;
  readonly state: string;
  readonly period: string;
  readonly lines: readonly {
    readonly kind: string;
    readonly description: string;
    readonly requests?: number;
    readonly exactUsd: string;
    readonly displayUsd: string;
  }[];
  readonly totalUsd: string;
  readonly exactSumUsd: string;
  readonly carriedUsd: string;
  readonly paidUsd: string;
  readonly amountDueUsd: string;
  readonly hash: string;
  readonly [name: string]: unknown;
}

export const MODEL = 'org/model';
export const INPUT_PICO_USD = 900_000n;
export const OUTPUT_PICO_USD = 2_700_000n;

export const JANUARY = '2027-01-05T10:00:00.000Z';
export const FEBRUARY = '2027-02-02T00:00:01.000Z';
export const MARCH = '2027-03-02T00:00:01.000Z';

export function usd(text: unknown): bigint {
  const amount = typeof text === 'string' ? parseUsd(text) : null;
  if (amount === null) throw new Error(`not an amount: ${String(text)}`);
  return amount;
}

/** A POST with an `Idempotency-Key`. */
export function postOnce(
  api: ApiClient,
  path: string,
  key: string,
  body: unknown,
): Promise<ApiAnswer> {
  return api.send(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(body),
  });
}

/** Starts in January 2027. */
export async function startBilling(
  environment: Readonly<Record<string, string>> = {},
): Promise<BillingUnderTest> {
  const service = await startService({
    UPSTREAM_BASE_URL: 'http://127.0.0.1:9',
    LOG_LEVEL: 'silent',
    ...environment,
  });
  const clock = service.app.get(Clock, { strict: false });
  const journal = service.app.get(Journal, { strict: false });
  const control = service.app.get(DailyControlService, { strict: false });
  const api = new ApiClient(service.url);
  const setTime = (at: string): void => {
    clock.now = () => new Date(at);
  };
  setTime(JANUARY);
  const rows = await addPrices(api);
  const admit: BillingUnderTest['admit'] = async ({ id, tokenId }, holdPicoUsd) =>
    admittedOf(
      await journal.admit(
        requestOf({ accountId: id, tokenId }, holdPicoUsd, { createdAt: clock.now() }),
      ),
    );
  return {
    ...service,
    api,
    journal,
    setTime,
    admit,
    addAccount: async (slug, plan = 'pro') => {
      const { accountId, tokenId } = await api.addOrganization(slug, plan);
      const { secret } = await api.addToken(slug, { scopes: ['billing.read', 'usage.read'] });
      const path = `/api/organizations/${slug}`;
      return { id: accountId, slug, path, tokenId, reader: api.as(secret) };
    },
    use: async (account, { input, output }, ending = {}) => {
      const cost = input * INPUT_PICO_USD + output * OUTPUT_PICO_USD;
      const event = await admit(account, cost);
      const settled = settledAt(cost, {
        quantities: { input, output },
        priceRowIds: rows,
        servedAt: clock.now(),
        ...ending,
      });
      return { id: event.request.id, receipt: await journal.settle(refOf(event), settled).receipt };
    },
    closePeriod: (period) => api.post(`/api/periods/${period}/close`),
    latestInvoice: async (account) => {
      const { status, body } = await account.reader.get(`${account.path}/invoices`);
      expect(status).toBe(200);
      const [invoice] = body.data;
      if (invoice === undefined) throw new Error(`${account.slug} has no invoice`);
      return invoice as unknown as InvoiceBody;
    },
    expectBooksAgree: async () => {
      const { differences, differencePicoUsd } = await control.run(clock.now());
      expect(differences).toEqual([]);
      expect(differencePicoUsd).toBe(0n);
    },
  };
}

async function addPrices(api: ApiClient): Promise<readonly bigint[]> {
  const ids: bigint[] = [];
  for (const [unit, usdPerMillion] of [
    ['input', '0.90'],
    ['output', '2.70'],
  ]) {
    const { status, body, text } = await api.post('/api/prices', {
      provider: 'together',
      model: MODEL,
      unit,
      usdPerMillion,
    });
    if (status !== 201) throw new Error(`no price: ${status} ${text}`);
    ids.push(BigInt(body.id));
  }
  return ids;
}
