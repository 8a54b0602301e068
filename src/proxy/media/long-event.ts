import { JsonProbe, type ProbedMember } from './json-probe.js';

const LF = 0x0a;
const COLON = 0x3a;
const SPACE = 0x20;
const NEWLINE = Buffer.from('\n');
/** Before the first event of a stream. */
const BOM = Buffer.from('\ufeff');
/** As long as the longest field name that is read. */
const FIELD_MAX_CHARS = 5;
const NAME_MAX_CHARS = 128;

type Field = 'data' | 'event' | 'other';

/**
 * One server-sent event that is too long to be held together, read out of the pieces in which it
 * passes: its name, and the small members of its JSON. A picture in it is never kept.
 */
export class LongEvent {
  /** Its blank line has come. */
  isOver = false;
  sizeBytes = 0;
  private readonly probe = new JsonProbe();
  /** Of the last line with one. */
  private eventName = '';
  /** The field's name as far as it has come; behind its colon, `field` says which it is. */
  private head = '';
  private field: Field | null = null;
  private isAtValueStart = false;

  /** The next piece. A piece holds bytes of this event alone. */
  push(piece: Buffer): void {
    let at = this.sizeBytes === 0 && piece.subarray(0, BOM.length).equals(BOM) ? BOM.length : 0;
    this.sizeBytes += piece.length;
    while (at < piece.length && !this.isOver) {
      at = this.field === null ? this.readHead(piece, at) : this.readValue(piece, at);
    }
  }

  get name(): string | null {
    return this.eventName === '' ? null : this.eventName.replace(/\r$/, '');
  }

  /** Of the data, where it is one whole JSON value; else null. */
  get members(): readonly ProbedMember[] | null {
    return this.probe.isComplete ? this.probe.members : null;
  }

  private readHead(piece: Buffer, at: number): number {
    const byte = piece[at] ?? 0;
    if (byte === LF) {
      // A field without a colon has an empty value; a line without anything ends the event.
      if (this.head === '' || this.head === '\r') this.isOver = true;
      this.head = '';
    } else if (byte === COLON) {
      this.field = this.head === 'data' || this.head === 'event' ? this.head : 'other';
      this.isAtValueStart = true;
      if (this.field === 'event') this.eventName = '';
    } else if (this.head.length <= FIELD_MAX_CHARS) this.head += String.fromCharCode(byte);
    return at + 1;
  }

  private readValue(piece: Buffer, at: number): number {
    let start = at;
    if (this.isAtValueStart && piece[at] === SPACE) start += 1;
    this.isAtValueStart = false;
    const newline = piece.indexOf(LF, start);
    const end = newline < 0 ? piece.length : newline;
    const value = piece.subarray(start, end);
    if (this.field === 'data') this.probe.push(value);
    else if (this.field === 'event' && this.eventName.length < NAME_MAX_CHARS) {
      this.eventName += value.toString('latin1', 0, NAME_MAX_CHARS);
    }
    if (newline < 0) return end;
    if (this.field === 'data') this.probe.push(NEWLINE);
    this.field = null;
    this.head = '';
    return newline + 1;
  }
}
