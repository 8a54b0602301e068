import { MS_PER_SECOND, quantityOf } from '../../domain/media.js';
import type { SpoolFile } from './spool.js';

/** More than a well-formed file of the largest size needs. */
const READS_MAX = 200_000;
const TIME_MAX_MS = 1_000;
/** Only a tag with pictures or a table of samples has pieces so large; neither is asked for. */
const PIECE_MAX_BYTES = 16 * 1024 * 1024;
const TOTAL_MAX_BYTES = 256 * 1024 * 1024;
const BLOCK_BYTES = 64 * 1024;
/** Reads that a block in memory answers never leave the event loop: now and then they must. */
const READS_PER_TURN = 64;

/**
 * How long a file of sound plays, by its own word, in ms; null where it does not say, is no sound we
 * know, or is made to keep us busy. Never throws.
 */
export async function audioDurationMs(
  file: SpoolFile,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<bigint | null> {
  try {
    // Loaded late: most processes never see an upload.
    const { parseBlob } = await import('music-metadata');
    const source = new BoundedSource(file, start, end - start);
    const { format } = await parseBlob(source.asBlob(), { duration: true, skipCovers: true });
    const seconds = format.duration;
    if (seconds === undefined || !Number.isFinite(seconds) || seconds <= 0) return null;
    const reading = quantityOf(seconds.toFixed(6), MS_PER_SECOND);
    return reading.ok ? reading.quantity : null;
  } catch {
    // Whatever is wrong with the caller's file, it is not ours to judge: the provider will.
    return null;
  }
}

/** A range of the file as the reader of sound files wants it, with an end to its patience. */
class BoundedSource {
  private readonly deadlineMs = performance.now() + TIME_MAX_MS;
  private reads = 0;
  private bytes = 0;
  private block: { readonly at: number; readonly bytes: Buffer } = {
    at: 0,
    bytes: Buffer.alloc(0),
  };

  constructor(
    private readonly file: SpoolFile,
    private readonly start: number,
    private readonly sizeBytes: number,
  ) {}

  /** As much of a Blob as is read: its size, and slices. The type is left to the content. */
  asBlob(): Blob {
    const slice = (from = 0, to = this.sizeBytes): Pick<Blob, 'arrayBuffer'> => ({
      arrayBuffer: () => this.read(from, Math.min(to, this.sizeBytes)),
    });
    return { size: this.sizeBytes, type: '', slice } as unknown as Blob;
  }

  private async read(from: number, to: number): Promise<ArrayBuffer> {
    const length = Math.max(0, to - from);
    this.reads += 1;
    this.bytes += length;
    const isTooMuch =
      this.reads > READS_MAX || length > PIECE_MAX_BYTES || this.bytes > TOTAL_MAX_BYTES;
    if (isTooMuch || performance.now() > this.deadlineMs) throw new Error('too much to read');
    if (this.reads % READS_PER_TURN === 0) await new Promise((wake) => setImmediate(wake));
    const piece = await this.piece(from, length);
    return new Uint8Array(piece).buffer;
  }

  private async piece(from: number, length: number): Promise<Buffer> {
    if (length > BLOCK_BYTES) return this.file.read(this.start + from, length);
    const { at, bytes } = this.block;
    if (from < at || from + length > at + bytes.length) {
      const most = Math.min(BLOCK_BYTES, this.sizeBytes - from);
      this.block = { at: from, bytes: await this.file.read(this.start + from, Math.max(0, most)) };
    }
    const offset = from - this.block.at;
    return this.block.bytes.subarray(offset, offset + length);
  }
}
