import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { refusal, type Refusal } from '../../domain/errors.js';
import type { MediaRequestFacts } from '../../domain/media.js';
import type { BufferBudget } from '../buffer-budget.js';
import { BODY_STALL_MS } from '../read-body.js';
import { audioDurationMs } from './audio-duration.js';
import { boundaryOf, MultipartScanner, type MultipartProblem } from './multipart-scanner.js';
import { SpooledBody } from './request-body.js';
import { isNoRoom, type Spool, type SpoolFile } from './spool.js';
import { factsOfFile, UploadForm, type UploadFacts } from './upload-form.js';

/** What of an upload may wait for the disk before the client is told to wait. */
const PENDING_MAX_BYTES = 1024 * 1024;

export type UploadKind = 'multipart' | 'binary';

/** How an upload of this content type is read; null: not here (JSON, or nothing we take). */
export function uploadKindOf(contentType: string | undefined): UploadKind | null {
  const type = (contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (type === 'multipart/form-data') return 'multipart';
  return /^(?:audio|image|video)\/[\w.+-]+$|^application\/octet-stream$/.test(type)
    ? 'binary'
    : null;
}

export interface Upload extends UploadFacts {
  readonly body: SpooledBody;
  /** What its price and its hold need; asks the file for its duration where that is wanted. */
  readonly media: (wanted: { readonly isDurationWanted: boolean }) => Promise<MediaRequestFacts>;
}

export type UploadReading =
  | { readonly kind: 'read'; readonly upload: Upload }
  /** 400: not a form that everybody reads alike, or a field that we read is wrong. */
  | { readonly kind: 'invalid'; readonly field: string | null; readonly message: string }
  | { readonly kind: 'too_large' | 'no_memory' | 'no_room' | 'stalled' | 'client_gone' };

export interface UploadOptions {
  readonly spool: Spool;
  readonly budget: BufferBudget;
  readonly maxBytes: number;
  /** False where the route names the model. */
  readonly isModelRequired: boolean;
  /** A digest costs a pass over all bytes: only where an idempotency key needs one. */
  readonly isDigestWanted: boolean;
  readonly stallMs?: number;
}

/**
 * Takes an upload into a file while it arrives, reading it in passing. What is returned as `read` is
 * complete and lies on disk; the caller closes its body at the end of the call. Anything else has
 * been cleaned up, and the rest of the request is left unread.
 */
export async function readUpload(
  request: IncomingMessage,
  kind: UploadKind,
  options: UploadOptions,
): Promise<UploadReading> {
  const contentType = request.headers['content-type'] ?? '';
  const boundary = kind === 'multipart' ? boundaryOf(contentType) : null;
  if (kind === 'multipart' && boundary === null) {
    return {
      kind: 'invalid',
      field: null,
      message: 'The content type multipart/form-data must name its `boundary`, once.',
    };
  }
  const declared = Number(request.headers['content-length'] ?? Number.NaN);
  if (declared > options.maxBytes) return { kind: 'too_large' };
  let file: SpoolFile;
  try {
    file = await options.spool.create();
  } catch (error) {
    if (isNoRoom(error)) return { kind: 'no_room' };
    throw error;
  }
  let isKept = false;
  try {
    const reading = await takeIn(request, file, boundary, options);
    isKept = reading.kind === 'read';
    return reading;
  } catch (error) {
    if (isNoRoom(error)) return { kind: 'no_room' };
    throw error;
  } finally {
    if (!isKept) await file.close();
  }
}

/** What the caller is told where an upload could not be taken; null: nobody is there to be told. */
export function uploadRefusal(
  reading: Exclude<UploadReading, { kind: 'read' }>,
  maxBytes: number,
): Refusal | null {
  switch (reading.kind) {
    case 'invalid':
      return refusal('invalid_request', reading.message, { param: reading.field });
    case 'too_large':
      return refusal('request_too_large', `The upload is larger than ${maxBytes} bytes.`);
    case 'no_memory':
      return refusal(
        'overloaded',
        'Too many large requests are in flight. Try again in a moment.',
        { retryAfterS: 1 },
      );
    case 'no_room':
      return refusal(
        'overloaded',
        'There is no room on disk for this upload just now. Nothing was forwarded; try again later.',
        { retryAfterS: 10 },
      );
    case 'stalled':
      return refusal('request_timeout', 'The body did not arrive: nothing came for 30 seconds.');
    case 'client_gone':
      return null;
  }
}

async function takeIn(
  request: IncomingMessage,
  file: SpoolFile,
  boundary: string | null,
  options: UploadOptions,
): Promise<UploadReading> {
  const form = new UploadForm(options);
  const scanner = boundary === null ? null : new MultipartScanner(boundary, form);
  const plainDigest = scanner === null && options.isDigestWanted ? createHash('sha256') : null;
  const failed = await new UploadReader(request, file, options, (chunk) => {
    plainDigest?.update(chunk);
    return scanner?.push(chunk) ?? null;
  }).run();
  if (failed !== null) return failed;
  if (scanner === null || boundary === null) {
    if (options.isModelRequired) return { kind: 'invalid', ...NO_MODEL };
    const facts = factsOfFile(file.sizeBytes, request.headers['content-type'] ?? '');
    const digest = plainDigest?.digest() ?? Buffer.alloc(0);
    return { kind: 'read', upload: uploadOf(file, facts, new SpooledBody(file, null, digest)) };
  }
  const problem = scanner.end();
  if (problem !== null) return { kind: 'invalid', ...problem };
  const facts = form.facts(options.isModelRequired);
  if ('message' in facts) return { kind: 'invalid', ...facts };
  const span = form.modelSpan;
  const model = span === null ? null : { ...span, boundary };
  return {
    kind: 'read',
    upload: uploadOf(file, facts, new SpooledBody(file, model, form.digest)),
  };
}

const NO_MODEL: MultipartProblem = {
  field: 'model',
  message: '`model` is missing: send multipart/form-data with a field of that name.',
};

function uploadOf(file: SpoolFile, facts: UploadFacts, body: SpooledBody): Upload {
  const { n, pixels, videoMs, audioBytes } = facts;
  return {
    ...facts,
    body,
    media: async ({ isDurationWanted }) => {
      const sounds = facts.files.filter(({ contentType }) => !/^image\//.test(contentType ?? ''));
      const [sound] = sounds;
      // Of several nobody knows which is meant.
      const isOne = isDurationWanted && sound !== undefined && sounds.length === 1;
      const audioMs = isOne ? await audioDurationMs(file, sound) : null;
      return {
        n,
        pixels,
        videoMs,
        characters: null,
        audioBytes,
        audioMs,
        isAudioElsewhere: false,
      };
    },
  };
}

type Failed = Exclude<UploadReading, { kind: 'read' }>;

/** Moves a request's bytes to the file, as fast as the disk takes them. */
class UploadReader {
  private readonly queue: Buffer[] = [];
  private pendingBytes = 0;
  private sizeBytes = 0;
  private hasEnded = false;
  private isOver = false;
  private writing: Promise<void> | null = null;
  private stall: NodeJS.Timeout | null = null;
  private resolve: (failed: Failed | null) => void = () => undefined;
  private reject: (error: unknown) => void = () => undefined;

  constructor(
    private readonly request: IncomingMessage,
    private readonly file: SpoolFile,
    private readonly options: UploadOptions,
    private readonly inspect: (chunk: Buffer) => MultipartProblem | null,
  ) {}

  /** Null: all of it is on disk. Rejects with what the file system says. */
  run(): Promise<Failed | null> {
    const { request } = this;
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      this.watch();
      request
        .on('data', this.onData)
        .on('end', this.onEnd)
        .on('close', this.onGone)
        .on('error', this.onGone);
      // It left while the file was made.
      if (request.destroyed) this.onGone();
    });
  }

  private readonly onData = (chunk: Buffer): void => {
    const { options, request } = this;
    this.sizeBytes += chunk.length;
    if (this.sizeBytes > options.maxBytes) this.finish({ kind: 'too_large' });
    else if (!options.budget.take(chunk.length)) this.finish({ kind: 'no_memory' });
    else {
      this.pendingBytes += chunk.length;
      this.queue.push(chunk);
      const problem = this.inspect(chunk);
      if (problem !== null) {
        this.finish({ kind: 'invalid', ...problem });
        return;
      }
      if (this.pendingBytes > PENDING_MAX_BYTES) {
        request.pause();
        this.unwatch();
      } else this.watch();
      this.writing ??= this.write();
    }
  };

  private readonly onEnd = (): void => {
    this.hasEnded = true;
    this.unwatch();
    if (this.writing === null) this.finish(null);
  };

  private readonly onGone = (): void => {
    if (!this.hasEnded) this.finish({ kind: 'client_gone' });
  };

  private async write(): Promise<void> {
    try {
      for (;;) {
        const chunk = this.queue.shift();
        if (chunk === undefined) break;
        const hasRoom = await this.file.write(chunk).finally(() => {
          this.pendingBytes -= chunk.length;
          this.options.budget.give(chunk.length);
        });
        if (this.isOver) return;
        if (!hasRoom) {
          this.finish({ kind: 'no_room' });
          return;
        }
        if (this.request.isPaused() && this.pendingBytes <= PENDING_MAX_BYTES / 2) {
          this.request.resume();
          this.watch();
        }
      }
      this.writing = null;
      if (this.hasEnded) this.finish(null);
    } catch (error) {
      this.stop();
      this.reject(error);
    }
  }

  /** Only the client's silence counts, not our own. */
  private watch(): void {
    if (this.stall !== null) {
      this.stall.refresh();
      return;
    }
    this.stall = setTimeout(() => {
      this.finish({ kind: 'stalled' });
    }, this.options.stallMs ?? BODY_STALL_MS);
  }

  private unwatch(): void {
    if (this.stall !== null) clearTimeout(this.stall);
    this.stall = null;
  }

  private finish(failed: Failed | null): void {
    if (this.isOver) return;
    this.stop();
    this.resolve(failed);
  }

  private stop(): void {
    this.isOver = true;
    this.unwatch();
    const { request, onData, onEnd, onGone } = this;
    request.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone);
    for (const chunk of this.queue) {
      this.options.budget.give(chunk.length);
      this.pendingBytes -= chunk.length;
    }
    this.queue.length = 0;
  }
}
