/**
 * Reads a JSON document of any size while it passes, in flat memory: which arrays hold how many
 * elements, and the small members at its top. A picture of 30 MB in base64 is one element; its bytes
 * are never kept. It does not judge whether the document is valid between what it keeps.
 */
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const KEY_MAX_BYTES = 128;
const MEMBER_MAX_BYTES = 16 * 1024;
const ELEMENT_MAX_BYTES = 2 * 1024;
/** Of one document, members and elements each; more is passed over. */
const KEPT_MAX_BYTES = 256 * 1024;
const KEPT_MAX = 512;
/** What is charged stands behind all else, and is kept however much was. */
const ALWAYS_KEPT: ReadonlySet<string> = new Set(['usage', 'duration', 'metrics']);

export interface ProbedMember {
  readonly key: string;
  readonly kind: 'array' | 'other';
  /** JSON text of the value; null: too long to be kept, or an array. */
  readonly json: string | null;
  /** Of an array. */
  readonly elements: number;
  /** JSON texts of the elements of an array that are short; null for one that is not. */
  readonly elementTexts: readonly (string | null)[];
}

type Capture = 'key' | 'member' | 'element';

export class JsonProbe {
  readonly members: ProbedMember[] = [];
  /** The document itself is an array, of so many elements. */
  rootElements: number | null = null;
  /** One value, closed, and nothing behind it. */
  get isComplete(): boolean {
    return this.hasRoot && this.depth === 0 && !this.hasMore && !this.inString;
  }

  private depth = 0;
  private hasRoot = false;
  private hasMore = false;
  private isRootObject = false;
  private inString = false;
  /** The last byte of the previous chunk was a backslash inside a string. */
  private isEscaped = false;
  private awaitsKey = false;
  private key = '';
  /** The member being read is an array; its elements so far. */
  private isArray = false;
  private elements = 0;
  private hasElement = false;
  private elementTexts: (string | null)[] = [];
  private json: string | null = null;

