/**
 * An event longer than this is not held together: its bytes are handed on in pieces that nobody
 * reads, so that one answer can never take more memory than this.
 */
export const SSE_EVENT_MAX_BYTES = 8 * 1024 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const LOWER_D = 0x64;
const LOWER_E = 0x65;

const NEWLINE = Buffer.from('\n');
const DATA = Buffer.from('data');
const EVENT = Buffer.from('event');
const BOM_BYTES = 3;
const EMPTY = Buffer.alloc(0);
const CARRY_MIN_BYTES = 1024;
/** A larger carry is given back once its event is through. */
const CARRY_KEPT_BYTES = 64 * 1024;

/** Where a run of an event's bytes lies in its source. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * One server-sent event, or a piece of one that was too long to read. It is a window on `source`:
 * nothing is copied or decoded until it is asked for.
 */
export class SseEvent {
  /** The data of the only data line; of several lines, of the first. -1 where there is none. */
  dataStart = -1;
  dataEnd = -1;
  dataLines = 0;
  nameStart = -1;
  nameEnd = -1;
  /** Where the first line starts: behind a byte-order mark, which only the first event may have. */
  linesStart: number;

  constructor(
    readonly source: Buffer,
    readonly start: number,
    readonly end: number,
    /** Part of an event over the limit: pass the bytes on, do not read them. */
    readonly isUnread: boolean,
    /** The body ended without this event's blank line. */
    readonly isPartial: boolean,
  ) {
    this.linesStart = start;
  }

  /** The exact bytes of the event, its terminating blank line included. Shares memory. */
  get raw(): Buffer {
    return this.source.subarray(this.start, this.end);
  }

  get sizeBytes(): number {
    return this.end - this.start;
  }

  /** The value of the last `event:` line, null without one. */
  get name(): string | null {
    return this.nameStart < 0 ? null : this.source.toString('utf8', this.nameStart, this.nameEnd);
  }

  get hasData(): boolean {
    return this.dataLines > 0;
  }

  /** The data as text: the data lines joined by a newline; empty without any. */
  dataText(): string {
    if (this.dataLines === 0) return '';
    if (this.dataLines === 1) return this.source.toString('utf8', this.dataStart, this.dataEnd);
    return this.dataBytes().toString('utf8');
  }

  /** The data as bytes; shares memory where there is one data line. */
  dataBytes(): Buffer {
    if (this.dataLines === 0) return this.source.subarray(this.start, this.start);
    if (this.dataLines === 1) return this.source.subarray(this.dataStart, this.dataEnd);
    const parts: Buffer[] = [];
    for (const span of this.dataSpans()) {
      if (parts.length > 0) parts.push(NEWLINE);
      parts.push(this.source.subarray(span.start, span.end));
    }
    return Buffer.concat(parts);
  }

  /** Where each data line's value lies in `source`, in order. */
  dataSpans(): ByteSpan[] {
    if (this.dataLines === 0) return [];
    if (this.dataLines === 1) return [{ start: this.dataStart, end: this.dataEnd }];
    const spans: ByteSpan[] = [];
    forEachLine(this.source, this.linesStart, this.end, (start, end) => {
      const value = valueOfField(this.source, start, end, DATA);
      if (value >= 0) spans.push({ start: value, end });
    });
    return spans;
  }
}

/**
 * Cuts a byte stream into complete server-sent events. Boundaries between chunks may fall
 * anywhere. The raw bytes of all events, in order, are exactly the bytes pushed.
 *
 * Lines end in `\n` or `\r\n`. A lone `\r` is an ordinary byte: no provider ends lines with it,
 * and looking for it would cost a second pass over every chunk. A blank line that closes nothing
 * and a block of comments are events without data.
 *
 * Cost: an event that lies inside one chunk is a window on that chunk. Bytes of an event that
 * straddles chunks are copied at most twice plus the growth of a doubling buffer, so the time is
 * linear however small the chunks are, and memory is bounded by `maxEventBytes` plus one chunk.
 * Chunks must not be changed after they were pushed.
 */
export class SseSplitter {
  /** The unfinished event. */
  #carry: Buffer = EMPTY;
  #carryLength = 0;
  /** Bytes of the unfinished event's last line so far. */
  #lineLength = 0;
  #lastByte = 0;
  /** Inside an event that is passed on unread. */
  #isUnread = false;
  #isFirst = true;

  constructor(private readonly maxEventBytes: number = SSE_EVENT_MAX_BYTES) {}

