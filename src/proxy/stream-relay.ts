import { formatUsd } from '../domain/money.js';
import { refusal, type Refusal } from '../domain/errors.js';
import type { MediaReport } from '../domain/media-rating.js';
import type { EventOutcome, Journal } from '../metering/journal.js';
import { BoundedDecoder } from './bounded-decoder.js';
import type { Call, Relayed, RoutedRequest, Served } from './call.js';
import { AnswerReader, type AnswerReading, type EventKind } from './dialects/answer-reader.js';
import { meterFor, type AnswerMeter } from './media/answer-meter.js';
import { insertCostIntoEvent } from './dialects/cost-insert.js';
import { contiguousRuns, SseSplitter, type SseEvent } from './dialects/sse-splitter.js';
import { conditionOfCall, outputTokensRead, rateCall } from './ending.js';
import { errorEvent } from './error-answer.js';
import { settleCall, STREAM_NOT_RECORDED } from './settlement.js';
import type { AnswerSink, UpstreamExchange, UpstreamFailure } from './upstream-exchange.js';

/** Held back of a compressed stream without an end marker: the trailer of a gzip. */
const COMPRESSED_TAIL_BYTES = 8;
/** Chunks that may wait for the decoder before the upstream is paused. */
const DECODING_MAX_CHUNKS = 16;
/** Comments that may wait for the first event, which decides whether this answer is passed on. */
const COMMENTS_MAX_BYTES = 16 * 1024;
/** After the end marker an upstream has this long to end its body, to keep its connection. */
const AFTER_END_MS = 2000;
/** Ends an event whose own blank line the upstream left out. */
const BLANK_LINE = Buffer.from('\n\n');

export interface StreamOptions {
  readonly journal: Journal;
  readonly settleWaitMaxMs: number;
  /** We asked for the usage event and the caller did not: it is removed. */
  readonly removesUsageEvent: boolean;
  /** Content encoding, where the upstream compressed although we asked it not to. */
  readonly encoding: string | null;
  /** Another route is left: an error as the first event goes there. */
  readonly canFailOver: boolean;
  /** Writes the head of the answer; called once, before the first byte. */
  readonly sendHead: () => void;
}

/**
 * Relays a stream event by event, reads its usage in passing, and holds back only what carries the
 * end marker until the settlement is stored.
 */
export class StreamRelay implements AnswerSink {
  private readonly splitter = new SseSplitter();
  private readonly reader: AnswerReader;
  /** Of an answer that is not made of text alone. */
  private readonly meter: AnswerMeter | null;
  private readonly decoder: BoundedDecoder | null;
  private held: Buffer[] = [];
  private tail: Buffer = Buffer.alloc(0);
  /** What came before the first event while another provider may still answer. */
  private comments: Buffer[] = [];
  private commentsBytes = 0;
  private hasSeenEnd = false;
  private hasSentHead = false;
  private isEnded = false;
  private isSettling = false;
  private isCutShort = false;
  private readonly decoding: Buffer[] = [];
  private isClientBehind = false;
  /** Once the answer is over. */
  relayed: Relayed = { outcome: 'aborted', outputTokens: null };
  private resolve: (result: 'done' | 'failed_over') => void = () => undefined;
  private afterEnd: NodeJS.Timeout | null = null;

  constructor(
    private readonly call: Call,
    private readonly routed: RoutedRequest,
    private readonly served: Served,
    private readonly exchange: UpstreamExchange,
    private readonly options: StreamOptions,
  ) {
    const { endpoint } = routed;
    this.reader = new AnswerReader(endpoint.family);
    this.meter = endpoint.isMeteredInTokens ? null : meterFor(endpoint.task, served);
    this.decoder =
      options.encoding === null
        ? null
        : new BoundedDecoder(options.encoding, (chunk) => {
            this.meter?.push(chunk);
            for (const event of this.splitter.push(chunk)) {
              if (this.reader.readEvent(event) === 'end') this.hasSeenEnd = true;
            }
          });
  }

  /** What was read so far. */
  get firstError(): string | null {
    return this.reader.reading().firstError?.message ?? null;
  }

  run(): Promise<'done' | 'failed_over'> {
    return new Promise((resolve) => {
      this.resolve = resolve;
      if (!this.options.canFailOver) this.sendHead();
      this.exchange.pipe(this);
    });
  }

