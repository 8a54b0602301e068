import { Findings, type Violation } from './checks.js';
import { checkInvoices, checkNumbers } from './invoices.js';
import type { ModelAccount } from './model-account.js';
import { feesOf } from './model-plans.js';
import type { Run } from './run.js';

/** What is looked at once a life is over: every request, every transfer, every invoice. */
interface EventFacts {
  readonly id: string;
  readonly account_id: string;
  readonly period: string;
  readonly admitted_month: string;
  readonly admitted_ms: string;
  readonly state: string;
  readonly upstream: string;
  readonly provider: string | null;
  readonly provider_request_id: string | null;
  readonly model: string;
  readonly cost: string | null;
  readonly credit: string | null;
  readonly payg: string | null;
  readonly rated: string | null;
  readonly absorbed: string | null;
  readonly units: Readonly<Record<string, string>> | null;
  readonly price_row_ids: readonly string[] | null;
  readonly transfer_ids: readonly string[] | null;
  readonly usage_source: string;
}

const READ_EVENTS = `
SELECT id::text, account_id::text, period, to_char(admitted_at AT TIME ZONE 'UTC', 'YYYY-MM') AS admitted_month,
  (extract(epoch FROM admitted_at) * 1000)::bigint::text AS admitted_ms, state, upstream, provider, provider_request_id, model,
  cost_pico_usd::text AS cost, credit_pico_usd::text AS credit, pay_as_you_go_pico_usd::text AS payg,
  rated_cost_pico_usd::text AS rated, absorbed_pico_usd::text AS absorbed, units, price_row_ids::text[] AS price_row_ids,
  transfer_ids::text[] AS transfer_ids, usage_source
FROM usage_events WHERE account_id = ANY($1)`;

const READ_TRANSFERS = `SELECT id::text, kind, account_id::text, amount_pico_usd::text AS amount, t::text AS whole FROM ledger_transfers t WHERE account_id = ANY($1)`;

interface TransferFacts {
  readonly id: string;
  readonly kind: string;
  readonly account_id: string;
  readonly amount: string;
  readonly whole: string;
}

export async function checkInTheEnd(run: Run): Promise<readonly Violation[]> {
  const ids = run.accounts.map(({ id }) => id);
  const events = await run.world.rows<EventFacts>(READ_EVENTS, [ids]);
  const transfers = await run.world.rows<TransferFacts>(READ_TRANSFERS, [ids]);
  const [open] = await run.world.rows<{ count: number }>(
    'SELECT count(*)::int FROM open_events WHERE account_id = ANY($1)',
    [ids],
  );
  const findings = new Findings('in the end');
  findings.equal('invariant 5: nothing is held in the end', 'requests under way', open!.count, 0);
  checkEvents(findings, run, events);
  checkCharges(findings, events);
  checkTransfersOfEvents(findings, events, transfers);
  for (const account of run.accounts) checkCarried(findings, account);
  return [
    ...findings.violations,
    ...(await checkInvoices(run, run.accounts)),
    ...(await checkTransfersKept(run, transfers)),
    ...(await checkNumbers(run)),
  ];
}

/** No transfer that was seen before is gone or another one now. */
export async function checkTransfersKept(
  run: Run,
  given?: readonly TransferFacts[],
): Promise<readonly Violation[]> {
  const ids = run.accounts.map(({ id }) => id);
  const transfers = given ?? (await run.world.rows<TransferFacts>(READ_TRANSFERS, [ids]));
  const findings = new Findings('the ledger');
  const now = new Map(transfers.map(({ id, whole }) => [id, whole]));
  for (const [id, whole] of run.transferTexts) {
    findings.equal(
      'invariant 2: no transfer changes or disappears',
      `transfer ${id}`,
      now.get(id),
      whole,
    );
  }
  for (const [id, whole] of now) run.transferTexts.set(id, whole);
  return findings.violations;
}

