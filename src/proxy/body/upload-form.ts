import { createHash, type Hash } from 'node:crypto';
import { MS_PER_SECOND, quantityOf } from '../../domain/media.js';
import type { ChatRequestFacts } from './chat-request.js';
import { pixelsOf } from './media-request.js';
import type { MultipartProblem, PartHead, PartVisitor } from './multipart-scanner.js';

const FILES_MAX = 32;
const MODEL_MAX_BYTES = 256;
const VALUE_MAX_BYTES = 1024 * 1024;
const MODEL = 'model';

/** Fields whose value we read: each at most once, and never a file. */
const READ_FIELDS: ReadonlySet<string> = new Set([
  MODEL,
  'stream',
  'response_format',
  'language',
  'prompt',
  'n',
  'size',
  'width',
  'height',
  'seconds',
  'duration',
]);

export interface UploadFile {
  readonly name: string;
  readonly contentType: string | null;
  readonly start: number;
  readonly end: number;
}

interface ReadField {
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

/** What an upload says that we read. */
export interface UploadFacts {
  /** As of a JSON request; its layout is empty. */
  readonly facts: ChatRequestFacts;
  readonly files: readonly UploadFile[];
  readonly responseFormat: string | null;
  readonly n: number | null;
  readonly pixels: bigint | null;
  readonly videoMs: bigint | null;
  /** Bytes of the files that are no images. */
  readonly audioBytes: number;
}

/** Collects, while a form arrives, the fields that we read and where its files lie. */
export class UploadForm implements PartVisitor {
  private readonly fields = new Map<string, ReadField>();
  private readonly files: UploadFile[] = [];
  private readonly digestOfForm: Hash | null;
  private digestOfPart: Hash | null = null;
  private head: PartHead | null = null;
  private start = 0;
  /** Bytes of the field being read; its value where we read it. */
  private sizeBytes = 0;
  private value: Buffer[] = [];
  private textBytes = 0;

  constructor(options: { readonly isDigestWanted: boolean }) {
    this.digestOfForm = options.isDigestWanted ? createHash('sha256') : null;
  }

  begin(head: PartHead, at: number): MultipartProblem | null {
    this.head = head;
    this.start = at;
    this.sizeBytes = 0;
    this.value = [];
    if (this.digestOfForm !== null) this.digestOfPart = createHash('sha256');
    const { name, isFile } = head;
    if (isFile && this.files.length === FILES_MAX) {
      return { field: name, message: `The form has more than ${FILES_MAX} files.` };
    }
    if (!READ_FIELDS.has(name)) return null;
    if (isFile) return { field: name, message: `\`${name}\` must be a field, not a file.` };
    if (this.fields.has(name)) {
      return { field: name, message: `\`${name}\` is given more than once.` };
    }
    if (head.charset !== null && head.charset !== 'utf-8' && head.charset !== 'us-ascii') {
      return { field: name, message: `\`${name}\` must be in UTF-8.` };
    }
    return null;
  }

  data(bytes: Buffer): MultipartProblem | null {
    const { head } = this;
    if (head === null) return null;
    this.digestOfPart?.update(bytes);
    if (head.isFile) return null;
    this.sizeBytes += bytes.length;
    const most = head.name === MODEL ? MODEL_MAX_BYTES : VALUE_MAX_BYTES;
    if (this.sizeBytes > most) {
      return { field: head.name, message: `\`${head.name}\` is longer than ${most} bytes.` };
    }
    // A copy: the chunk that it lies in is large and soon somebody else's.
    if (READ_FIELDS.has(head.name)) this.value.push(Buffer.from(bytes));
    return null;
  }

  end(at: number): MultipartProblem | null {
    const { head, start } = this;
    if (head === null) return null;
    const { name } = head;
    this.head = null;
    this.foldDigest(head);
    if (head.isFile) {
      this.files.push({ name, contentType: head.contentType, start, end: at });
      return null;
    }
    this.textBytes += this.sizeBytes;
    if (!READ_FIELDS.has(name)) return null;
    const value = decoded(Buffer.concat(this.value));
    if (value === null) return { field: name, message: `\`${name}\` must be in UTF-8.` };
    this.fields.set(name, { value, start, end: at });
    return null;
  }

  /** Of headers and contents, each by its length: no boundary, nothing between the parts. */
  get digest(): Buffer {
    return this.digestOfForm?.copy().digest() ?? Buffer.alloc(0);
  }

  get modelSpan(): { readonly start: number; readonly end: number } | null {
    return this.fields.get(MODEL) ?? null;
  }

