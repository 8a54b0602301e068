import { uuidv7 } from 'uuidv7';
import type { Clock } from '../config/clock.js';
import { LANE_CONNECTIONS } from '../database/database.service.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import { isClosedIn } from '../domain/budget-rows.js';
import {
  decideBatch,
  subjectsOf,
  type AdmissionDecision,
  type EndedEvent,
  type Settlement,
} from './batch-decision.js';
import type {
  Batch,
  BatchWrites,
  EventStates,
  JournalRepository,
  LockedState,
} from './journal.repository.js';
import { StaleBatchError } from './journal.repository.js';
import {
  Journal,
  type AdmissionRequest,
  type AdmissionResult,
  type Ending,
  type OpenEventRef,
  type Receipt,
  type SettlementTicket,
  upstreamOf,
} from './journal.js';

/** At most this many of each kind in one batch: four round trips whatever their number. */
export const BATCH_MAX = 512;
/** A request whose budget rows are locked by others waits this long for a common batch. */
const COMMON_WAIT_MAX_MS = 100;
/** How soon a batch with nothing but locked rows is tried again. */
const LOCKED_RETRY_MS = 5;
const BACKOFF_MIN_MS = 20;
const BACKOFF_MAX_MS = 1000;
/** Payers whose rows are waited for at the same time, each in a transaction of its own. */
const LANES_MAX = LANE_CONNECTIONS;

/** What the journal tells the metrics; every call is cheap. */
export interface JournalObserver {
  batch(size: number, durationMs: number): void;
  /** Budgets from which a commit has taken. */
  spent(subjectIds: readonly string[]): void;
  retry(reason: string): void;
  anomaly(
    kind: 'late' | 'overrun' | 'quarantined' | 'poisoned_admission' | 'duplicate_settlement',
  ): void;
  failure(message: string, error: unknown): void;
}

interface PendingAdmission {
  readonly request: AdmissionRequest;
  readonly resolve: (result: AdmissionResult) => void;
  readonly timer: NodeJS.Timeout;
  queuedAtMs: number;
  /** Answered `unavailable` already: if it commits after all, it is released. */
  isAbandoned: boolean;
}

interface PendingSettlement {
  settlement: Settlement;
  readonly resolve: (receipt: Receipt) => void;
  queuedAtMs: number;
}

interface Work {
  readonly settlements: readonly PendingSettlement[];
  readonly admissions: readonly PendingAdmission[];
}

/** What one attempt decided; kept while the outcome of its COMMIT is unknown. */
interface Attempted {
  readonly writes: BatchWrites;
  readonly results: ReadonlyMap<PendingAdmission, AdmissionResult>;
  readonly receipts: ReadonlyMap<PendingSettlement, Receipt>;
  /** Left for a later batch because a row they need was locked. */
  readonly deferred: Work;
}

export interface GroupCommitOptions {
  readonly ownerId: string;
  readonly admitWaitMaxMs: number;
}

/**
 * The journal over PostgreSQL. Admissions and settlements of all requests in flight share one
 * writer: while a transaction runs, the next batch gathers.
 */
export class GroupCommitJournal extends Journal {
  private readonly settlements: PendingSettlement[] = [];
  private readonly admissions: PendingAdmission[] = [];
  /** Payers that are waited for apart, with the work that came for them meanwhile. */
  private readonly lanes = new Map<
    string,
    { settlements: PendingSettlement[]; admissions: PendingAdmission[] }
  >();
  private isRunning = false;
  private isScheduled = false;
  private idleWaiters: (() => void)[] = [];

  constructor(
    private readonly repository: JournalRepository,
    private readonly options: GroupCommitOptions,
    private readonly clock: Clock,
    private readonly observer: JournalObserver,
  ) {
    super();
  }

  /** Requests that wait for a commit now. */
  get queued(): number {
    return this.settlements.length + this.admissions.length;
  }

  override admit(request: AdmissionRequest): Promise<AdmissionResult> {
    return new Promise((resolve) => {
      const pending: PendingAdmission = {
        request,
        resolve,
        queuedAtMs: performance.now(),
        isAbandoned: false,
        timer: setTimeout(() => {
          pending.isAbandoned = true;
          resolve({ kind: 'unavailable' });
        }, this.options.admitWaitMaxMs),
      };
      this.enqueueAdmission(pending);
    });
  }