function checkEvents(findings: Findings, run: Run, events: readonly EventFacts[]): void {
  const found = new Map(events.map((event) => [event.id, event]));
  findings.equal(
    'invariant 20: no request is lost, none appears',
    'requests in the store',
    events.length,
    run.model.events.size,
  );
  for (const expected of run.model.events.values()) {
    const event = found.get(expected.id);
    const what = (text: string): string =>
      `${text} of ${expected.account.name}'s ${expected.id.slice(0, 8)}`;
    findings.equal(
      'invariant 5: a hold ends once',
      what('the state'),
      event?.state,
      expected.state,
    );
    if (event === undefined) continue;
    findings.equal(
      'invariant 17: a request belongs to the month it was admitted in',
      what('the period'),
      event.period,
      event.admitted_month,
    );
    if (event.state !== 'settled') {
      findings.equal(
        'invariant 18: only what is settled is a charge',
        what('the cost'),
        event.cost,
        null,
      );
      continue;
    }
    const check = 'invariant 8: charges are what the rules say';
    findings.equal(check, what('the cost'), event.cost, expected.cost.toString());
    findings.equal(check, what('what we bear'), event.absorbed, expected.absorbed.toString());
    findings.equal(
      'invariant 10: credit and pay-as-you-go are the cost',
      what('the sum of the parts'),
      BigInt(event.credit ?? '0') + BigInt(event.payg ?? '0'),
      expected.cost,
    );
    if (expected.credit !== null) {
      findings.equal(check, what('the credit booked'), event.credit, expected.credit.toString());
    }
    checkPrices(findings, run, event, what);
  }
}

/** Each unit names exactly one row in force at admission, and the rows tell the stored cost. */
function checkPrices(
  findings: Findings,
  run: Run,
  event: EventFacts,
  what: (text: string) => string,
): void {
  const ids = event.price_row_ids ?? [];
  if (ids.length === 0 || event.units === null) return;
  const rows = run.model.prices.filter(({ id }) => ids.includes(id.toString()));
  const check = 'invariant 12: a cost is its quantities x its rows';
  let cost = 0n;
  for (const [unit, quantity] of Object.entries(event.units)) {
    const own = rows.filter((row) => row.unit === unit);
    const serving =
      own.length > 0 || unit !== 'cached_input' ? own : rows.filter((row) => row.unit === 'input');
    if (quantity === '0' && serving.length === 0) continue;
    const inForce = serving.filter(
      ({ provider, model, fromMs, toMs }) =>
        provider === event.provider &&
        model === event.model &&
        fromMs <= Number(event.admitted_ms) &&
        (toMs === null || Number(event.admitted_ms) < toMs),
    );
    findings.equal(check, what(`rows in force for ${unit}`), inForce.length, 1);
    findings.equal(check, what(`rows named for ${unit}`), serving.length, 1);
    const [row] = inForce;
    if (row !== undefined) cost += (BigInt(quantity) * row.pico) / row.per;
  }
  findings.equal(check, what('the cost recomputed'), cost.toString(), event.rated);
}

/** Who was charged for which provider request. */
function checkCharges(findings: Findings, events: readonly EventFacts[]): void {
  const charged = new Map<string, string>();
  for (const { id, state, upstream, provider, provider_request_id: requestId } of events) {
    if (state !== 'settled' || provider === null || requestId === null) continue;
    const key = `${upstream} ${provider} ${requestId}`;
    findings.equal(
      'invariant 7: a provider request is charged once',
      `who else was charged for ${key}`,
      charged.get(key)?.slice(0, 8) ?? null,
      null,
    );
    charged.set(key, id);
  }
}

/** The transfers that requests name are those of settlements, and both sum to the same. */
function checkTransfersOfEvents(
  findings: Findings,
  events: readonly EventFacts[],
  transfers: readonly TransferFacts[],
): void {
  const check = 'invariant 1: requests sum to their transfers';
  const byId = new Map(transfers.map((transfer) => [transfer.id, transfer]));
  const named = new Set<string>();
  for (const event of events) {
    for (const id of event.transfer_ids ?? []) {
      named.add(id);
      findings.equal(
        check,
        `the account of a transfer that ${event.id.slice(0, 8)} names`,
        byId.get(id)?.account_id,
        event.account_id,
      );
    }
  }
  for (const { id, kind } of transfers) {
    if (!OF_REQUESTS.has(kind)) continue;
    findings.ensure(check, named.has(id), `no request names the ${kind} ${id}`);
  }
}

const OF_REQUESTS: ReadonlySet<string> = new Set(['settlement', 'absorbed', 'taken_back']);

/** Owed so far less billed so far is what the last close carried. */
function checkCarried(findings: Findings, account: ModelAccount): void {
  let owed = 0n;
  let billed = 0n;
  let carried = 0n;
  for (const facts of account.allMonths()) {
    if (!facts.isClosed) continue;
    const { month, cost, corrected, landed, voided, invoice } = facts;
    owed += cost + corrected + landed - account.creditUsed(month);
    for (const fee of feesOf(account.changes, month)) owed += fee;
    // What a void put back is billed again here; the invoice it was on is not billed any more.
    billed -= voided;
    billed += (invoice?.totalCents ?? 0n) * 10_000_000_000n;
    carried = facts.carried;
  }
  findings.equal(
    'invariant 14: what was owed less what was billed is carried',
    `what ${account.name} owes and was not billed`,
    owed - billed,
    carried,
  );
}