  private capture: Capture | null = null;
  private captured: Buffer[] = [];
  private capturedBytes = 0;
  private captureFrom = 0;
  private isTooLong = false;
  private memberBytes = 0;
  private elementBytes = 0;
  private kept = 0;

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.captureFrom = 0;
    let at = 0;
    if (this.inString) at = this.skipString(chunk, 0);
    while (at < chunk.length) {
      const byte = chunk[at];
      switch (byte) {
        case QUOTE:
          this.value(at);
          this.inString = true;
          at = this.skipString(chunk, at + 1);
          continue;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          this.open(at, byte === OPEN_BRACE);
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          this.close(chunk, at);
          break;
        case COMMA:
          if (this.depth <= 2) this.comma(chunk, at);
          break;
        case COLON:
          if (this.depth === 1 && this.isRootObject) this.colon(chunk, at);
          break;
        case 0x20:
        case 0x09:
        case 0x0a:
        case 0x0d:
          break;
        default:
          if (this.depth <= 2) this.value(at);
      }
      at += 1;
    }
    if (this.capture !== null) this.take(chunk, chunk.length);
  }

  /** The end of the string, behind its quote; the end of the chunk where it goes on. */
  private skipString(chunk: Buffer, from: number): number {
    // The first byte of this chunk is what the last byte of the one before escapes.
    let at = this.isEscaped ? from + 1 : from;
    this.isEscaped = false;
    for (;;) {
      const quote = chunk.indexOf(QUOTE, at);
      const end = quote < 0 ? chunk.length : quote;
      let backslashes = 0;
      while (end - backslashes > at && chunk[end - backslashes - 1] === BACKSLASH) backslashes += 1;
      if (quote < 0) {
        this.isEscaped = backslashes % 2 === 1;
        return chunk.length;
      }
      at = quote + 1;
      if (backslashes % 2 === 0) {
        this.inString = false;
        return at;
      }
    }
  }

  /** Something that is a value, or a name, begins or goes on. */
  private value(at: number): void {
    if (this.depth === 0) {
      if (this.hasRoot) this.hasMore = true;
      this.hasRoot = true;
    } else if (this.depth === 1) {
      if (!this.isRootObject) this.hasElement = true;
      else if (this.awaitsKey) this.start('key', at);
    } else if (this.depth === 2 && this.isArray) this.startElement(at);
  }

  private open(at: number, isObject: boolean): void {
    this.value(at);
    if (this.depth === 0) {
      this.isRootObject = isObject;
      this.awaitsKey = isObject;
      this.isArray = false;
      if (!isObject) this.rootElements = 0;
    } else if (this.depth === 1 && this.isRootObject && this.capture === 'member' && !isObject) {
      // Counted instead of kept.
      this.drop();
      this.isArray = true;
    }
    this.depth += 1;
  }

  private close(chunk: Buffer, at: number): void {
    if (this.depth === 0) {
      this.hasMore = true;
      return;
    }
    if (this.depth === 2 && this.isArray) this.endElement(chunk, at);
    if (this.depth === 1) {
      if (this.isRootObject) this.endMember(chunk, at);
      else if (this.hasElement) this.rootElements = (this.rootElements ?? 0) + 1;
    }
    this.depth -= 1;
  }

  private comma(chunk: Buffer, at: number): void {
    if (this.depth === 2) {
      if (this.isArray) this.endElement(chunk, at);
    } else if (this.depth === 1) {
      if (this.isRootObject) {
        this.endMember(chunk, at);
        this.awaitsKey = true;
      } else this.rootElements = (this.rootElements ?? 0) + 1;
    }
  }

  private colon(chunk: Buffer, at: number): void {
    if (!this.awaitsKey || this.capture !== 'key') return;
    const json = this.finish(chunk, at);
    this.key = keyOf(json);
    this.awaitsKey = false;
    this.isArray = false;
    this.elements = 0;
    this.elementTexts = [];
    this.json = null;
    this.start('member', at + 1);
  }

  private endMember(chunk: Buffer, at: number): void {
    if (this.awaitsKey) {
      this.drop();
      return;
    }
    if (this.capture === 'member') this.json = this.finish(chunk, at);
    this.awaitsKey = true;
    this.kept += 1;
    if (this.kept > KEPT_MAX && !ALWAYS_KEPT.has(this.key)) return;
    const { key, json, elements, elementTexts } = this;
    const kind = this.isArray ? 'array' : 'other';
    this.members.push({ key, kind, json, elements, elementTexts });
    this.isArray = false;
  }

  private startElement(at: number): void {
    if (this.hasElement) return;
    this.hasElement = true;
    this.start('element', at);
  }

  private endElement(chunk: Buffer, at: number): void {
    if (!this.hasElement) return;
    this.hasElement = false;
    this.elements += 1;
    const text = this.capture === 'element' ? this.finish(chunk, at) : null;
    if (this.elementTexts.length < KEPT_MAX) this.elementTexts.push(text);
  }

  private start(capture: Capture, at: number): void {
    if (this.capture !== null) return;
    this.capture = capture;
    this.captured = [];
    this.capturedBytes = 0;
    this.captureFrom = at;
    this.isTooLong = !this.hasRoomFor(capture);
  }

  /** The bytes of many small elements leave no less room for what comes behind them. */
  private hasRoomFor(capture: Capture): boolean {
    switch (capture) {
      case 'key':
        return true;
      case 'member':
        return this.memberBytes <= KEPT_MAX_BYTES || ALWAYS_KEPT.has(this.key);
      case 'element':
        return this.elementBytes <= KEPT_MAX_BYTES && this.elementTexts.length < KEPT_MAX;
    }
  }

  private take(chunk: Buffer, end: number): void {
    const bytes = end - this.captureFrom;
    this.capturedBytes += bytes;
    if (this.capturedBytes > this.mostBytes()) {
      this.isTooLong = true;
      this.captured = [];
    }
    // A copy: the chunk is not ours to keep.
    if (!this.isTooLong && bytes > 0) {
      this.captured.push(Buffer.from(chunk.subarray(this.captureFrom, end)));
    }
    this.captureFrom = end;
  }

  private mostBytes(): number {
    if (this.capture === 'key') return KEY_MAX_BYTES;
    return this.capture === 'member' ? MEMBER_MAX_BYTES : ELEMENT_MAX_BYTES;
  }

  /** The text of what was captured; null where it was too long. */
  private finish(chunk: Buffer, end: number): string | null {
    this.take(chunk, end);
    const text = this.isTooLong ? null : Buffer.concat(this.captured).toString('utf8').trim();
    if (this.capture === 'member') this.memberBytes += text?.length ?? 0;
    else if (this.capture === 'element') this.elementBytes += text?.length ?? 0;
    this.drop();
    return text;
  }

  private drop(): void {
    this.capture = null;
    this.captured = [];
    this.capturedBytes = 0;
  }
}

function keyOf(json: string | null): string {
  if (json === null) return '';
  try {
    return String(JSON.parse(json));
  } catch {
    return '';
  }
}
