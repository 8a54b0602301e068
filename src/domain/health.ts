/** How one call to a provider went, as far as it says something about the provider. */
export type CallResult =
  | {
      readonly kind: 'ok';
      /** null: not measured. */
      readonly firstByteMs: number | null;
      /** null: not counted. */
      readonly outputTokens: number | null;
      /** From the call to the last byte. */
      readonly durationMs: number | null;
    }
  /** `retryAfterMs`: how long the provider asked to be left alone; null: it did not. */
  | { readonly kind: 'failed'; readonly retryAfterMs: number | null };

/** What is remembered of the calls to one provider, or of one model at it. Sums lose weight with time. */
export interface Vitals {
  /** To which instant the sums are decayed. */
  readonly atMs: number;
  readonly calls: number;
  readonly failures: number;
  readonly failuresInRow: number;
  /** Earliest instant that a failure of the present row asked us to wait for. */
  readonly notBeforeMs: number;
  /** The circuit is open until then; null: closed. */
  readonly openUntilMs: number | null;
  /** How often it opened without a success in between. */
  readonly openings: number;
  readonly timed: number;
  readonly firstByteMsSum: number;
  readonly counted: number;
  readonly tokensSum: number;
  readonly tokensMsSum: number;
}

export interface HealthRules {
  /** After this time what was seen counts half. */
  readonly halfLifeMs: number;
  readonly failuresInRow: number;
  /** Opens the circuit too, of at least so many calls. */
  readonly errorRate: number;
  readonly callsMin: number;
  /** Doubled at each opening, up to the maximum. */
  readonly coolDownMs: number;
  readonly coolDownMaxMs: number;
  /** A provider that asks for more is tried after this long nevertheless. */
  readonly retryAfterMaxMs: number;
  /** Answers that a measurement takes, decayed: an old one becomes none. */
  readonly measuredMin: number;
  /** An answer shorter than this says nothing about speed. */
  readonly tokensMin: number;
}

export const HEALTH_RULES: HealthRules = {
  halfLifeMs: 120_000,
  failuresInRow: 5,
  errorRate: 0.5,
  callsMin: 20,
  coolDownMs: 5_000,
  coolDownMaxMs: 300_000,
  retryAfterMaxMs: 3_600_000,
  measuredMin: 2,
  tokensMin: 16,
};

export const UNSEEN: Vitals = {
  atMs: 0,
  calls: 0,
  failures: 0,
  failuresInRow: 0,
  notBeforeMs: -Infinity,
  openUntilMs: null,
  openings: 0,
  timed: 0,
  firstByteMsSum: 0,
  counted: 0,
  tokensSum: 0,
  tokensMsSum: 0,
};

/** `half_open`: its time is over, and the next call decides. */
export type Circuit = 'closed' | 'open' | 'half_open';

export function circuitOf({ openUntilMs }: Vitals, atMs: number): Circuit {
  if (openUntilMs === null) return 'closed';
  return atMs < openUntilMs ? 'open' : 'half_open';
}

/** Vitals in the making: of each call one object is made, and none in between. */
type Draft = { -readonly [Field in keyof Vitals]: Vitals[Field] };

/** The vitals after one more call. Time that seems to run backwards stands still. */
export function noted(
  vitals: Vitals,
  result: CallResult,
  atMs: number,
  rules: HealthRules = HEALTH_RULES,
): Vitals {
  const draft = decayed(vitals, atMs, rules);
  draft.calls += 1;
  if (result.kind === 'ok') noteSuccess(draft, result, atMs, rules);
  else noteFailure(draft, result.retryAfterMs, atMs, rules);
  return draft;
}

/**
 * The vitals of a provider after a call for one of its models. A model that fails again and again
 * has a circuit of its own: for the provider it counts once until another one fails too.
 */
export interface ProviderVitals {
  readonly vitals: Vitals;
  readonly failedModel: string | null;
}

export const UNSEEN_PROVIDER: ProviderVitals = { vitals: UNSEEN, failedModel: null };

export function notedAtProvider(
  { vitals, failedModel }: ProviderVitals,
  model: string | null,
  result: CallResult,
  atMs: number,
  rules: HealthRules = HEALTH_RULES,
): ProviderVitals {
  if (result.kind === 'ok') return { vitals: noted(vitals, result, atMs, rules), failedModel };
  const isSameAgain = model !== null && model === failedModel && vitals.openUntilMs === null;
  if (isSameAgain) return { vitals, failedModel };
  return { vitals: noted(vitals, result, atMs, rules), failedModel: model };
}

/** A look at an open circuit's upstream found nobody: it stays open for another cool-down. */
export function heldOpen(vitals: Vitals, atMs: number, rules: HealthRules = HEALTH_RULES): Vitals {
  if (vitals.openUntilMs === null) return vitals;
  const openings = vitals.openings + 1;
  return {
    ...vitals,
    openings,
    openUntilMs: Math.max(vitals.openUntilMs, atMs + coolDownOf(openings, rules)),
  };
}

