import { least, type ModelAccount, type ModelGrant, type ModelMonth } from './model-account.js';
import { monthOf } from './months.js';

/**
 * What money must do, in the words of its contract: plain, slow, and sharing no rule with the code
 * that it judges.
 */
export interface ModelEvent {
  readonly id: string;
  readonly account: ModelAccount;
  readonly memberId: string | null;
  readonly tokenId: string;
  readonly admittedMs: number;
  readonly month: string;
  readonly model: string;
  /** What it was admitted with. */
  readonly hold: bigint;
  /** What of it still counts in the budgets. */
  held: bigint;
  state: 'open' | 'settled' | 'released' | 'unpriced' | 'quarantined';
  provider: string | null;
  providerRequestId: string | null;
  quantities: Quantities | null;
  isWithheld: boolean;
  cost: bigint;
  absorbed: bigint;
  /** The split booked with its settlement; null: it settled together with others. */
  credit: bigint | null;
  /** When it first ended. */
  endedMs: number | null;
  /** Decided after the close of its month: a line of a later invoice. */
  isLateDecision: boolean;
}

export type Quantities = Readonly<Record<string, bigint>>;

export interface ModelPrice {
  readonly id: bigint;
  readonly provider: string;
  readonly model: string;
  readonly unit: string;
  readonly pico: bigint;
  readonly per: bigint;
  readonly fromMs: number;
  toMs: number | null;
}

/** What a request would hold; a maximum of ours may be lowered to what fits. */
export interface ModelHold {
  readonly lines: readonly {
    readonly fixed: bigint;
    readonly outputs: bigint;
    readonly pico: bigint;
    readonly per: bigint;
  }[];
  /** null: nothing of it depends on output tokens. */
  readonly tokens: { readonly max: number; readonly isOurs: boolean; readonly min: number } | null;
}

export type ModelAdmission =
  | { readonly kind: 'admitted'; readonly hold: bigint; readonly written: number | null }
  | { readonly kind: 'refused' | 'token_closed' | 'failed' };

/** How an answer ends, as far as money is concerned. */
export interface ModelEnding {
  readonly state: 'settled' | 'released' | 'unpriced' | 'quarantined';
  readonly provider: string | null;
  readonly providerRequestId: string | null;
  readonly quantities: Quantities | null;
  readonly rated: bigint | null;
}

export type ModelReceipt =
  | { readonly kind: 'settled'; readonly cost: bigint; readonly absorbed: bigint }
  | { readonly kind: 'released' | 'unpriced' | 'quarantined' | 'already_ended' | 'period_closed' };

export class Model {
  readonly accounts = new Map<string, ModelAccount>();
  readonly events = new Map<string, ModelEvent>();
  readonly prices: ModelPrice[] = [];
  /** Event that each provider request was charged to. */
  readonly chargedTo = new Map<string, string>();

  constructor(private readonly clock: () => number) {}

  account(id: string): ModelAccount {
    const found = this.accounts.get(id);
    if (found === undefined) throw new Error(`model: there is no account ${id}`);
    return found;
  }

  eventsOf(account: ModelAccount): readonly ModelEvent[] {
    return [...this.events.values()].filter((event) => event.account === account);
  }

  /** Open holds of an account, a member or a token, of every month. */
  heldOf(subjectId: string): bigint {
    let held = 0n;
    for (const event of this.events.values()) if (isOf(event, subjectId)) held += event.held;
    return held;
  }

  /** Cost of a member or a token settled in a month. */
  usedOf(subjectId: string, month: string): bigint {
    let used = 0n;
    for (const event of this.events.values()) {
      if (isOf(event, subjectId) && event.month === month && !event.isLateDecision)
        used += event.cost;
    }
    return used;
  }

  /** Credit usable + pay-as-you-go left - open holds; null: no limit. */
  accountAvailable(account: ModelAccount, month: string): bigint | null {
    if (account.isUnlimited) return null;
    const left =
      account.isPayAsYouGo && account.limit !== null
        ? account.limit - account.month(month).requestsOwed
        : 0n;
    return account.usable(month) + (left > 0n ? left : 0n) - this.heldOf(account.id);
  }

  limitAvailable(subject: { id: string; limit: bigint | null }, month: string): bigint | null {
    if (subject.limit === null) return null;
    return subject.limit - this.usedOf(subject.id, month) - this.heldOf(subject.id);
  }

