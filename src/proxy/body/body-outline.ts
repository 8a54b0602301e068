import { type InputFacts } from '../../domain/worst-case.js';
import { decodeString, MEMBER_WORDS, PART, PART_TYPES, WORD, type Word } from './body-words.js';
import { type JsonVisitor, NESTING_MAX } from './json-scanner.js';

export type JsonKind = 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array';

/** Where a member lies: its name from the opening quote, its value, both as byte offsets. */
export interface Member {
  readonly name: string;
  readonly nameStart: number;
  valueStart: number;
  valueEnd: number;
  kind: JsonKind;
}

/** Content of the request; of the rest only the size matters. */
const CONTENT: ReadonlySet<string> = new Set([
  'messages',
  'prompt',
  'input',
  'system',
  'instructions',
  'suffix',
]);
const TOOLS: ReadonlySet<string> = new Set(['tools', 'functions']);
/** Members that carry a response schema, by route. */
const SCHEMAS: ReadonlySet<string> = new Set([
  'response_format',
  'text',
  'output_format',
  'output_config',
]);
/** Members that name input which the provider holds. */
const ELSEWHERE: ReadonlySet<string> = new Set(['previous_response_id', 'conversation']);

/**
 * What is kept of each open container, by depth: the name under which it lies, its part bits, its
 * undecided media bytes. Made once, not for each body: a body is read in one piece, and a depth is
 * written before it is read.
 */
const wordAt = new Uint8Array(NESTING_MAX + 1);
const isObjectAt = new Uint8Array(NESTING_MAX + 1);
const partAt = new Uint8Array(NESTING_MAX + 1);
const mediaBytesAt = new Float64Array(NESTING_MAX + 1);

const DATA_SCHEME = Buffer.from('data:');
const COMMA = 0x2c;
/** No real body has more; each costs a look at all names before it. */
export const MEMBERS_MAX = 1_024;

/**
 * Collects, in one pass, where the members of a body lie and how large its input is at most.
 * Media data is what a provider reads as an image or as audio: it counts by part or by decoded byte
 * instead of by character, and only inside the request's content. Text that only looks like media
 * (in a tool, in an unknown member) counts as text.
 */
export class BodyOutline implements JsonVisitor {
  readonly members: Member[] = [];
  readonly streamOptions: Member[] = [];
  /** The first name that stands twice, as a path; null when none does. */
  duplicate: string | null = null;
  /** More than `MEMBERS_MAX` members at the top level or in `stream_options`: the rest is not here. */
  hasTooManyMembers = false;
  isObject = false;
  /** UTF-8 bytes of the request's text: string values of its content and tools, media aside. */
  textBytes = 0;
  /** Elements of a `prompt` array that are a prompt each. */
  private promptElements = 0;

  private stringBytes = 0;
  private messages = 0;
  private imageParts = 0;
  private audioBytes = 0;
  private tokenIds = 0;
  private isInputElsewhere = false;
  private hasTools = false;

  /** The members by name; the first of those that stand twice. */
  readonly byName = new Map<string, Member>();
  private depth = 0;
  /** The top-level member being read. */
  private top: Member | null = null;
  private isContent = false;
  private isText = false;
  private takesTokenIds = false;
  private weight = 1;
  /** The name that the next value belongs to, in the innermost object. */
  private word: Word = WORD.none;
  /** The depth of the tool call's input that is being read; 0: none. */
  private callInputDepth = 0;

  constructor(private readonly body: Buffer) {}

  /** Prompts of a completion: 1 unless `prompt` is an array of texts or of arrays of token ids. */
  get prompts(): number {
    return Math.max(1, this.promptElements);
  }

  get inputFacts(): InputFacts {
    const { stringBytes, messages, hasTools, imageParts, audioBytes, tokenIds } = this;
    const { isInputElsewhere } = this;
    return {
      stringBytes,
      messages,
      hasTools,
      imageParts,
      audioBytes,
      tokenIds,
      isInputElsewhere,
    };
  }

  key(start: number, end: number, decodedBytes: number): void {
    const isEscaped = decodedBytes !== end - start;
    if (this.depth === 1) {
      this.startMember(start, end, isEscaped);
    } else {
      this.word = MEMBER_WORDS.find(this.body, start, end, isEscaped);
      if (this.depth === 2 && this.top?.name === 'stream_options') {
        this.startStreamOption(start, end, isEscaped);
      }
    }
    this.stringBytes += decodedBytes * this.weight;
  }

