import { formatUsd } from '../domain/money.js';
import type { MediaReport } from '../domain/media-rating.js';
import type { Rating } from '../domain/rating.js';
import type { EventOutcome, Journal } from '../metering/journal.js';
import { BoundedDecoder } from './bounded-decoder.js';
import type { BufferBudget } from './buffer-budget.js';
import type { Call, Relayed, RoutedRequest, Served } from './call.js';
import { AnswerReader, type AnswerReading } from './dialects/answer-reader.js';
import { insertCostIntoBody } from './dialects/cost-insert.js';
import { conditionOfCall, NOTHING_READ, outputTokensRead, rateCall } from './ending.js';
import { jsonMeterFor, meterFor, type AnswerMeter } from './media/answer-meter.js';
import { settleCall } from './settlement.js';
import type { AnswerSink, UpstreamExchange, UpstreamFailure } from './upstream-exchange.js';

/** Held back of a body too large to be held whole. */
const LARGE_TAIL_BYTES = 16 * 1024;
/** A body longer than this passes unread. */
const READ_MAX_BYTES = 8 * 1024 * 1024;

export interface PlainOptions {
  readonly journal: Journal;
  readonly settleWaitMaxMs: number;
  readonly holdMaxBytes: number;
  readonly budget: BufferBudget;
  readonly encoding: string | null;
  /** Before the settlement, which records the attempt. */
  readonly markFailed: (failure: UpstreamFailure) => void;
  /** Writes the head; `body` is the whole body when it is known, `costUsd` when it is settled. */
  readonly sendHead: (known: {
    readonly bodyBytes: number | null;
    readonly costUsd: string | null;
  }) => void;
}

export type PlainResult =
  | { readonly kind: 'done' }
  /** Nothing was sent: the caller of the relay answers in its own words. */
  | { readonly kind: 'broken'; readonly failure: UpstreamFailure }
  | { readonly kind: 'withheld' };

/**
 * Relays a plain answer: whole and only after its settlement up to `holdMaxBytes`; a larger one as
 * it comes, with its last 16 KiB held back.
 */
export class PlainRelay implements AnswerSink {
  private chunks: Buffer[] = [];
  private sizeBytes = 0;
  private countedBytes = 0;
  /** What waits to be sent, once the body is too large to be held whole. */
  private tail: Buffer[] = [];
  private isLarge = false;
  private isUnread = false;
  /** Reads in passing what is too long to be kept: the usage that it states at its end. */
  private passing: AnswerMeter | null = null;
  /** Of an answer that is not made of text alone. */
  private readonly meter: AnswerMeter | null;
  private readonly meterDecoder: BoundedDecoder | null;
  /** Once the answer is over. */
  relayed: Relayed = { outcome: 'aborted', outputTokens: null };
  private resolve: (result: PlainResult) => void = () => undefined;

  constructor(
    private readonly call: Call,
    private readonly routed: RoutedRequest,
    private readonly served: Served,
    private readonly exchange: UpstreamExchange,
    private readonly options: PlainOptions,
  ) {
    const { endpoint } = routed;
    const meter = endpoint.isMeteredInTokens ? null : meterFor(endpoint.task, served);
    this.meter = meter;
    this.meterDecoder =
      meter === null || options.encoding === null
        ? null
        : new BoundedDecoder(options.encoding, (chunk) => {
            meter.push(chunk);
          });
  }

  run(): Promise<PlainResult> {
    return new Promise((resolve) => {
      this.resolve = (result) => {
        this.forget();
        resolve(result);
      };
      this.exchange.pipe(this);
    });
  }

  data(chunk: Buffer): boolean {
    this.sizeBytes += chunk.length;
    this.call.firstByteAtMs ??= performance.now();
    if (this.meterDecoder === null) this.meter?.push(chunk);
    else this.meterDecoder.push(chunk, () => undefined);
    // What is read in passing need not be kept to be read at the end.
    const isWanted = !this.isUnread && !(this.isLarge && this.meter !== null);
    const isKept =
      isWanted && this.sizeBytes <= READ_MAX_BYTES && this.options.budget.take(chunk.length);
    if (isKept) {
      this.countedBytes += chunk.length;
      this.chunks.push(chunk);
    } else if (isWanted) this.readInPassing();
    this.passing?.push(chunk);
    if (this.isLarge) this.tail.push(chunk);
    else if (this.isUnread || this.sizeBytes > this.options.holdMaxBytes) {
      this.isLarge = true;
      this.options.sendHead({ bodyBytes: null, costUsd: null });
      this.tail = isKept ? [...this.chunks] : [...this.chunks, chunk];
      if (this.meter !== null) this.forget();
    }
    if (this.isUnread) this.forget();
    return this.isLarge ? this.relayAllButTail() : true;
  }

  private readInPassing(): void {
    this.isUnread = true;
    if (this.meter !== null || this.options.encoding !== null) return;
    const passing = jsonMeterFor(this.routed.endpoint, this.served);
    for (const chunk of this.chunks) passing.push(chunk);
    this.passing = passing;
  }

  end(): void {
    void this.settleAndEnd(null);
  }

  fail(failure: UpstreamFailure): void {
    void this.settleAndEnd(failure);
  }

  private forget(): void {
    this.chunks = [];
    this.options.budget.give(this.countedBytes);
    this.countedBytes = 0;
  }

  private relayAllButTail(): boolean {
    let isFlowing = true;
    let waiting = this.tail.reduce((sum, { length }) => sum + length, 0);
    for (;;) {
      const [first] = this.tail;
      if (first === undefined || waiting <= LARGE_TAIL_BYTES) return isFlowing;
      const passing = Math.min(first.length, waiting - LARGE_TAIL_BYTES);
      isFlowing =
        this.call.write(first.subarray(0, passing), () => {
          this.exchange.resume();
        }) && isFlowing;
      waiting -= passing;
      if (passing === first.length) this.tail.shift();
      else this.tail[0] = first.subarray(passing);
    }
  }