  /** Takes the next bytes and returns the events that they complete, in order. */
  push(bytes: Buffer): SseEvent[] {
    const events: SseEvent[] = [];
    let chunk = bytes;
    if (this.#isFirst && this.#carryLength > 0 && this.#carryLength < BOM_BYTES) {
      // Too little to tell a byte-order mark: look again with what came now.
      chunk = Buffer.concat([this.#carry.subarray(0, this.#carryLength), bytes]);
      this.#carryLength = 0;
    }
    let position = 0;
    if (this.#carryLength > 0 || this.#isUnread) {
      position = this.#finishCarried(chunk, events);
      if (position < 0) return events;
    }
    while (position < chunk.length) {
      const event = this.#readEvent(chunk, position);
      if (event === null) {
        this.#startCarry(chunk, position, events);
        break;
      }
      events.push(event);
      position = event.end;
    }
    return events;
  }

  /**
   * The body is over. Returns what was left of an event without its blank line (null: nothing):
   * to be dropped where the upstream broke off, to be relayed where the body ended in order.
   * The rest of an unread event has been handed on already. The splitter is empty afterwards.
   */
  end(): SseEvent | null {
    const length = this.#carryLength;
    const source = this.#carry.subarray(0, length);
    this.#carry = EMPTY;
    this.#carryLength = 0;
    this.#lineLength = 0;
    this.#isUnread = false;
    if (length === 0) return null;
    const event = new SseEvent(source, 0, length, false, true);
    event.linesStart = this.#skipBom(source, 0);
    forEachLine(source, event.linesStart, length, (start, end) => {
      noteField(event, start, end);
    });
    return event;
  }

  /** The event that starts at `position`; null when the chunk ends before it does. */
  #readEvent(chunk: Buffer, position: number): SseEvent | null {
    const start = this.#isFirst ? this.#skipBom(chunk, position) : position;
    let lineStart = start;
    let dataStart = -1;
    let dataEnd = -1;
    let dataLines = 0;
    let nameStart = -1;
    let nameEnd = -1;
    for (;;) {
      const newline = chunk.indexOf(LF, lineStart);
      if (newline < 0) return null;
      const lineEnd = newline > lineStart && chunk[newline - 1] === CR ? newline - 1 : newline;
      if (lineEnd === lineStart) {
        this.#isFirst = false;
        const end = newline + 1;
        const event = new SseEvent(
          chunk,
          position,
          end,
          end - position > this.maxEventBytes,
          false,
        );
        if (event.isUnread) return event;
        event.linesStart = start;
        event.dataStart = dataStart;
        event.dataEnd = dataEnd;
        event.dataLines = dataLines;
        event.nameStart = nameStart;
        event.nameEnd = nameEnd;
        return event;
      }
      const first = chunk[lineStart];
      if (first === LOWER_D) {
        const value = valueOfField(chunk, lineStart, lineEnd, DATA);
        if (value >= 0) {
          if (dataLines === 0) {
            dataStart = value;
            dataEnd = lineEnd;
          }
          dataLines += 1;
        }
      } else if (first === LOWER_E) {
        const value = valueOfField(chunk, lineStart, lineEnd, EVENT);
        if (value >= 0) {
          nameStart = value;
          nameEnd = lineEnd;
        }
      }
      lineStart = newline + 1;
    }
  }

  /** Looks for the end of the carried event; returns where the next one starts, -1 if not here. */
  #finishCarried(chunk: Buffer, events: SseEvent[]): number {
    let lineStart = 0;
    for (;;) {
      const newline = chunk.indexOf(LF, lineStart);
      if (newline < 0) {
        if (chunk.length > lineStart) this.#lastByte = chunk[chunk.length - 1] ?? 0;
        this.#lineLength += chunk.length - lineStart;
        this.#carryOn(chunk, chunk.length, events);
        return -1;
      }
      const length = this.#lineLength + newline - lineStart;
      const last = newline > lineStart ? chunk[newline - 1] : this.#lastByte;
      this.#lineLength = 0;
      lineStart = newline + 1;
      if (length === 0 || (length === 1 && last === CR)) break;
    }
    if (this.#isUnread || this.#carryLength + lineStart > this.maxEventBytes) {
      this.#carryOn(chunk, lineStart, events);
    } else {
      // The carry is written over by the next event, so this one takes its bytes with it.
      const whole = Buffer.allocUnsafe(this.#carryLength + lineStart);
      this.#carry.copy(whole, 0, 0, this.#carryLength);
      chunk.copy(whole, this.#carryLength, 0, lineStart);
      const event = this.#readEvent(whole, 0);
      if (event !== null) events.push(event);
    }
    this.#isUnread = false;
    this.#isFirst = false;
    this.#carryLength = 0;
    if (this.#carry.length > CARRY_KEPT_BYTES) this.#carry = EMPTY;
    return lineStart;
  }

  /** Keeps the first `end` bytes of the chunk, or hands them on where the event is too long. */
  #carryOn(chunk: Buffer, end: number, events: SseEvent[]): void {
    if (!this.#isUnread && this.#carryLength + end <= this.maxEventBytes) {
      this.#append(chunk, 0, end);
      return;
    }
    if (this.#carryLength > 0) {
      events.push(new SseEvent(this.#carry, 0, this.#carryLength, true, false));
      this.#carry = EMPTY;
      this.#carryLength = 0;
    }
    this.#isUnread = true;
    if (end > 0) events.push(new SseEvent(chunk, 0, end, true, false));
  }

  #startCarry(chunk: Buffer, position: number, events: SseEvent[]): void {
    const start = this.#isFirst ? this.#skipBom(chunk, position) : position;
    const newline = chunk.lastIndexOf(LF);
    this.#lineLength = chunk.length - (newline < start ? start : newline + 1);
    this.#lastByte = chunk[chunk.length - 1] ?? 0;
    if (chunk.length - position > this.maxEventBytes) {
      this.#isUnread = true;
      events.push(new SseEvent(chunk, position, chunk.length, true, false));
      return;
    }
    this.#append(chunk, position, chunk.length);
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const needed = this.#carryLength + end - start;
    if (needed > this.#carry.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.max(CARRY_MIN_BYTES, 2 ** Math.ceil(Math.log2(needed))),
      );
      this.#carry.copy(grown, 0, 0, this.#carryLength);
      this.#carry = grown;
    }
    chunk.copy(this.#carry, this.#carryLength, start, end);
    this.#carryLength = needed;
  }

  #skipBom(chunk: Buffer, position: number): number {
    const has =
      this.#isFirst &&
      chunk[position] === 0xef &&
      chunk[position + 1] === 0xbb &&
      chunk[position + 2] === 0xbf;
    return has ? position + BOM_BYTES : position;
  }
}

/**
 * The bytes of the events in as few buffers as possible: events that lie side by side in one
 * chunk become one window on it, so relaying a chunk of whole events is one write and no copy.
 */
export function contiguousRuns(events: readonly SseEvent[]): Buffer[] {
  const runs: Buffer[] = [];
  let source: Buffer | null = null;
  let start = 0;
  let end = 0;
  for (const event of events) {
    if (event.source === source && event.start === end) {
      end = event.end;
      continue;
    }
    if (source !== null) runs.push(source.subarray(start, end));
    source = event.source;
    start = event.start;
    end = event.end;
  }
  if (source !== null) runs.push(source.subarray(start, end));
  return runs;
}

/** The start of the field's value where the line is of that field, else -1. */
function valueOfField(bytes: Buffer, start: number, end: number, name: Buffer): number {
  const colon = start + name.length;
  if (colon > end) return -1;
  for (let index = 0; index < name.length; index += 1) {
    if (bytes[start + index] !== name[index]) return -1;
  }
  // A field without a colon has an empty value.
  if (colon === end) return end;
  if (bytes[colon] !== COLON) return -1;
  return colon + 1 < end && bytes[colon + 1] === SPACE ? colon + 2 : colon + 1;
}

function forEachLine(
  bytes: Buffer,
  from: number,
  limit: number,
  visit: (start: number, end: number) => void,
): void {
  let start = from;
  while (start < limit) {
    const newline = bytes.indexOf(LF, start);
    const next = newline < 0 || newline >= limit ? limit : newline;
    const end = next > start && bytes[next - 1] === CR ? next - 1 : next;
    visit(start, end);
    start = next + 1;
  }
}

function noteField(event: SseEvent, start: number, end: number): void {
  const data = valueOfField(event.source, start, end, DATA);
  if (data >= 0) {
    if (event.dataLines === 0) {
      event.dataStart = data;
      event.dataEnd = end;
    }
    event.dataLines += 1;
    return;
  }
  const name = valueOfField(event.source, start, end, EVENT);
  if (name >= 0) {
    event.nameStart = name;
    event.nameEnd = end;
  }
}
