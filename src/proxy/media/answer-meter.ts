import type { IncomingHttpHeaders } from 'node:http';
import { MS_PER_SECOND } from '../../domain/media.js';
import {
  NO_TOKEN_DETAILS,
  type MediaReport,
  type TokenDetails,
} from '../../domain/media-rating.js';
import type { Task } from '../../domain/tasks.js';
import { AnswerReader, type AnswerReading } from '../dialects/answer-reader.js';
import type { AnswerFamily } from '../dialects/usage-fields.js';
import { SSE_EVENT_MAX_BYTES, SseSplitter, type SseEvent } from '../dialects/sse-splitter.js';
import { FigureBook, madeCount, noteFigures } from './answer-figures.js';
import { JsonProbe, type ProbedMember } from './json-probe.js';
import { LongEvent } from './long-event.js';

/** What one answer says about what was used. */
export interface MediaReading {
  /** For `rateMedia`. */
  readonly report: MediaReport;
  /** As of any answer: usage, model, error, tier. */
  readonly reading: AnswerReading;
}

/** Reads an answer while it passes, in flat memory; keeps nothing of its content. */
export interface AnswerMeter {
  /** The next bytes, decoded where they are encoded. */
  push(chunk: Buffer): void;
  /** What has passed says so much: when it is over, broken off, or about to end. Never throws. */
  end(): MediaReading;
}

export interface MeteredAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** Made by a provider where the request does not say: 1,024 pixels square. */
const ASSUMED_PIXELS: Readonly<Record<string, bigint>> = { together: 1024n * 1024n };

/** What an image of this provider has where nobody says so; null: unknown. */
export function assumedPixelsOf(provider: string | null): bigint | null {
  return provider !== null && Object.hasOwn(ASSUMED_PIXELS, provider)
    ? (ASSUMED_PIXELS[provider] ?? null)
    : null;
}

