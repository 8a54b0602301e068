import { rateAnswer } from '../../src/domain/rating.js';
import { rowsInForce } from '../../src/domain/pricing.js';
import type { HoldRequest } from '../../src/domain/admission.js';
import {
  refOf,
  type AdmissionRequest,
  type AdmissionResult,
  type Ending,
  type Receipt,
} from '../../src/metering/journal.js';
import type { Context } from './context.js';
import type { Dice } from './dice.js';
import type { ModelEnding, ModelEvent, ModelHold, ModelReceipt } from './model.js';
import type { ModelAccount } from './model-account.js';
import { monthOf } from './months.js';
import { HOUR_MS, MODELS, PROVIDERS, text, USD, type Run } from './run.js';
import type { Process } from './world.js';

/** Requests as the proxy hands them to the journal, and the same for the model. */
export interface Asked {
  readonly account: ModelAccount;
  readonly memberId: string | null;
  readonly tokenId: string;
  readonly model: string;
  readonly hold: ModelHold;
  readonly real: AdmissionRequest;
}

export function ask(
  context: Context,
  account: ModelAccount,
  process: Process,
  claim: { readonly tokenId: string; readonly key: string; readonly body: string } | null = null,
  holdOf?: (room: bigint) => ModelHold,
): Asked {
  const { dice, run } = context;
  const token = account.tokens.find(({ id }) => id === claim?.tokenId) ?? dice.pick(account.tokens);
  const idempotency = claim ?? (dice.chance(15) ? { key: context.key(), body: 'one' } : null);
  const { memberId } = token;
  const month = monthOf(process.now().getTime());
  const finite = run.model
    .availableTo(account, memberId, token.id, month)
    .filter((available) => available !== null);
  const least = finite.reduce<bigint | null>(
    (found, available) => (found === null || available < found ? available : found),
    null,
  );
  const room = least === null ? dice.amount(3n * USD) : least > 0n ? least : 0n;
  const model = dice.pick(MODELS);
  const hold =
    holdOf?.(room) ?? (dice.chance(50) ? fixedHold(dice, room) : tokenHold(run, dice, model, room));
  const real: AdmissionRequest = {
    id: dice.uuid(),
    createdAt: process.now(),
    accountId: account.id,
    memberId,
    tokenId: token.id,
    upstream: run.upstream,
    model,
    task: 'chat',
    isStream: dice.chance(50),
    tags: null,
    sessionId: null,
    clientRequestId: null,
    hold: realHold(hold),
    idempotency:
      idempotency === null
        ? null
        : { key: idempotency.key, bodyMac: Buffer.from(idempotency.body) },
  };
  return { account, memberId, tokenId: token.id, model, hold, real };
}

function fixedHold(dice: Dice, room: bigint): ModelHold {
  const fixed = dice.weighted<bigint>([
    [dice.amount(room), 4],
    [room / 8n, 6],
    [room, 1],
    [room + 1n, 1],
    [dice.amount(2n * room), 2],
    [0n, 1],
  ]);
  return { lines: [{ fixed, outputs: 0n, pico: 0n, per: 1n }], tokens: null };
}

/** A curve of one or two routes, with a maximum of the caller's or of ours. */
function tokenHold(run: Run, dice: Dice, model: string, room: bigint): ModelHold {
  const lines = Array.from({ length: dice.between(1, 2) }, () => {
    const price = run.model.priceOf(dice.pick(PROVIDERS), model, 'output', run.nowMs);
    return {
      fixed: dice.amount(room / 4n),
      outputs: BigInt(dice.between(1, 2)),
      pico: price?.pico ?? 1n,
      per: price?.per ?? 1n,
    };
  });
  const isOurs = dice.chance(60);
  const max = dice.weighted([
    [16_384, 3],
    [dice.between(1, 4_000), 3],
    [dice.between(1, 400_000), 3],
  ]);
  return { lines, tokens: { max, isOurs, min: Math.min(256, max) } };
}

function realHold({ lines, tokens }: ModelHold): HoldRequest {
  if (tokens === null) return { kind: 'fixed', holdPicoUsd: lines[0]?.fixed ?? 0n };
  return {
    kind: 'tokens',
    curve: {
      lines: lines.map(({ fixed, outputs, pico, per }) => ({
        fixedPicoUsd: fixed,
        outputPrice: { picoUsd: pico, perUnits: per },
        outputs,
      })),
    },
    maxOutputTokens: tokens.max,
    isMaxOurs: tokens.isOurs,
    minimumOutputTokens: tokens.min,
  };
}