  string(start: number, end: number, decodedBytes: number): void {
    if (this.depth <= 2) this.value(start - 1, end + 1, 'string');
    if (this.isContent && this.callInputDepth === 0 && this.isMedia(start, end, decodedBytes))
      return;
    this.stringBytes += decodedBytes * this.weight;
    if (this.isText && this.word !== WORD.label && this.word !== WORD.type) {
      this.textBytes += decodedBytes;
    }
  }

  scalar(start: number, end: number): void {
    const first = this.body[start];
    const kind = first === 0x6e ? 'null' : first === 0x74 || first === 0x66 ? 'boolean' : 'number';
    if (this.depth <= 2) this.value(start, end, kind);
    if (this.takesTokenIds && kind === 'number' && this.isTokenIdPlace()) this.tokenIds++;
  }

  open(at: number, isObject: boolean): void {
    if (this.depth === 0) this.isObject = isObject;
    else if (this.isContent) this.openContent(isObject);
    if (this.depth <= 2) this.value(at, at, isObject ? 'object' : 'array');
    const depth = ++this.depth;
    wordAt[depth] = this.word;
    isObjectAt[depth] = isObject ? 1 : 0;
    // The elements of an array bear no name: a list of images is not one image.
    if (!isObject) this.word = WORD.none;
    partAt[depth] = 0;
    mediaBytesAt[depth] = 0;
  }

  close(end: number, isObject: boolean): void {
    const depth = this.depth--;
    if (this.callInputDepth === depth) this.callInputDepth = 0;
    else if (isObject && this.isContent && this.callInputDepth === 0) this.closePart(depth);
    this.word = (wordAt[depth] ?? 0) as Word;
    if (depth === 2 && this.top !== null) {
      this.top.valueEnd = end;
      const { name, valueStart } = this.top;
      if (TOOLS.has(name) && end - valueStart > '[]'.length) this.hasTools = true;
    } else if (depth === 3 && this.top?.name === 'stream_options') {
      const option = this.streamOptions.at(-1);
      if (option !== undefined) option.valueEnd = end;
    }
  }

  private startMember(start: number, end: number, isEscaped: boolean): void {
    if (this.members.length === MEMBERS_MAX) {
      this.hasTooManyMembers = true;
      return;
    }
    const name = decodeString(this.body, start, end, isEscaped);
    const member = memberAt(name, start - 1);
    this.top = member;
    this.members.push(member);
    if (this.byName.has(name)) this.duplicate ??= name;
    else this.byName.set(name, member);
    this.word = WORD.none;
    this.isContent = CONTENT.has(name);
    this.takesTokenIds = name === 'prompt' || name === 'input';
    const isTools = TOOLS.has(name);
    this.isText = this.isContent || isTools;
    this.weight = isTools || SCHEMAS.has(name) ? 2 : 1;
  }

  private startStreamOption(start: number, end: number, isEscaped: boolean): void {
    if (this.streamOptions.length === MEMBERS_MAX) {
      this.hasTooManyMembers = true;
      return;
    }
    const name = decodeString(this.body, start, end, isEscaped);
    if (this.streamOptions.some((option) => option.name === name)) {
      this.duplicate ??= `stream_options.${name}`;
    }
    this.streamOptions.push(memberAt(name, start - 1));
  }

  /** A value of the top level or one level below it begins (a scalar also ends). */
  private value(start: number, end: number, kind: JsonKind): void {
    const { top } = this;
    if (top === null) return;
    if (this.depth === 1) {
      top.valueStart = start;
      top.valueEnd = end;
      top.kind = kind;
      if (kind !== 'null' && ELSEWHERE.has(top.name)) this.isInputElsewhere = true;
      // A stored prompt template of the Responses API.
      if (kind === 'object' && top.name === 'prompt') this.isInputElsewhere = true;
      return;
    }
    if (top.name === 'stream_options') {
      const option = this.streamOptions.at(-1);
      if (option !== undefined && option.valueStart < 0 && !this.hasTooManyMembers) {
        option.valueStart = start;
        option.valueEnd = end;
        option.kind = kind;
      }
    } else if (top.name === 'prompt' && top.kind === 'array') {
      if (kind === 'string' || kind === 'array') this.promptElements++;
    }
  }