  data(chunk: Buffer): boolean {
    if (this.isEnded) return true;
    if (this.decoder !== null) return this.relayCompressed(chunk, this.decoder);
    this.meter?.push(chunk);
    const passing: SseEvent[] = [];
    let isFlowing = true;
    for (const event of this.splitter.push(chunk)) {
      const kind = this.reader.readEvent(event);
      if (!this.hasSentHead && event.hasData) {
        if (kind === 'error') {
          this.failOver();
          return true;
        }
        this.sendHead();
      }
      if (!this.hasSentHead && this.keepsComment(event)) continue;
      if (this.hasSeenEnd || kind === 'end') {
        this.hasSeenEnd = true;
        this.held.push(this.withCost(event, kind) ?? Buffer.from(event.raw));
      } else if (kind === 'usage_only' && this.options.removesUsageEvent) {
        continue;
      } else {
        const replaced = this.withCost(event, kind);
        if (replaced === null) passing.push(event);
        else {
          isFlowing = this.pass(passing.splice(0)) && isFlowing;
          isFlowing = this.call.write(replaced, this.drained) && isFlowing;
        }
      }
    }
    isFlowing = this.pass(passing) && isFlowing;
    if (this.hasSeenEnd) this.settle(this.outcome('complete'));
    return isFlowing;
  }

  end(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    if (this.afterEnd !== null) clearTimeout(this.afterEnd);
    if (!this.hasSentHead) this.sendHead();
    if (this.decoder === null) {
      const rest = this.splitter.end();
      this.meter?.push(BLANK_LINE);
      if (rest !== null) {
        const kind = this.reader.readEvent(rest);
        if (kind !== 'usage_only' || !this.options.removesUsageEvent)
          this.held.push(Buffer.from(rest.raw));
      }
      this.settle(this.outcome('complete'));
    } else {
      void this.decoder.finish().then(() => {
        const rest = this.splitter.end();
        if (rest !== null) this.reader.readEvent(rest);
        this.meter?.push(BLANK_LINE);
        this.held.push(this.tail);
        this.settle(this.outcome('complete'));
      });
    }
  }

  fail(failure: UpstreamFailure): void {
    if (this.isEnded) return;
    this.isEnded = true;
    if (this.afterEnd !== null) clearTimeout(this.afterEnd);
    // The end marker had come: whatever happened to the connection after it changes nothing.
    if (this.isSettling) return;
    if (
      !this.hasSentHead &&
      this.options.canFailOver &&
      !this.call.isClientGone &&
      !this.call.isCut
    ) {
      this.resolve('failed_over');
      return;
    }
    if (!this.hasSentHead) this.sendHead();
    // A partial event is dropped: half of one is worse than none.
    this.held = [this.errorEvent(brokenRefusal(failure))];
    const outcome = this.outcome('upstream_error');
    if (this.decoder === null) this.settle(outcome);
    else {
      // Nothing of ours can be said inside a compressed stream: it is cut.
      this.isCutShort = true;
      void this.decoder.finish().then(() => {
        this.settle(outcome);
      });
    }
  }

  private errorEvent(refused: Refusal): Buffer {
    return errorEvent(refused, this.routed.endpoint.errorForm, this.call.id);
  }

  private outcome(otherwise: EventOutcome): EventOutcome {
    if (this.call.isCut) return 'aborted';
    if (this.call.isClientGone) return 'client_gone';
    return this.reader.reading().firstError === null ? otherwise : 'upstream_error';
  }

  /** What has passed says so much about what was used. */
  private readSoFar(): { readonly reading: AnswerReading; readonly report: MediaReport | null } {
    const reading = this.reader.reading();
    if (this.meter === null) return { reading, report: null };
    const { report, reading: metered } = this.meter.end();
    return { reading: { ...metered, firstError: reading.firstError }, report };
  }

  private sendHead(): void {
    if (this.hasSentHead) return;
    this.hasSentHead = true;
    this.options.sendHead();
    for (const bytes of this.comments.splice(0)) this.call.write(bytes, this.drained);
  }

  /** A comment commits to nothing: it waits. Too many of them, or what nobody can read, do not. */
  private keepsComment(event: SseEvent): boolean {
    this.commentsBytes += event.sizeBytes;
    if (event.isUnread || this.commentsBytes > COMMENTS_MAX_BYTES) {
      this.sendHead();
      return false;
    }
    this.comments.push(Buffer.from(event.raw));
    return true;
  }