/** The meter for an answer to a task, by how the answer is written. */
export function meterFor(task: Task, answer: MeteredAnswer): AnswerMeter {
  const type = (answer.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (/^text\/event-stream\b/.test(type)) return new EventMeter(task, answer);
  if (type === '' || /^application\/(?:[\w.-]+\+)?json$/.test(type)) {
    return new JsonMeter(task, answer);
  }
  return new BytesMeter(answer, type);
}

/** An embedding or a ranking reports a lone total: it is the input. */
function familyOf(task: Task): AnswerFamily {
  return task === 'embedding' || task === 'inference' ? 'embeddings' : 'chat';
}

/** For a text's JSON that is too long to be kept, and so is read while it passes. */
export function jsonMeterFor(
  { task, family }: { readonly task: Task; readonly family: AnswerFamily },
  answer: MeteredAnswer,
): AnswerMeter {
  return new JsonMeter(task, answer, family);
}

/** What the headers say; nothing that an error says there is charged. */
function noteHeaders(book: FigureBook, { status, headers }: MeteredAnswer): string | null {
  if (status >= 400) return null;
  const computeTime = headers['x-compute-time'];
  if (computeTime !== undefined) {
    book.note('compute_ms', 'x-compute-time', String(computeTime), MS_PER_SECOND);
  }
  const billable = headers['x-fal-billable-units'];
  if (billable === undefined) return null;
  book.texts.push(`x-fal-billable-units: ${String(billable).slice(0, 64)}`);
  return String(billable);
}

function mediaReading(
  reading: AnswerReading,
  book: FigureBook,
  billableUnits: string | null,
  details: TokenDetails,
): MediaReading {
  const { quantities, problem, texts } = book;
  return {
    report: { usage: reading.usage, details, quantities, billableUnits, problem, texts },
    reading,
  };
}

/** JSON: its small members are read as a whole answer is, its large ones counted. */
class JsonMeter implements AnswerMeter {
  private readonly probe = new JsonProbe();
  private sizeBytes = 0;

  constructor(
    private readonly task: Task,
    private readonly answer: MeteredAnswer,
    private readonly family = familyOf(task),
  ) {}

  push(chunk: Buffer): void {
    this.sizeBytes += chunk.length;
    this.probe.push(chunk);
  }

  end(): MediaReading {
    const { probe, task, answer } = this;
    const book = new FigureBook();
    const billableUnits = noteHeaders(book, answer);
    const reader = new AnswerReader(this.family);
    // Half a document states no usage and is of no use to anybody.
    const members = probe.isComplete ? probe.members : [];
    reader.readBody(Buffer.from(probe.isComplete ? skeletonOf(members) : ''));
    const reading = reader.reading();
    const details = noteFigures(book, members, task);
    const hasContent = this.hasContent(reading);
    return mediaReading(
      {
        ...reading,
        hasContent,
        contentBytes: hasContent ? reading.contentBytes : 0,
        hasEnd: probe.isComplete,
        unreadableEvents: probe.isComplete || this.sizeBytes === 0 ? 0 : 1,
      },
      book,
      billableUnits,
      details,
    );
  }

  private hasContent(reading: AnswerReading): boolean {
    const { probe, answer } = this;
    if (!probe.isComplete || answer.status >= 400 || reading.firstError !== null) return false;
    if (probe.rootElements !== null) return probe.rootElements > 0;
    const status = probe.members.find(({ key }) => key === 'status')?.json ?? '';
    // A job that has not succeeded (yet) has made nothing, whatever else it says.
    if (NOT_DONE.test(status)) return false;
    return madeCount(probe.members) !== 0 && probe.members.length > 0;
  }
}

const NOT_DONE =
  /^"(?:failed|error|cancell?ed|aborted|starting|processing|queued|in_queue|in_progress|pending|running)"$/i;

/** A longer event is read in passing: a picture in it would be held twice, and parsed twice. */
const HELD_EVENT_MAX_BYTES = 64 * 1024;

/** A stream of events: the highest figure of each field, what was made counted at its end. */
class EventMeter implements AnswerMeter {
  private readonly splitter = new SseSplitter(HELD_EVENT_MAX_BYTES);
  private long: LongEvent | null = null;
  private readonly reader: AnswerReader;
  private readonly book = new FigureBook();
  private readonly billableUnits: string | null;
  private details: TokenDetails = NO_TOKEN_DETAILS;
  private images = 0;
  /** The provider says which pictures are done: what was asked for need not have been delivered. */
  private countsImages = false;
  private hasContent = false;

  constructor(
    private readonly task: Task,
    private readonly answer: MeteredAnswer,
  ) {
    this.reader = new AnswerReader(familyOf(task));
    this.billableUnits = noteHeaders(this.book, answer);
  }

  push(chunk: Buffer): void {
    for (const event of this.splitter.push(chunk)) {
      if (event.isUnread) this.readLong(event.raw);
      else this.read(event);
    }
  }

  end(): MediaReading {
    const { reader, book } = this;
    // Of an event that the relay holds together nothing has passed before its end.
    const hasPassedPart = this.long !== null && this.long.sizeBytes > SSE_EVENT_MAX_BYTES;
    const counted = new FigureBook();
    if (this.countsImages || (hasPassedPart && this.task === 'image')) {
      counted.count('image', BigInt(this.images));
    }
    book.raise(counted);
    const reading = reader.reading();
    const isContent = this.hasContent || hasPassedPart || reading.hasContent;
    const hasContent = this.answer.status < 400 && isContent;
    return mediaReading({ ...reading, hasContent }, book, this.billableUnits, this.details);
  }

  private readLong(piece: Buffer): void {
    this.long ??= new LongEvent();
    this.long.push(piece);
    if (!this.long.isOver) return;
    const { name, members } = this.long;
    this.long = null;
    const short = members === null ? null : shortEvent(name, members);
    if (short !== null && this.reader.readEvent(short) === 'error') return;
    this.hasContent = true;
    if (members !== null) this.note(name, members);
  }

  private read(event: SseEvent): void {
    const kind = this.reader.readEvent(event);
    if (!event.hasData || kind === 'error') return;
    const probe = new JsonProbe();
    probe.push(event.dataBytes());
    if (probe.isComplete && probe.members.length > 0) this.note(event.name, probe.members);
  }

  private note(name: string | null, members: readonly ProbedMember[]): void {
    const type = textOf(members, 'type') ?? name ?? '';
    if (MADE_EVENT.test(type)) this.hasContent = true;
    if (IMAGE_EVENT.test(type)) this.countsImages = true;
    if (/^image_(?:generation|edit)\.completed$/.test(type)) this.images += 1;
    if (!members.some(({ key }) => key === 'usage' || key === 'duration')) return;
    const figures = new FigureBook();
    const details = noteFigures(figures, members, this.task);
    this.book.raise(figures);
    if (members.some(({ key }) => key === 'usage')) this.details = details;
  }
}

const IMAGE_EVENT = /^image_(?:generation|edit)\./;
const MADE_EVENT = /^(?:transcript\.text|speech\.audio|image_generation|image_edit)\./;

/** Sound, pictures, plain text: what counts is that it came. */
class BytesMeter implements AnswerMeter {
  private sizeBytes = 0;

  constructor(
    private readonly answer: MeteredAnswer,
    private readonly type: string,
  ) {}

  push(chunk: Buffer): void {
    this.sizeBytes += chunk.length;
  }

  end(): MediaReading {
    const book = new FigureBook();
    const billableUnits = noteHeaders(book, this.answer);
    const hasContent = this.answer.status < 400 && this.sizeBytes > 0;
    if (hasContent && this.type.startsWith('image/')) book.count('image', 1n);
    const reading = new AnswerReader().reading();
    const contentBytes = hasContent && this.type.startsWith('text/') ? this.sizeBytes : 0;
    const whole = { ...reading, hasContent, contentBytes, hasEnd: true };
    return mediaReading(whole, book, billableUnits, NO_TOKEN_DETAILS);
  }
}

/** A document of the members that were kept: as short as it is, all that is read of it is in it. */
function skeletonOf(members: readonly ProbedMember[]): string {
  const kept = members.filter(({ kind, json }) => kind === 'other' && json !== null);
  return `{${kept.map(({ key, json }) => `${JSON.stringify(key)}:${json ?? 'null'}`).join(',')}}`;
}

/** The event without what is long in it. */
function shortEvent(name: string | null, members: readonly ProbedMember[]): SseEvent | null {
  // Line breaks stand between the lines of its data, never inside a string of JSON.
  const data = skeletonOf(members).replace(/[\r\n]+/g, ' ');
  const text = `${name === null ? '' : `event: ${name}\n`}data: ${data}\n\n`;
  return new SseSplitter().push(Buffer.from(text))[0] ?? null;
}

function textOf(members: readonly ProbedMember[], name: string): string | null {
  const json = members.find(({ key }) => key === name)?.json ?? null;
  return json !== null && /^"[^"\\]*"$/.test(json) ? json.slice(1, -1) : null;
}