  private openContent(isObject: boolean): void {
    const { word } = this;
    const name = this.top?.name;
    if (this.callInputDepth !== 0) return;
    if (word === WORD.callInput) {
      this.callInputDepth = this.depth + 1;
      return;
    }
    if (word === WORD.audio) this.isInputElsewhere = true;
    if (this.depth === 2 && isObject && this.top?.kind === 'array') {
      if (name === 'messages' || name === 'input') this.messages++;
    }
    if (word === WORD.imageUrl) this.addPart(PART.image);
    else if (word === WORD.videoUrl) this.addPart(PART.video);
  }

  private addPart(part: number): void {
    partAt[this.depth] = (partAt[this.depth] ?? 0) | part;
  }

  /** True when a string of the content is media data and does not count as text. */
  private isMedia(start: number, end: number, bytes: number): boolean {
    const { word, depth } = this;
    const under = wordAt[depth];
    switch (word) {
      case WORD.type:
        this.addPart(PART_TYPES.find(this.body, start, end, bytes !== end - start));
        return false;
      case WORD.imageUrl:
        this.addPart(PART.image);
        return this.isDataUrl(start);
      case WORD.videoUrl:
        this.addPart(PART.video);
        return false;
      case WORD.fileId:
        this.isInputElsewhere = true;
        return false;
      case WORD.url:
        if (under === WORD.imageUrl) return this.isDataUrl(start);
        if (under !== WORD.audioUrl) return false;
        return this.isAudioUrl(start, end);
      case WORD.audioUrl:
        return this.isAudioUrl(start, end);
      case WORD.data:
        if (under === WORD.inputAudio) {
          this.audioBytes += decodedBase64Bytes(bytes);
          return true;
        }
        if (under !== WORD.source) return false;
        // Whether it is an image, a document or plain text its siblings say, which may follow.
        mediaBytesAt[depth] = (mediaBytesAt[depth] ?? 0) + bytes;
        return true;
      default:
        return false;
    }
  }

  private isAudioUrl(start: number, end: number): boolean {
    if (!this.isDataUrl(start)) {
      this.isInputElsewhere = true;
      return false;
    }
    const commaAt = this.body.indexOf(COMMA, start);
    const dataAt = commaAt >= 0 && commaAt < end ? commaAt + 1 : start;
    this.audioBytes += decodedBase64Bytes(end - dataAt);
    return true;
  }

  private isDataUrl(start: number): boolean {
    for (let index = 0; index < DATA_SCHEME.length; index++) {
      if (this.body[start + index] !== DATA_SCHEME[index]) return false;
    }
    return true;
  }

  /** An object of the content ends: what its `type` and its members together make it. */
  private closePart(depth: number): void {
    const part = partAt[depth] ?? 0;
    const mediaBytes = mediaBytesAt[depth] ?? 0;
    if ((part & PART.image) !== 0) this.imageParts++;
    if ((part & PART.video) !== 0) this.isInputElsewhere = true;
    if ((part & PART.file) !== 0 && (part & PART.text) === 0) this.isInputElsewhere = true;
    if (wordAt[depth] !== WORD.source) {
      if ((part & PART.image) === 0) this.addText(mediaBytes);
      return;
    }
    const parent = depth - 1;
    if ((part & PART.base64) !== 0) {
      mediaBytesAt[parent] = (mediaBytesAt[parent] ?? 0) + mediaBytes;
    } else {
      this.addText(mediaBytes);
      if ((part & PART.text) !== 0) partAt[parent] = (partAt[parent] ?? 0) | PART.text;
    }
  }

  private addText(bytes: number): void {
    this.stringBytes += bytes * this.weight;
    this.textBytes += bytes;
  }

  private isTokenIdPlace(): boolean {
    if (this.top?.kind !== 'array') return false;
    return this.depth === 2 || (this.depth === 3 && isObjectAt[3] === 0);
  }
}

function memberAt(name: string, nameStart: number): Member {
  return { name, nameStart, valueStart: -1, valueEnd: -1, kind: 'null' };
}

/** Three bytes for each four characters; padding is counted, so never too few. */
function decodedBase64Bytes(characters: number): number {
  return Math.floor((characters * 3) / 4);
}
