import { type Readable } from 'node:stream';
import type { ChatRequestFacts } from './chat-request.js';
import { editBody, type BodyEdits } from './edit-body.js';
import type { SpoolFile, SpoolSegment } from './spool.js';

/** A body as one attempt sends it. */
export interface OpenedBody {
  readonly body: Buffer | Readable;
  /** For `content-length`. */
  readonly sizeBytes: number;
}

/** A request's body; opened anew for each attempt, closed once at the end of the call. */
export type RequestBody = BufferedBody | SpooledBody;

/** JSON in memory. */
export class BufferedBody {
  readonly kind = 'buffer';

  constructor(
    readonly bytes: Buffer,
    private readonly facts: ChatRequestFacts,
  ) {}

  get sizeBytes(): number {
    return this.bytes.length;
  }

  /** What an idempotency key is bound to. */
  get digest(): Buffer {
    return this.bytes;
  }

  open(edits: BodyEdits): OpenedBody {
    const body = editBody(this.bytes, this.facts, edits);
    return { body, sizeBytes: body.length };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Where the value of `model` lies in an upload, and what may not stand in another one. */
export interface ModelSpan {
  readonly start: number;
  readonly end: number;
  readonly boundary: string;
}

/** An upload in a spool file, complete. */
export class SpooledBody {
  readonly kind = 'spool';

  constructor(
    private readonly file: SpoolFile,
    /** null: the body names no model (a binary body, or a route that names it). */
    private readonly model: ModelSpan | null,
    /**
     * Of the parts and their headers, not of the bytes between them: a client that sends the same
     * form again draws another boundary. Empty where it was not asked for.
     */
    readonly digest: Buffer,
  ) {}

  get sizeBytes(): number {
    return this.file.sizeBytes;
  }

  /**
   * The upload from its beginning, byte for byte but for the model's value. Of the edits only `model`
   * means anything here. Throws for a model that a form cannot carry.
   */
  open({ model }: BodyEdits): OpenedBody {
    const whole: SpoolSegment = { start: 0, end: this.sizeBytes };
    if (model === undefined || this.model === null) {
      return { body: this.file.stream([whole]), sizeBytes: this.sizeBytes };
    }
    const { start, end, boundary } = this.model;
    if (/[\r\n\0]/.test(model) || model.includes(`--${boundary}`)) {
      throw new Error('upload: the model cannot stand in this form');
    }
    const value = Buffer.from(model);
    return {
      body: this.file.stream([{ start: 0, end: start }, value, { start: end, end: whole.end }]),
      sizeBytes: this.sizeBytes - (end - start) + value.length,
    };
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