  override settle(event: OpenEventRef, ending: Ending): SettlementTicket {
    return this.end(event, ending, 'open');
  }

  override settleWaiting(
    event: OpenEventRef,
    ending: Ending,
    from: 'unpriced' | 'quarantined',
    isAbsorbed = false,
  ): Promise<Receipt> {
    return this.end(event, ending, from, isAbsorbed).receipt;
  }

  override async idle(): Promise<void> {
    if (!this.isRunning && this.queued === 0 && this.lanes.size === 0) return;
    await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
  }

  private end(
    event: OpenEventRef,
    ending: Ending,
    from: Settlement['from'],
    isWithheld = false,
  ): SettlementTicket {
    let resolve: (receipt: Receipt) => void = () => undefined;
    const receipt = new Promise<Receipt>((settled) => (resolve = settled));
    const pending: PendingSettlement = {
      settlement: { event, ending, from, isWithheld, chargedBeforePicoUsd: 0n },
      resolve,
      queuedAtMs: performance.now(),
    };
    this.enqueueSettlement(pending);
    return {
      receipt,
      withhold: () => {
        pending.settlement = { ...pending.settlement, isWithheld: true };
        // A commit under way may have charged it before it saw the mark: then that is taken back.
        void receipt.then((done) => {
          if (done.kind === 'settled' && done.costPicoUsd > 0n)
            this.takeBack(event, ending, done.costPicoUsd);
          // Its cost is not known yet: when it is, it is ours.
          if (done.kind === 'unpriced') this.end(event, ending, 'unpriced', true);
        });
      },
    };
  }

  private takeBack(event: OpenEventRef, ending: Ending, chargedBeforePicoUsd: bigint): void {
    this.enqueueSettlement({
      settlement: { event, ending, from: 'settled', isWithheld: true, chargedBeforePicoUsd },
      resolve: () => undefined,
      queuedAtMs: performance.now(),
    });
  }

  private enqueueAdmission(pending: PendingAdmission): void {
    const lane = this.lanes.get(pending.request.accountId);
    if (lane !== undefined) lane.admissions.push(pending);
    else {
      this.admissions.push(pending);
      this.schedule();
    }
  }

  private enqueueSettlement(pending: PendingSettlement): void {
    const lane = this.lanes.get(pending.settlement.event.accountId);
    if (lane !== undefined) lane.settlements.push(pending);
    else {
      this.settlements.push(pending);
      this.schedule();
    }
  }