  /** What the complete form says; a problem where a field that we read is wrong. */
  facts(isModelRequired: boolean): UploadFacts | MultipartProblem {
    const model = this.fields.get(MODEL)?.value ?? null;
    if (model === null ? isModelRequired : !isModelName(model)) {
      return { field: MODEL, message: '`model` must be a non-empty string.' };
    }
    const n = this.whole('n');
    const width = this.whole('width');
    const height = this.whole('height');
    const stream = booleanOf(this.fields.get('stream')?.value);
    const wrong = [
      n === 'wrong' || n === 0 ? problem('n', 'an integer of at least 1') : null,
      width === 'wrong' || width === 0 ? problem('width', 'an integer of at least 1') : null,
      height === 'wrong' || height === 0 ? problem('height', 'an integer of at least 1') : null,
      stream === 'wrong' ? problem('stream', 'true or false') : null,
    ].find((one) => one !== null);
    if (wrong !== undefined) return wrong;
    if (n === 'wrong' || width === 'wrong' || height === 'wrong' || stream === 'wrong') {
      throw new Error('upload: a wrong field is a problem');
    }
    const images = this.files.filter(isImage);
    const audioBytes = this.files
      .filter((file) => !isImage(file))
      .reduce((sum, { start, end }) => sum + end - start, 0);
    const sides = width === null || height === null ? null : BigInt(width) * BigInt(height);
    return {
      facts: {
        ...EMPTY_FACTS,
        model,
        stream,
        n,
        outputs: n ?? 1,
        input: {
          ...EMPTY_FACTS.input,
          stringBytes: this.textBytes,
          imageParts: images.length,
          audioBytes,
        },
        textBytes: Buffer.byteLength(this.fields.get('prompt')?.value ?? ''),
      },
      files: this.files,
      responseFormat: this.fields.get('response_format')?.value ?? null,
      n,
      pixels: pixelsOf(this.fields.get('size')?.value ?? '') ?? sides,
      videoMs: this.videoMs(),
      audioBytes,
    };
  }

  private videoMs(): bigint | null {
    const text = this.fields.get('seconds')?.value ?? this.fields.get('duration')?.value;
    if (text === undefined) return null;
    const reading = quantityOf(text, MS_PER_SECOND);
    return reading.ok && reading.quantity > 0n ? reading.quantity : null;
  }

  private whole(name: string): number | null | 'wrong' {
    const text = this.fields.get(name)?.value;
    if (text === undefined || text === '') return null;
    return /^\d{1,6}$/.test(text) ? Number(text) : 'wrong';
  }

  private foldDigest(head: PartHead): void {
    if (this.digestOfForm === null || this.digestOfPart === null) return;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(head.bytes.length);
    this.digestOfForm.update(length).update(head.bytes).update(this.digestOfPart.digest());
    this.digestOfPart = null;
  }
}

/** Of a body that is a file and nothing else. */
export function factsOfFile(sizeBytes: number, contentType: string): UploadFacts {
  const file = { name: 'body', contentType, start: 0, end: sizeBytes };
  const audioBytes = isImage(file) ? 0 : sizeBytes;
  const input = { ...EMPTY_FACTS.input, imageParts: isImage(file) ? 1 : 0, audioBytes };
  return {
    facts: { ...EMPTY_FACTS, input },
    files: [file],
    responseFormat: null,
    n: null,
    pixels: null,
    videoMs: null,
    audioBytes,
  };
}

const EMPTY_FACTS: ChatRequestFacts = {
  model: null,
  stream: null,
  includeUsage: null,
  maxOutput: {},
  callerMaxOutputTokens: null,
  n: null,
  bestOf: null,
  prompts: 1,
  outputs: 1,
  background: null,
  serviceTier: null,
  sessionId: null,
  promptCacheKey: null,
  input: {
    stringBytes: 0,
    messages: 0,
    hasTools: false,
    imageParts: 0,
    audioBytes: 0,
    tokenIds: 0,
    isInputElsewhere: false,
  },
  textBytes: 0,
  layout: { members: [], streamOptions: [] },
};

function isImage({ contentType }: UploadFile): boolean {
  return contentType?.startsWith('image/') === true;
}

/** Nothing that a receiver might trim or cut: what is priced is what it reads. */
function isModelName(text: string): boolean {
  return text !== '' && text.trim() === text && !/\p{Cc}/u.test(text);
}

function booleanOf(text: string | undefined): boolean | null | 'wrong' {
  if (text === undefined || text === '') return null;
  if (/^(?:true|1)$/i.test(text)) return true;
  return /^(?:false|0)$/i.test(text) ? false : 'wrong';
}

function problem(field: string, expected: string): MultipartProblem {
  return { field, message: `\`${field}\` must be ${expected}.` };
}

function decoded(bytes: Buffer): string | null {
  try {
    // A byte-order mark stays in the value: a receiver may keep it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
