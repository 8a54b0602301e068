import { Busboy, type BusboyHeaders } from '@fastify/busboy';
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { hashText } from './random.js';
import { wavLengthMs } from './wav.js';

/** What is known of a form once it has passed by. */
export interface Upload {
  readonly fields: ReadonlyMap<string, string>;
  /** The part named `file`; null when there was none. */
  readonly file: UploadedFile | null;
}

export interface UploadedFile {
  readonly name: string;
  readonly bytes: number;
  /** Read out of a WAV header, else as if it were 128 kbit/s. */
  readonly lengthMs: number;
  /** Of its beginning and its length. */
  readonly hash: number;
}

/** All of a file that is kept. */
const HEAD_BYTES = 4 * 1024;
const BYTES_PER_MS = 16;
const FIELD_MAX_BYTES = 1024 * 1024;

/**
 * Reads a multipart form in passing: of a file only its first bytes are kept, however long it is. Null:
 * the body is no form. Rejects when the client leaves before its end.
 */
export async function readUpload(
  source: Readable,
  sent: IncomingHttpHeaders,
  seed: number,
): Promise<Upload | null> {
  const type = sent['content-type'];
  if (type?.startsWith('multipart/form-data') !== true) {
    source.resume();
    return null;
  }
  const fields = new Map<string, string>();
  let file: FileMeter | null = null;
  const headers: BusboyHeaders = { ...sent, 'content-type': type };
  const form = new Busboy({ headers, limits: { fieldSize: FIELD_MAX_BYTES } });
  form.on('field', (name, value) => {
    // `timestamp_granularities[]` may come several times: the last one is as good as any.
    fields.set(name, value);
  });
  form.on('file', (field, stream, name) => {
    const meter = new FileMeter(name);
    if (field === 'file') file = meter;
    stream.on('data', (bytes: Buffer) => {
      meter.add(bytes);
    });
  });
  try {
    await pipeline(source, form);
  } catch (error) {
    // A form that breaks off with its connection reaches nobody; one that is merely wrong is refused.
    if (!source.readableEnded) throw error;
    return null;
  }
  return { fields, file: fileOf(file, seed) };
}

function fileOf(meter: FileMeter | null, seed: number): UploadedFile | null {
  return meter === null ? null : meter.file(seed);
}

class FileMeter {
  private bytes = 0;
  private head: Buffer = Buffer.alloc(0);

  constructor(private readonly name: string) {}

  add(bytes: Buffer): void {
    const missing = HEAD_BYTES - this.head.length;
    if (missing > 0) this.head = Buffer.concat([this.head, bytes.subarray(0, missing)]);
    this.bytes += bytes.length;
  }

  file(seed: number): UploadedFile {
    const { name, bytes, head } = this;
    const lengthMs = wavLengthMs(head, bytes) ?? Math.floor(bytes / BYTES_PER_MS);
    return { name, bytes, lengthMs, hash: hashText(head.toString('latin1'), seed ^ bytes) };
  }
}