  private failOver(): void {
    this.isEnded = true;
    this.exchange.abort();
    this.resolve('failed_over');
  }

  private pass(events: readonly SseEvent[]): boolean {
    if (events.length === 0) return true;
    this.call.firstByteAtMs ??= performance.now();
    let isFlowing = true;
    for (const bytes of contiguousRuns(events))
      isFlowing = this.call.write(bytes, this.drained) && isFlowing;
    return isFlowing;
  }

  private readonly drained = (): void => {
    this.isClientBehind = false;
    this.exchange.resume();
  };

  /** The final usage event with the cost in it, when the caller wants to see it; else null. */
  private withCost(event: SseEvent, kind: EventKind): Buffer | null {
    // The end marker of a Responses stream carries the usage itself.
    const isFinal =
      kind === 'usage_only' || kind === 'end' || (kind === 'usage' && this.reader.hasFinished);
    if (!this.routed.marks.includesCost || !isFinal) return null;
    const { reading, report } = this.readSoFar();
    const rating = rateCall(this.call, this.routed, this.served, reading, report);
    if (rating.state !== 'settled') return null;
    return insertCostIntoEvent(event, {
      costUsd: formatUsd(rating.costPicoUsd),
      detailsJson: JSON.stringify({ provider: this.served.provider, currency: 'USD' }),
    });
  }

  /** A chunk passes once it was decoded and has no end marker in it. */
  private relayCompressed(chunk: Buffer, decoder: BoundedDecoder): boolean {
    this.sendHead();
    this.decoding.push(chunk);
    decoder.push(chunk, () => {
      // In the order of arrival, also where a decoder that gave up calls back in another.
      const first = this.decoding.shift();
      if (first !== undefined) this.passDecoded(first);
      if (!this.isClientBehind) this.exchange.resume();
    });
    return !this.isClientBehind && this.decoding.length < DECODING_MAX_CHUNKS;
  }

  private passDecoded(chunk: Buffer): void {
    const joined = this.tail.length === 0 ? chunk : Buffer.concat([this.tail, chunk]);
    const cut = this.hasSeenEnd ? 0 : Math.max(0, joined.length - COMPRESSED_TAIL_BYTES);
    this.tail = joined.subarray(cut);
    if (cut === 0) return;
    this.call.firstByteAtMs ??= performance.now();
    if (!this.call.write(joined.subarray(0, cut), this.drained)) this.isClientBehind = true;
  }

  /** Once: the settlement is stored, then the held end goes out. */
  private settle(outcome: EventOutcome): void {
    if (this.isSettling) return;
    this.isSettling = true;
    if (!this.isEnded)
      this.afterEnd = setTimeout(() => {
        this.exchange.abort();
      }, AFTER_END_MS);
    void this.settleAndEnd(outcome);
  }

  private async settleAndEnd(outcome: EventOutcome): Promise<void> {
    const { call, options } = this;
    const { reading, report } = this.readSoFar();
    const rating = rateCall(call, this.routed, this.served, reading, report);
    this.relayed = { outcome, outputTokens: outputTokensRead(reading) };
    const settled = await settleCall(
      options.journal,
      call,
      {
        served: this.served,
        reading,
        rating,
        outcome,
        condition: conditionOfCall(this.routed, reading),
      },
      options.settleWaitMaxMs,
    );
    if (!call.isClientGone) {
      // The content had passed: it is charged. Without the end marker the client knows it is cut.
      const isLate = settled.kind === 'timed_out';
      if (this.isCutShort || (isLate && this.decoder !== null)) call.response.destroy();
      else {
        for (const bytes of isLate ? [this.errorEvent(STREAM_NOT_RECORDED)] : this.held)
          call.response.write(bytes);
        call.response.end();
      }
    }
    this.resolve('done');
  }
}

function brokenRefusal(failure: UpstreamFailure): Refusal {
  return failure === 'idle_timeout' || failure === 'headers_timeout'
    ? refusal('upstream_timeout', 'The provider stopped sending in the middle of the answer.')
    : refusal('upstream_error', 'The provider broke off in the middle of the answer.');
}