/** Compares an answer with what the model expects, and opens the event in both. */
export function admitted(
  context: Context,
  process: Process,
  asked: Asked,
  result: AdmissionResult,
  ofBatch?: string,
): ModelEvent | null {
  const { run, findings } = context;
  const { account, memberId, tokenId, hold } = asked;
  const atMs = process.now().getTime();
  const expected = run.model.admission(account, memberId, tokenId, hold, atMs);
  context.touch(account);
  const room = text(run.model.accountAvailable(account, monthOf(atMs)));
  const actual = result.kind === 'admitted' ? result.event : null;
  context.say(
    `${account.name} at ${process.name} with ${room} left: ${result.kind}${actual === null ? '' : `, holds ${text(actual.holdPicoUsd)}`}`,
  );
  findings.equal(
    ofBatch ??
      (result.kind === 'admitted'
        ? 'invariant 6: an admission leaves every budget at 0 or above'
        : 'invariant 6: what fits is admitted'),
    `what became of ${asked.real.id.slice(0, 8)}`,
    result.kind,
    expected.kind,
  );
  if (actual === null) return null;
  if (expected.kind === 'admitted') {
    findings.equal(
      ofBatch ?? 'invariant 6: an admission leaves every budget at 0 or above',
      'the hold',
      actual.holdPicoUsd,
      expected.hold,
    );
    findings.equal(
      'invariant 6: a maximum of ours is sent where a budget is finite',
      'the maximum written',
      actual.maxOutputTokensWritten,
      expected.written,
    );
  }
  return opened(context, process, asked, result);
}

/** Opens the event in the model as the store admitted it. */
export function opened(
  { run, findings }: Context,
  process: Process,
  { account, memberId, tokenId, model }: Asked,
  result: AdmissionResult,
): ModelEvent {
  if (result.kind !== 'admitted') throw new Error('simulation: nothing was admitted');
  const { event } = result;
  run.refs.set(event.request.id, refOf(event));
  run.ownerOf.set(event.request.id, process.ownerId);
  const { idempotency } = event.request;
  if (idempotency !== null) {
    const { key, bodyMac } = idempotency;
    const claim = { tokenId, key, body: bodyMac.toString(), eventId: event.request.id };
    run.claims.set(`${tokenId} ${key}`, claim);
  }
  const opened = run.model.open({
    id: event.request.id,
    account,
    memberId,
    tokenId,
    model,
    hold: event.holdPicoUsd,
    admittedMs: event.admittedAt.getTime(),
  });
  findings.equal(
    'invariant 17: a request belongs to the month it was admitted in',
    'the period',
    event.period,
    opened.month,
  );
  if (event.holdPicoUsd > 0n) {
    for (const available of run.model.availableTo(account, memberId, tokenId, opened.month)) {
      findings.ensure(
        'invariant 6: an admission leaves every budget at 0 or above',
        available === null || available >= 0n,
        `a budget of ${account.name} is at ${text(available)}`,
      );
    }
  }
  return opened;
}

/** An answer with its usage: for the journal as the proxy rates it, for the model as it says. */
export interface Answer {
  readonly real: Ending;
  readonly model: ModelEnding;
}

export interface AnswerWish {
  readonly provider?: string;
  readonly requestId?: string | null;
  /** What it should cost, as near as the prices allow. */
  readonly cost?: bigint;
  /** A unit that has no price, perhaps. */
  readonly unit?: string;
  /** To the pico. */
  readonly isExact?: boolean;
}

export function answer(context: Context, event: ModelEvent, wish: AnswerWish = {}): Answer {
  const { run, dice, findings } = context;
  const provider = wish.provider ?? dice.pick(PROVIDERS);
  const requestId =
    wish.requestId === undefined ? (dice.chance(95) ? context.key() : null) : wish.requestId;
  const cost = wish.cost ?? costNear(run, dice, event);
  const quantities = quantitiesFor(run, dice, event, provider, cost, wish.isExact ?? false);
  if (wish.unit !== undefined) quantities[wish.unit] = BigInt(dice.between(1, 5_000_000));
  const rated = run.model.cost(provider, event.model, quantities, event.admittedMs);
  const rows = rowsInForce(
    run.rows.filter((row) => row.provider === provider),
    { model: event.model, condition: null, at: new Date(event.admittedMs) },
  );
  const rating = rateAnswer({
    usage: {
      kind: 'reported',
      quantities: quantities,
      reasoningTokens: null,
      hasDecreased: false,
      statedCostUsd: null,
      serviceTier: null,
    },
    hasContent: true,
    contentBytes: 0,
    inputTextBytes: 0,
    holdPicoUsd: event.hold,
    rows,
  });
  const state = rated === null ? 'unpriced' : 'settled';
  findings.equal(
    'invariant 12: a cost is its quantities x its rows',
    'the rating',
    rating.state,
    state,
  );
  const ratedCost = rating.state === 'settled' ? rating.costPicoUsd : null;
  findings.equal('invariant 12: a cost is its quantities x its rows', 'the cost', ratedCost, rated);
  if (requestId !== null) run.seenRequests.push({ provider, id: requestId });
  return {
    real: {
      ...ENDED,
      state,
      servedAt: new Date(run.nowMs),
      provider,
      providerRequestId: requestId,
      quantities: quantities,
      ratedCostPicoUsd: ratedCost,
      priceRowIds: rating.state === 'settled' ? rating.priceRowIds : [],
      isPriceAssumed: rating.state === 'settled' && rating.isPriceAssumed,
    },
    model: { state, provider, providerRequestId: requestId, quantities, rated },
  };
}