export interface Measured {
  /** null: not measured, or too long ago. */
  readonly firstByteMs: number | null;
  /** Output tokens per second. */
  readonly throughput: number | null;
}

export const NOT_MEASURED: Measured = { firstByteMs: null, throughput: null };

export function measuredOf(
  vitals: Vitals,
  atMs: number,
  rules: HealthRules = HEALTH_RULES,
): Measured {
  const weight = weightAfter(atMs - vitals.atMs, rules);
  const { timed, firstByteMsSum, counted, tokensSum, tokensMsSum } = vitals;
  return {
    firstByteMs: timed * weight >= rules.measuredMin ? firstByteMsSum / timed : null,
    throughput: counted * weight >= rules.measuredMin ? (tokensSum * 1000) / tokensMsSum : null,
  };
}

/** Of what was seen so long ago. */
function weightAfter(passedMs: number, rules: HealthRules): number {
  return passedMs > 0 ? 0.5 ** (passedMs / rules.halfLifeMs) : 1;
}

function decayed(vitals: Vitals, atMs: number, rules: HealthRules): Draft {
  const weight = weightAfter(atMs - vitals.atMs, rules);
  return {
    ...vitals,
    atMs: Math.max(atMs, vitals.atMs),
    calls: vitals.calls * weight,
    failures: vitals.failures * weight,
    timed: vitals.timed * weight,
    firstByteMsSum: vitals.firstByteMsSum * weight,
    counted: vitals.counted * weight,
    tokensSum: vitals.tokensSum * weight,
    tokensMsSum: vitals.tokensMsSum * weight,
  };
}

/**
 * A success closes a half-open circuit and forgives what opened it. While it is open it is a call
 * that had begun before, or one that had no other way to go: the provider's time is kept.
 */
function noteSuccess(
  draft: Draft,
  result: Extract<CallResult, { kind: 'ok' }>,
  atMs: number,
  rules: HealthRules,
): void {
  noteMeasurement(draft, result, rules);
  const circuit = circuitOf(draft, atMs);
  if (circuit === 'open') return;
  if (circuit === 'half_open') {
    draft.calls = 1;
    draft.failures = 0;
  }
  draft.failuresInRow = 0;
  draft.openUntilMs = null;
  draft.openings = 0;
  draft.notBeforeMs = -Infinity;
}

function noteFailure(
  draft: Draft,
  retryAfterMs: number | null,
  atMs: number,
  rules: HealthRules,
): void {
  draft.failures += 1;
  draft.failuresInRow += 1;
  if (retryAfterMs !== null) {
    const waitMs = Math.min(Math.max(0, retryAfterMs), rules.retryAfterMaxMs);
    draft.notBeforeMs = Math.max(draft.notBeforeMs, atMs + waitMs);
  }
  switch (circuitOf(draft, atMs)) {
    case 'open':
      // It had begun before and says nothing new, but the provider may ask for more time.
      draft.openUntilMs = Math.max(draft.openUntilMs ?? atMs, draft.notBeforeMs);
      return;
    case 'half_open':
      open(draft, atMs, rules);
      return;
    case 'closed': {
      const isRateHigh =
        draft.calls >= rules.callsMin && draft.failures >= draft.calls * rules.errorRate;
      if (draft.failuresInRow >= rules.failuresInRow || isRateHigh) open(draft, atMs, rules);
    }
  }
}

function open(draft: Draft, atMs: number, rules: HealthRules): void {
  // What opened it must not open it once more when it is closed again.
  draft.calls = 0;
  draft.failures = 0;
  draft.openings += 1;
  draft.openUntilMs = Math.max(atMs + coolDownOf(draft.openings, rules), draft.notBeforeMs);
}

function coolDownOf(openings: number, rules: HealthRules): number {
  return Math.min(rules.coolDownMs * 2 ** Math.min(openings - 1, 30), rules.coolDownMaxMs);
}

function noteMeasurement(
  draft: Draft,
  { firstByteMs, outputTokens, durationMs }: Extract<CallResult, { kind: 'ok' }>,
  rules: HealthRules,
): void {
  if (firstByteMs !== null && firstByteMs >= 0) {
    draft.timed += 1;
    draft.firstByteMsSum += firstByteMs;
  }
  if (outputTokens === null || outputTokens < rules.tokensMin || durationMs === null) return;
  const tokensMs = generationMs(firstByteMs, durationMs);
  if (tokensMs <= 0) return;
  draft.counted += 1;
  draft.tokensSum += outputTokens;
  draft.tokensMsSum += tokensMs;
}

/** A stream's tokens come after its first byte; an answer that comes whole was written before it. */
function generationMs(firstByteMs: number | null, durationMs: number): number {
  const isStream = firstByteMs !== null && firstByteMs <= durationMs / 2;
  return isStream ? durationMs - firstByteMs : durationMs;
}