  /** The next batch starts after the current turn of the event loop, so that it gathers. */
  private schedule(): void {
    if (this.isRunning || this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      void this.run();
    });
  }

  private async run(): Promise<void> {
    if (this.isRunning) return;
    this.isRunning = true;
    while (this.queued > 0) {
      const work = this.take();
      if (work.settlements.length + work.admissions.length === 0) continue;
      const deferred = await this.process(work, false);
      const left = deferred.settlements.length + deferred.admissions.length;
      if (left > 0) {
        this.requeue(deferred);
        if (this.queued === left) await pause(LOCKED_RETRY_MS);
      }
      // What the commit let go on, and what came in meanwhile, makes the next batch larger.
      await nextTurn();
    }
    this.isRunning = false;
    this.announceIdle();
  }

  private take(): Work {
    const settlements = this.settlements.splice(0, BATCH_MAX);
    const admissions = this.admissions
      .splice(0, BATCH_MAX)
      .filter(({ isAbandoned }) => !isAbandoned);
    return { settlements, admissions };
  }

  /** Work whose rows were locked: to the front of the queues, or into a lane when it waited long. */
  private requeue({ settlements, admissions }: Work): void {
    const now = performance.now();
    const isStuck = ({ queuedAtMs }: { queuedAtMs: number }): boolean =>
      now - queuedAtMs > COMMON_WAIT_MAX_MS;
    for (const pending of [...settlements].reverse()) this.settlements.unshift(pending);
    for (const pending of [...admissions].reverse()) this.admissions.unshift(pending);
    const stuck = [
      ...settlements.filter(isStuck).map(({ settlement }) => settlement.event.accountId),
      ...admissions.filter(isStuck).map(({ request }) => request.accountId),
    ];
    for (const accountId of new Set(stuck)) {
      if (this.lanes.size < LANES_MAX) void this.runLane(accountId);
    }
  }

  /** Waits for the rows of one payer in transactions of its own until its work is done. */
  private async runLane(accountId: string): Promise<void> {
    const lane = { settlements: [] as PendingSettlement[], admissions: [] as PendingAdmission[] };
    this.lanes.set(accountId, lane);
    moveMatching(
      this.settlements,
      lane.settlements,
      ({ settlement }) => settlement.event.accountId === accountId,
    );
    moveMatching(
      this.admissions,
      lane.admissions,
      ({ request }) => request.accountId === accountId,
    );
    while (lane.settlements.length + lane.admissions.length > 0) {
      const work = {
        settlements: lane.settlements.splice(0, BATCH_MAX),
        admissions: lane.admissions.splice(0, BATCH_MAX).filter(({ isAbandoned }) => !isAbandoned),
      };
      if (work.settlements.length + work.admissions.length === 0) continue;
      const deferred = await this.process(work, true);
      lane.settlements.unshift(...deferred.settlements);
      lane.admissions.unshift(...deferred.admissions);
    }
    this.lanes.delete(accountId);
    this.schedule();
    this.announceIdle();
  }

  private announceIdle(): void {
    if (this.isRunning || this.queued > 0 || this.lanes.size > 0) return;
    const waiters = this.idleWaiters;
    this.idleWaiters = [];
    for (const wake of waiters) wake();
  }

  /**
   * Brings one piece of work to its end, through lost connections and poisoned rows. Returns what
   * was left out because its rows were locked.
   */
  private async process(work: Work, isBlocking: boolean): Promise<Work> {
    let batchId = uuidv7();
    let isCareful = false;
    // Kept while the outcome of its COMMIT is unknown.
    const last: { attempted: Attempted | null } = { attempted: null };
    let current = work;
    for (let backoffMs = BACKOFF_MIN_MS; ;) {
      const startedAt = performance.now();
      try {
        await this.repository.commit(
          this.batchOf(batchId, current),
          this.clock.now(),
          { isBlocking, isCareful },
          (locked, states) => {
            const decided = this.decide(current, locked, states);
            last.attempted = decided;
            return hasWrites(decided.writes) ? decided.writes : null;
          },
        );
        this.observer.batch(
          current.settlements.length + current.admissions.length,
          performance.now() - startedAt,
        );
        return this.finish(last.attempted ?? nothingOf(current));
      } catch (error) {
        const failure = classifySqlFailure(error);
        // An event that ended elsewhere shows as a stale batch, or as a hold released twice.
        if (!isCareful && (error instanceof StaleBatchError || failure.kind === 'other')) {
          isCareful = true;
          continue;
        }
        if (
          failure.kind === 'unique' &&
          failure.constraint === 'journal_batches_pkey' &&
          last.attempted !== null
        ) {
          // The answer to an earlier COMMIT was lost; the commit was not.
          return this.finish(last.attempted);
        }
        if (
          failure.kind === 'connection' ||
          failure.kind === 'transient' ||
          error instanceof StaleBatchError
        ) {
          this.observer.retry(failure.kind === 'transient' ? failure.sqlState : failure.kind);
          if (failure.kind !== 'connection') {
            // Rolled back for certain: nothing of it stands, so it may gather anew.
            last.attempted = null;
            batchId = uuidv7();
          }
          await pause(backoffMs);
          backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
          if (last.attempted === null) current = withoutAbandoned(current);
          if (current.settlements.length + current.admissions.length === 0) return current;
          continue;
        }
        return this.isolate(
          current,
          isBlocking,
          failure.kind === 'other' ? failure.message : failure.kind,
          error,
        );
      }
    }
  }

  /** A row of the batch is at fault: halves until it is alone, so that the others do not notice. */
  private async isolate(
    work: Work,
    isBlocking: boolean,
    problem: string,
    error: unknown,
  ): Promise<Work> {
    const size = work.settlements.length + work.admissions.length;
    if (size > 1) {
      const [first, second] = halvesOf(work);
      const deferredFirst = await this.process(first, isBlocking);
      const deferredSecond = await this.process(second, isBlocking);
      return {
        settlements: [...deferredFirst.settlements, ...deferredSecond.settlements],
        admissions: [...deferredFirst.admissions, ...deferredSecond.admissions],
      };
    }
    this.observer.failure(`the journal cannot write a row: ${problem}`, error);
    const [admission] = work.admissions;
    if (admission !== undefined) {
      this.observer.anomaly('poisoned_admission');
      answer(admission, { kind: 'failed', problem });
      return NOTHING;
    }
    const [settlement] = work.settlements;
    if (settlement === undefined) return NOTHING;
    if (settlement.settlement.ending.state === 'quarantined') {
      // Not even the bare record goes in: it stays owed, and out of the others' way.
      setTimeout(() => {
        this.enqueueSettlement(settlement);
      }, BACKOFF_MAX_MS);
      return NOTHING;
    }
    settlement.settlement = quarantined(settlement.settlement, problem);
    return this.process(work, isBlocking);
  }

  private batchOf(id: string, { settlements, admissions }: Work): Batch {
    return {
      id,
      ownerId: this.options.ownerId,
      settlements: settlements.map(({ settlement }) => settlement),
      admissions: admissions.map(({ request }) => request),
    };
  }

  /** Sorts out what cannot be decided now, and lets the pure rule decide the rest. */
  private decide(work: Work, locked: LockedState, states: EventStates | null): Attempted {
    const isFree = (subjects: readonly string[]): boolean =>
      subjects.every((id) => locked.budgets.has(id));
    const receipts = new Map<PendingSettlement, Receipt>();
    const results = new Map<PendingAdmission, AdmissionResult>();
    const deferred = {
      settlements: [] as PendingSettlement[],
      admissions: [] as PendingAdmission[],
    };
    const settling: PendingSettlement[] = [];
    const admitting: PendingAdmission[] = [];
    const seenCharges = new Map<string, string>();
    const seenEvents = new Set<string>();
    for (const pending of work.settlements) {
      const { event } = pending.settlement;
      // A second ending of one event is judged by the state that the first leaves behind.
      if (!isFree(subjectsOf(event)) || seenEvents.has(event.id))
        deferred.settlements.push(pending);
      else if (isTooLate(pending.settlement, locked))
        receipts.set(pending, { kind: 'period_closed' });
      else if (this.isStillDue(pending, states, seenCharges)) {
        seenEvents.add(event.id);
        settling.push(pending);
      } else receipts.set(pending, { kind: 'already_ended' });
    }
    const seenKeys = new Map<string, AdmissionRequest>();
    for (const pending of work.admissions) {
      if (!isFree(subjectsOf(pending.request))) deferred.admissions.push(pending);
      else {
        const replay = replayOf(pending.request, locked, seenKeys);
        if (replay === null) admitting.push(pending);
        else results.set(pending, replay);
      }
    }
    const at = this.clock.now();
    const decision = decideBatch(
      settling.map(({ settlement }) => settlement),
      admitting.map(({ request }) => request),
      locked.budgets,
      { at, newId: uuidv7 },
    );
    settling.forEach((pending, index) => {
      const ended = decision.ended[index];
      if (ended !== undefined) receipts.set(pending, receiptOf(ended));
    });
    const opened = admitting.flatMap((pending, index) => {
      const admission = decision.admissions[index];
      if (admission === undefined) return [];
      results.set(pending, resultOf(pending.request, admission, at, decision.period));
      if (admission.kind !== 'admitted') return [];
      const { holdPicoUsd } = admission;
      return [
        {
          request: pending.request,
          ownerId: this.options.ownerId,
          admittedAt: at,
          period: decision.period,
          holdPicoUsd,
        },
      ];
    });
    const ended = decision.ended.map((one) => ({ ...one, settledAt: at }));
    return { writes: { decision, opened, ended }, results, receipts, deferred };
  }

  /**
   * After a stale batch the states are known: an event that was swept is settled late, a provider
   * request that was charged before is quarantined, and what ended otherwise is left as it is.
   */
  private isStillDue(
    pending: PendingSettlement,
    states: EventStates | null,
    seen: Map<string, string>,
  ): boolean {
    const { event, ending, from } = pending.settlement;
    const charge = chargeKeyOf(event, ending);
    const isCharged = ending.state === 'settled' && ending.isExternal !== true;
    if (charge !== null && isCharged && from !== 'settled') {
      const chargedTo = states?.chargedTo.get(charge) ?? seen.get(charge);
      if (chargedTo !== undefined && chargedTo !== event.id) {
        pending.settlement = quarantined(
          pending.settlement,
          `provider request already charged to ${chargedTo}`,
        );
      } else seen.set(charge, event.id);
    }
    if (states === null) return true;
    if (from === 'open' && !states.openIds.has(event.id)) {
      if (states.endedStates.get(event.id) !== 'released' || ending.state === 'released')
        return false;
      pending.settlement = { ...pending.settlement, from: 'released' };
      return true;
    }
    return from === 'open' || states.endedStates.get(event.id) === from;
  }

  private finish({ writes, results, receipts, deferred }: Attempted): Work {
    if (writes.ended.length > 0) {
      this.observer.spent(writes.decision.budgets.map(({ subjectId }) => subjectId));
    }
    for (const [pending, result] of results) {
      if (pending.isAbandoned && result.kind === 'admitted') this.releaseAbandoned(result);
      answer(pending, result);
    }
    for (const [pending, receipt] of receipts) {
      this.observeReceipt(pending.settlement, receipt);
      pending.resolve(receipt);
    }
    return deferred;
  }

  private observeReceipt(settlement: Settlement, receipt: Receipt): void {
    if (receipt.kind === 'already_ended') this.observer.anomaly('duplicate_settlement');
    if (receipt.kind === 'period_closed' && settlement.from === 'settled') {
      const problem = `event ${settlement.event.id} was charged although its answer was withheld, and its period is closed: correct it by hand`;
      this.observer.failure(problem, null);
    }
    if (receipt.kind === 'quarantined') this.observer.anomaly('quarantined');
    if (receipt.kind === 'settled' && receipt.isLate) this.observer.anomaly('late');
    if (receipt.kind === 'settled' && receipt.absorbedPicoUsd > 0n && !settlement.isWithheld)
      this.observer.anomaly('overrun');
  }

  private releaseAbandoned({ event }: Extract<AdmissionResult, { kind: 'admitted' }>): void {
    const { request, period, holdPicoUsd } = event;
    const ref = {
      ...request,
      period,
      holdPicoUsd,
      idempotencyKey: request.idempotency?.key ?? null,
    };
    this.settle(ref, RELEASED_UNSENT);
  }
}