export const ENDED: Ending = {
  state: 'settled',
  outcome: 'complete',
  servedAt: null,
  provider: null,
  providerModelId: null,
  providerRequestId: null,
  status: 200,
  quantities: null,
  reasoningTokens: null,
  usageSource: 'provider',
  isPriceAssumed: false,
  ratedCostPicoUsd: null,
  priceRowIds: [],
  providerReportedPicoUsd: null,
  firstByteMs: 5,
  durationMs: 90,
  attempts: [],
  rawUsage: null,
  givesKeyBack: false,
};

/** Below, at and above the hold, and at the very edge of what the account can still pay. */
function costNear(run: Run, dice: Dice, { account, hold, month }: ModelEvent): bigint {
  const beyond = run.model.accountAvailable(account, month) ?? dice.amount(3n * USD);
  return dice.weighted<bigint>([
    [dice.amount(hold), 8],
    [(hold * BigInt(dice.between(1, 100))) / 100n, 8],
    [hold, 3],
    [hold + 1n, 1],
    [2n * hold, 1],
    [hold + (beyond > 0n ? beyond : 0n), 1],
    [hold + (beyond > 0n ? beyond : 0n) + 1n, 1],
    [0n, 1],
  ]);
}

/** Tokens for a part of the cost, some compute time, and characters at a pico each for the rest. */
function quantitiesFor(
  run: Run,
  dice: Dice,
  { model, admittedMs }: ModelEvent,
  provider: string,
  cost: bigint,
  isExact: boolean,
): Record<string, bigint> {
  const quantities: Record<string, bigint> = {};
  let left = cost;
  for (const unit of ['input', 'output', 'cached_input', 'compute_ms']) {
    const isTotal = unit === 'input' || unit === 'output';
    if (!isTotal && !dice.chance(30)) continue;
    const row = run.model.priceOf(provider, model, unit, admittedMs);
    const most = row === null || row.pico === 0n ? 0n : (left * row.per) / row.pico;
    const quantity = dice.chance(60) ? dice.amount(most) : most / 2n;
    quantities[unit] = quantity;
    if (row !== null) left -= (quantity * row.pico) / row.per;
  }
  if (left > 0n && (dice.chance(85) || isExact)) quantities['character'] = left;
  return quantities;
}

/** Compares a receipt with what the model says of the same ending. */
export function compareReceipt(
  { findings }: Context,
  event: ModelEvent,
  actual: Receipt,
  expected: ModelReceipt,
  ofBatch?: string,
): void {
  const what = `request ${event.id.slice(0, 8)} of ${event.account.name}`;
  findings.equal(
    ofBatch ?? 'invariant 5: a hold ends once',
    `what became of ${what}`,
    actual.kind,
    expected.kind,
  );
  if (actual.kind !== 'settled' || expected.kind !== 'settled') return;
  findings.equal(
    ofBatch ?? 'invariant 8: charges are what the rules say',
    `the charge of ${what}`,
    actual.costPicoUsd,
    expected.cost,
  );
  findings.equal(
    ofBatch ?? 'invariant 8: charges are what the rules say',
    `what we bear of ${what}`,
    actual.absorbedPicoUsd,
    expected.absorbed,
  );
}

/** Settles one event through a journal, and says so. */
export async function settleOne(
  context: Context,
  process: Process,
  event: ModelEvent,
  { real, model }: Answer,
): Promise<void> {
  const receipt = await process.journal.settle(refFor(context.run, event), real).receipt;
  const held = event.held;
  const expected = context.run.model.settle(event, model, false);
  context.touch(event.account);
  context.say(
    `${describe(event)} at ${process.name}, cost ${text(model.rated)} of a hold of ${text(held)}: ${described(receipt)}`,
  );
  compareReceipt(context, event, receipt, expected);
}

export function refFor(run: Run, event: ModelEvent): ReturnType<typeof refOf> {
  const ref = run.refs.get(event.id);
  if (ref === undefined) throw new Error(`simulation: ${event.id} was never admitted`);
  return ref;
}

export function describe(event: ModelEvent): string {
  return `${event.account.name}'s ${event.id.slice(0, 8)} of ${event.month}`;
}

export function described(receipt: Receipt): string {
  return receipt.kind === 'settled'
    ? `charged ${text(receipt.costPicoUsd)}, ours ${text(receipt.absorbedPicoUsd)}${receipt.isLate ? ', late' : ''}`
    : receipt.kind;
}

/** A request under way; of a month, if one is named. */
export function pickOpen({ run, dice }: Context, month?: string): ModelEvent | null {
  return dice.pickOrNull(
    [...run.model.events.values()].filter(
      (event) => event.state === 'open' && (month === undefined || event.month === month),
    ),
  );
}

/** A stream may run on, but not for longer than a day and some. */
export function isOld(run: Run, event: ModelEvent): boolean {
  return run.nowMs - event.admittedMs > 30 * HOUR_MS;
}