  /** What is available in each budget in scope; null: no limit. */
  availableTo(
    account: ModelAccount,
    memberId: string | null,
    tokenId: string,
    month: string,
  ): readonly (bigint | null)[] {
    const subjects = [...account.members, ...account.tokens].filter(
      ({ id }) => id === memberId || id === tokenId,
    );
    return [
      this.accountAvailable(account, month),
      ...subjects.map((subject) => this.limitAvailable(subject, month)),
    ];
  }

  /** What must become of a request; nothing is held yet. */
  admission(
    account: ModelAccount,
    memberId: string | null,
    tokenId: string,
    hold: ModelHold,
    atMs: number,
  ): ModelAdmission {
    const month = monthOf(atMs);
    if (account.tokens.some(({ id, isRevoked }) => id === tokenId && isRevoked)) {
      return { kind: 'token_closed' };
    }
    if (account.isClosed(month)) return { kind: 'failed' };
    const finite = this.availableTo(account, memberId, tokenId, month).filter(
      (available) => available !== null,
    );
    const fits = (amount: bigint): boolean =>
      amount === 0n || finite.every((available) => amount <= available);
    const { tokens } = hold;
    if (tokens === null) {
      const amount = holdWith(hold, 0);
      return fits(amount) ? { kind: 'admitted', hold: amount, written: null } : REFUSED;
    }
    const isWritten = tokens.isOurs && finite.length > 0;
    const whole = holdWith(hold, tokens.max);
    if (fits(whole)) {
      return { kind: 'admitted', hold: whole, written: isWritten ? tokens.max : null };
    }
    if (!tokens.isOurs || !fits(holdWith(hold, tokens.min))) return REFUSED;
    let low = tokens.min;
    let high = tokens.max;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (fits(holdWith(hold, middle))) low = middle;
      else high = middle;
    }
    return { kind: 'admitted', hold: holdWith(hold, low), written: low };
  }

  open(
    event: Pick<ModelEvent, 'id' | 'account' | 'memberId' | 'tokenId' | 'model' | 'hold'> & {
      readonly admittedMs: number;
    },
  ): ModelEvent {
    const opened: ModelEvent = {
      ...event,
      month: monthOf(event.admittedMs),
      held: event.hold,
      state: 'open',
      provider: null,
      providerRequestId: null,
      quantities: null,
      isWithheld: false,
      cost: 0n,
      absorbed: 0n,
      credit: null,
      endedMs: null,
      isLateDecision: false,
    };
    this.events.set(opened.id, opened);
    return opened;
  }

  /** Ends an event that is open, or was released because its process had died. */
  settle(event: ModelEvent, ending: ModelEnding, isWithheld: boolean): ModelReceipt {
    const isLate = event.state === 'released' && ending.state !== 'released';
    if (event.state !== 'open' && !isLate) return { kind: 'already_ended' };
    return this.end(event, ending, isWithheld);
  }

  /** Ends an event that waited for a price or a person. */
  settleWaiting(
    event: ModelEvent,
    ending: ModelEnding,
    from: 'unpriced' | 'quarantined',
    isAbsorbed: boolean,
  ): ModelReceipt {
    if (event.account.isClosed(event.month)) return { kind: 'period_closed' };
    if (event.state !== from) return { kind: 'already_ended' };
    return this.end(event, ending, isAbsorbed || event.isWithheld);
  }

  /** A charge that committed before the caller was told that he gets nothing. */
  takeBack(event: ModelEvent): void {
    const { account, month, cost } = event;
    if (event.state !== 'settled' || cost === 0n || account.isClosed(month)) return;
    const facts = account.month(month);
    const fromRequests = least(facts.requestsOwed, cost);
    const fromCorrections = least(facts.correctionsOwed, cost - fromRequests);
    facts.requestsOwed -= fromRequests;
    facts.correctionsOwed -= fromCorrections;
    const missing = account.giveBack(month, cost - fromRequests - fromCorrections);
    if (missing > 0n) throw new Error('model: more taken back than was charged');
    facts.cost -= cost;
    event.absorbed += cost;
    event.cost = 0n;
    event.credit = 0n;
    account.coverWhatIsOwed();
  }

  grant(account: ModelAccount, grant: ModelGrant): void {
    account.grants.push(grant);
    account.house[grant.kind === 'prepaid' ? 'cash' : 'promo_cost'] += grant.amount;
    account.coverWhatIsOwed();
  }

  /** What quantities cost by the rows in force at an instant; null: a unit has no price. */
  cost(provider: string, model: string, quantities: Quantities, atMs: number): bigint | null {
    let cost = 0n;
    for (const [unit, quantity] of Object.entries(quantities)) {
      if (quantity === 0n) continue;
      const row = this.priceOf(provider, model, unit, atMs);
      if (row === null) return null;
      cost += (quantity * row.pico) / row.per;
    }
    return cost;
  }

  priceOf(provider: string, model: string, unit: string, atMs: number): ModelPrice | null {
    const rows = this.prices.filter(
      (row) =>
        row.provider === provider &&
        row.model === model &&
        row.unit === unit &&
        row.fromMs <= atMs &&
        (row.toMs === null || atMs < row.toMs),
    );
    if (rows.length > 1) throw new Error('model: two prices in force');
    const [row] = rows;
    if (row !== undefined) return row;
    return unit === 'cached_input' ? this.priceOf(provider, model, 'input', atMs) : null;
  }

  private end(event: ModelEvent, ending: ModelEnding, isWithheld: boolean): ModelReceipt {
    const { account, month } = event;
    const wasHeld = event.held;
    event.endedMs ??= this.clock();
    event.provider = ending.provider;
    event.providerRequestId = ending.providerRequestId;
    event.quantities = ending.quantities;
    event.isWithheld = isWithheld;
    if (ending.state === 'unpriced') {
      event.state = 'unpriced';
      return { kind: 'unpriced' };
    }
    event.held = 0n;
    const charge = chargeKey(ending);
    const chargedTo = charge === null ? undefined : this.chargedTo.get(charge);
    if (ending.state !== 'settled' || (chargedTo !== undefined && chargedTo !== event.id)) {
      event.state = ending.state === 'released' ? 'released' : 'quarantined';
      this.forgetTaken(account, wasHeld);
      return { kind: event.state };
    }
    if (charge !== null) this.chargedTo.set(charge, event.id);
    const rated = ending.rated ?? 0n;
    event.state = 'settled';
    event.cost = this.payable(event, rated, wasHeld, isWithheld);
    event.absorbed = rated - event.cost;
    const facts = account.month(month);
    const owed = event.cost === 0n ? 0n : account.use(month, event.cost);
    facts.cost += event.cost;
    facts.requestsOwed += owed;
    this.shiftPastLimit(account, facts, owed);
    this.forgetTaken(account, wasHeld + event.cost);
    event.credit = event.cost - owed;
    return { kind: 'settled', cost: event.cost, absorbed: event.absorbed };
  }

  /** A correction takes nobody past a limit: what it took the credit for it owes itself. */
  private shiftPastLimit(account: ModelAccount, facts: ModelMonth, owed: bigint): void {
    if (!account.isPayAsYouGo || account.limit === null) return;
    const past = least(least(facts.requestsOwed - account.limit, owed), account.takenFromHolds);
    if (past <= 0n) return;
    facts.requestsOwed -= past;
    facts.correctionsOwed += past;
    account.takenFromHolds -= past;
  }

  /** Once nothing is held, nobody counts on credit any more. */
  forgetTaken(account: ModelAccount, ended: bigint): void {
    if (ended === 0n || account.isUnlimited || this.heldOf(account.id) > 0n) return;
    account.takenFromHolds = 0n;
  }

  /** The cost up to the hold, and beyond it what credit and pay-as-you-go cover beside other holds. */
  private payable(
    { account, month }: ModelEvent,
    rated: bigint,
    held: bigint,
    isWithheld: boolean,
  ): bigint {
    if (isWithheld || account.isClosed(month)) return 0n;
    if (rated <= held) return rated;
    const available = this.accountAvailable(account, month);
    if (available === null) return rated;
    // This event holds nothing any more: what it held is the part that it may spend.
    const beyond = available - held;
    return held + least(rated - held, beyond > 0n ? beyond : 0n);
  }
}

const REFUSED: ModelAdmission = { kind: 'refused' };

/** The dearest of the lines at so many output tokens, rounded up. */
export function holdWith({ lines }: ModelHold, outputTokens: number): bigint {
  let dearest = 0n;
  for (const { fixed, outputs, pico, per } of lines) {
    const product = outputs * BigInt(outputTokens) * pico;
    const amount = fixed + product / per + (product % per === 0n ? 0n : 1n);
    if (amount > dearest) dearest = amount;
  }
  return dearest;
}

export function chargeKey({
  provider,
  providerRequestId,
}: Pick<ModelEnding, 'provider' | 'providerRequestId'>): string | null {
  return provider === null || providerRequestId === null
    ? null
    : `${provider} ${providerRequestId}`;
}

function isOf(event: ModelEvent, subjectId: string): boolean {
  return (
    event.account.id === subjectId || event.memberId === subjectId || event.tokenId === subjectId
  );
}