/** The ending of an admitted request that was never forwarded, or whose process died. */
export const RELEASED_UNSENT: Ending = {
  state: 'released',
  outcome: 'aborted',
  servedAt: null,
  provider: null,
  providerModelId: null,
  providerRequestId: null,
  status: null,
  quantities: null,
  reasoningTokens: null,
  usageSource: 'none',
  isPriceAssumed: false,
  ratedCostPicoUsd: null,
  priceRowIds: [],
  providerReportedPicoUsd: null,
  firstByteMs: null,
  durationMs: null,
  attempts: [],
  rawUsage: null,
  givesKeyBack: true,
};

const NOTHING: Work = { settlements: [], admissions: [] };

function answer(pending: PendingAdmission, result: AdmissionResult): void {
  clearTimeout(pending.timer);
  pending.resolve(result);
}

function receiptOf({ settlement, costPicoUsd, absorbedPicoUsd }: EndedEvent): Receipt {
  const { state } = settlement.ending;
  if (state !== 'settled') return { kind: state };
  return {
    kind: 'settled',
    costPicoUsd: costPicoUsd ?? 0n,
    absorbedPicoUsd: absorbedPicoUsd ?? 0n,
    isLate: settlement.from === 'released',
  };
}

function resultOf(
  request: AdmissionRequest,
  admission: AdmissionDecision,
  admittedAt: Date,
  period: string,
): AdmissionResult {
  if (admission.kind === 'period_closed') {
    return { kind: 'failed', problem: `the period ${period} is closed: the clock is behind` };
  }
  if (admission.kind !== 'admitted') return admission;
  const { holdPicoUsd, maxOutputTokensWritten } = admission;
  return {
    kind: 'admitted',
    event: { request, admittedAt, period, holdPicoUsd, maxOutputTokensWritten },
  };
}