  private async settleAndEnd(broken: UpstreamFailure | null): Promise<void> {
    const { call, options, served } = this;
    const metered = await this.metered(broken);
    const isMalformed = broken === null && this.isNoAnswer(metered.reading);
    const failure = isMalformed ? 'malformed' : broken;
    if (failure !== null) options.markFailed(failure);
    const { reading, report } = isMalformed ? { reading: NOTHING_READ, report: null } : metered;
    const rating = rateCall(call, this.routed, served, reading, report);
    const outcome = this.outcome(failure, reading);
    this.relayed = { outcome, outputTokens: outputTokensRead(reading) };
    const settled = await settleCall(
      options.journal,
      call,
      { served, reading, rating, outcome, condition: conditionOfCall(this.routed, reading) },
      options.settleWaitMaxMs,
    );
    if (call.isClientGone) {
      // Nobody is told its cost or its content: as with any answer that was not delivered, the
      // provider's bill stands.
      this.resolve({ kind: 'done' });
    } else if (failure !== null) {
      if (this.isLarge) call.response.destroy();
      this.resolve(this.isLarge ? { kind: 'done' } : { kind: 'broken', failure });
    } else if (settled.kind === 'timed_out') {
      settled.withhold();
      if (this.isLarge) call.response.destroy();
      this.resolve(this.isLarge ? { kind: 'done' } : { kind: 'withheld' });
    } else {
      this.send(
        rating,
        settled.receipt.kind === 'settled' ? formatUsd(settled.receipt.costPicoUsd) : null,
      );
      this.resolve({ kind: 'done' });
    }
  }

  private send(rating: Rating, costUsd: string | null): void {
    const { response } = this.call;
    if (this.isLarge) {
      for (const chunk of this.tail) response.write(chunk);
      response.end();
      return;
    }
    const body = this.withCost(this.whole(), rating);
    this.options.sendHead({ bodyBytes: body.length, costUsd });
    response.end(body);
  }

  /** What was kept of the body; most come in one piece. */
  private whole(): Buffer {
    const [only, ...others] = this.chunks;
    return only !== undefined && others.length === 0 ? only : Buffer.concat(this.chunks);
  }

  private withCost(body: Buffer, rating: Rating): Buffer {
    const isWanted = this.routed.marks.includesCost && this.options.encoding === null;
    if (!isWanted || rating.state !== 'settled') return body;
    const changed = insertCostIntoBody(body, {
      costUsd: formatUsd(rating.costPicoUsd),
      detailsJson: JSON.stringify({ provider: this.served.provider, currency: 'USD' }),
    });
    return changed ?? body;
  }

  /**
   * A text's answer that is not one JSON value can be charged by nothing that it states, and read by
   * nobody: it is held back whole still.
   */
  private isNoAnswer({ hasEnd }: AnswerReading): boolean {
    const { endpoint } = this.routed;
    const isJsonDue = endpoint.isCharged && endpoint.isMeteredInTokens && this.served.status < 300;
    const isReadable = this.options.encoding === null && this.sizeBytes > 0;
    return isJsonDue && isReadable && !this.isLarge && !hasEnd;
  }

  private outcome(failure: UpstreamFailure | null, reading: AnswerReading): EventOutcome {
    if (this.call.isCut) return 'aborted';
    if (this.call.isClientGone) return 'client_gone';
    const isError = failure !== null || this.served.status >= 400 || reading.firstError !== null;
    return isError ? 'upstream_error' : 'complete';
  }

  private async metered(
    failure: UpstreamFailure | null,
  ): Promise<{ readonly reading: AnswerReading; readonly report: MediaReport | null }> {
    if (this.meter === null) return { reading: await this.read(failure), report: null };
    await this.meterDecoder?.finish();
    const { reading, report } = this.meter.end();
    // Half an answer that was not passed on is of use to nobody.
    const isLost = failure !== null && !this.isLarge;
    return isLost
      ? { reading: NOTHING_READ, report: { ...report, usage: NOTHING_READ.usage } }
      : { reading, report };
  }

  private async read(failure: UpstreamFailure | null): Promise<AnswerReading> {
    if (this.isUnread) {
      // Where it states no usage, what passed is all there is to estimate from.
      return {
        ...(this.passing?.end().reading ?? NOTHING_READ),
        hasContent: this.served.status < 400,
        contentBytes: this.sizeBytes,
      };
    }
    // Half a JSON document states no usage and is of no use to anybody.
    if (failure !== null || this.sizeBytes === 0) return NOTHING_READ;
    const body = await this.decoded(this.whole());
    if (body === null) return { ...NOTHING_READ, hasContent: this.served.status < 400 };
    const reader = new AnswerReader(this.routed.endpoint.family);
    reader.readBody(body);
    const reading = reader.reading();
    // Of an error nothing is of use; usage that it states all the same is charged as stated.
    return this.served.status < 400 ? reading : { ...reading, hasContent: false, contentBytes: 0 };
  }

  /** The body as text for reading; null when it cannot be decoded within bounds. */
  private async decoded(body: Buffer): Promise<Buffer | null> {
    if (this.options.encoding === null) return body;
    const parts: Buffer[] = [];
    const decoder = new BoundedDecoder(this.options.encoding, (chunk) => parts.push(chunk));
    decoder.push(body, () => undefined);
    await decoder.finish();
    return decoder.isIncomplete ? null : Buffer.concat(parts);
  }
}