function replayOf(
  request: AdmissionRequest,
  locked: LockedState,
  seen: Map<string, AdmissionRequest>,
): AdmissionResult | null {
  const claim = request.idempotency;
  if (claim === null) return null;
  const key = `${request.tokenId} ${claim.key}`;
  const earlier = seen.get(key);
  const taken =
    earlier === undefined
      ? locked.takenKeys.get(key)
      : {
          eventId: earlier.id,
          bodyMac: earlier.idempotency?.bodyMac ?? claim.bodyMac,
          isEnded: false,
        };
  if (taken === undefined) {
    seen.set(key, request);
    return null;
  }
  if (!taken.bodyMac.equals(claim.bodyMac))
    return { kind: 'replayed', of: taken.eventId, is: 'other_body' };
  return { kind: 'replayed', of: taken.eventId, is: taken.isEnded ? 'processed' : 'in_progress' };
}

/**
 * After the close of its period an event that waited for a price or a person is a late fact, which
 * a person decides on, and a charge is no longer taken back by itself.
 */
function isTooLate({ event, from }: Settlement, { budgets }: LockedState): boolean {
  if (from === 'open' || from === 'released') return false;
  const row = budgets.get(event.accountId);
  return row !== undefined && isClosedIn(row, event.period);
}

function chargeKeyOf(event: OpenEventRef, ending: Ending): string | null {
  const { provider, providerRequestId } = ending;
  return provider === null || providerRequestId === null
    ? null
    : `${upstreamOf(event, ending)} ${provider} ${providerRequestId}`;
}

/** The bare record of a settlement that cannot be written or charged, for a person to decide. */
function quarantined(settlement: Settlement, problem: string): Settlement {
  const { ending } = settlement;
  const raw = JSON.stringify(
    {
      problem,
      reported: ending.rawUsage,
      quantities: ending.quantities,
      ratedCostPicoUsd: ending.ratedCostPicoUsd,
      providerRequestId: ending.providerRequestId,
    },
    (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value),
  );
  return {
    ...settlement,
    ending: {
      ...ending,
      state: 'quarantined',
      quantities: null,
      reasoningTokens: null,
      ratedCostPicoUsd: null,
      providerReportedPicoUsd: null,
      priceRowIds: [],
      rawUsage: raw.replaceAll('\\u0000', '').slice(0, 4096),
    },
  };
}

function halvesOf({ settlements, admissions }: Work): [Work, Work] {
  // Kinds first: the two fail for different reasons.
  if (settlements.length > 0 && admissions.length > 0) {
    return [
      { settlements, admissions: [] },
      { settlements: [], admissions },
    ];
  }
  const cutSettlements = Math.ceil(settlements.length / 2);
  const cutAdmissions = Math.ceil(admissions.length / 2);
  return [
    {
      settlements: settlements.slice(0, cutSettlements),
      admissions: admissions.slice(0, cutAdmissions),
    },
    { settlements: settlements.slice(cutSettlements), admissions: admissions.slice(cutAdmissions) },
  ];
}

function withoutAbandoned({ settlements, admissions }: Work): Work {
  return { settlements, admissions: admissions.filter(({ isAbandoned }) => !isAbandoned) };
}

function nothingOf(work: Work): Attempted {
  throw new Error(
    `journal: a batch of ${work.settlements.length + work.admissions.length} was not decided`,
  );
}

function hasWrites({ opened, ended }: BatchWrites): boolean {
  return opened.length + ended.length > 0;
}

function moveMatching<T>(from: T[], to: T[], matches: (item: T) => boolean): void {
  const kept = from.filter((item) => !matches(item));
  to.push(...from.filter(matches));
  from.splice(0, from.length, ...kept);
}

/** After everything that has happened by now was seen to. */
function nextTurn(): Promise<void> {
  return new Promise((wake) => setImmediate(wake));
}

function pause(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
