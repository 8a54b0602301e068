import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';

/** A file that still has a name after so long was left by a process that died. */
const STALE_MS = 60_000;
const READ_BYTES = 64 * 1024;
const OWNER_ONLY = 0o600;
const DIRECTORY_MODE = 0o700;

/** The disk, its quota, or the process's file descriptors are used up: no fault of the caller. */
const NO_ROOM: ReadonlySet<string> = new Set([
  'ENOSPC',
  'EDQUOT',
  'EFBIG',
  'EMFILE',
  'ENFILE',
  'EROFS',
  'EACCES',
  'EPERM',
  'ENOENT',
  'ENOTDIR',
  'EIO',
]);

/** Whether an error of the file system means that an upload cannot be taken just now. */
export function isNoRoom(error: unknown): boolean {
  return error instanceof Error && NO_ROOM.has((error as NodeJS.ErrnoException).code ?? '');
}

/** A piece of a body: bytes at hand, or a range of the file. */
export type SpoolSegment = Buffer | { readonly start: number; readonly end: number };

/**
 * Where uploads lie while they are read and forwarded: files without a name, which nobody else can
 * open and which are gone with the process, however it ends.
 */
export class Spool {
  private usedBytes = 0;

  /** @param maxBytes of all files together; what does not fit is refused, not queued. */
  constructor(
    private readonly directory: string,
    private readonly maxBytes: number,
  ) {}

  /** Makes the directory and removes what a process that died between two calls left in it. */
  async prepare(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: DIRECTORY_MODE });
    const staleBefore = Date.now() - STALE_MS;
    for (const name of await readdir(this.directory)) {
      const path = join(this.directory, name);
      try {
        if (name.endsWith('.upload') && (await stat(path)).mtimeMs < staleBefore) {
          await unlink(path);
        }
      } catch (error) {
        // Another process on the same directory was faster.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }

  /** A new empty file. Throws what the file system says; see `isNoRoom`. */
  async create(): Promise<SpoolFile> {
    const path = join(this.directory, `${randomUUID()}.upload`);
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
    const flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR;
    let handle: FileHandle;
    try {
      handle = await open(path, flags, OWNER_ONLY);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      // Somebody tidied up the data directory.
      await mkdir(this.directory, { recursive: true, mode: DIRECTORY_MODE });
      handle = await open(path, flags, OWNER_ONLY);
    }
    try {
      await unlink(path);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new SpoolFile(handle, {
      take: (bytes) => this.take(bytes),
      give: (bytes) => {
        this.usedBytes -= bytes;
      },
    });
  }

  private take(bytes: number): boolean {
    if (this.usedBytes + bytes > this.maxBytes) return false;
    this.usedBytes += bytes;
    return true;
  }
}

interface SpoolRoom {
  readonly take: (bytes: number) => boolean;
  readonly give: (bytes: number) => void;
}

/** One file without a name; exists until `close`. */
export class SpoolFile {
  private sizeBytesWritten = 0;
  private isClosed = false;

  constructor(
    private readonly handle: FileHandle,
    private readonly room: SpoolRoom,
  ) {}

  get sizeBytes(): number {
    return this.sizeBytesWritten;
  }

  /** Appends; one call at a time. False: all files together have become too large. */
  async write(chunk: Buffer): Promise<boolean> {
    if (!this.room.take(chunk.length)) return false;
    const start = this.sizeBytesWritten;
    this.sizeBytesWritten += chunk.length;
    let written = 0;
    while (written < chunk.length) {
      const left = chunk.length - written;
      const { bytesWritten } = await this.handle.write(chunk, written, left, start + written);
      written += bytesWritten;
    }
    return true;
  }

  /** Up to `length` bytes at a position; fewer only at the end of the file. */
  async read(position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.handle.read(
        buffer,
        filled,
        length - filled,
        position + filled,
      );
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  /** A stream of the segments in order; as many as wanted, each from its beginning. */
  stream(segments: readonly SpoolSegment[]): Readable {
    return new SegmentStream(this, segments);
  }

  /** Ends the file; streams that are still reading fail. May be called more than once. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.room.give(this.sizeBytesWritten);
    await this.handle.close();
  }
}

/** Reads at most one block ahead: the memory of an upload is that of one block. */
class SegmentStream extends Readable {
  private index = 0;
  private offset = 0;

  constructor(
    private readonly file: SpoolFile,
    private readonly segments: readonly SpoolSegment[],
  ) {
    super({ highWaterMark: READ_BYTES });
  }

  override _read(): void {
    const segment = this.segments[this.index];
    if (segment === undefined) {
      this.push(null);
      return;
    }
    if (Buffer.isBuffer(segment)) {
      this.index += 1;
      if (segment.length === 0) this._read();
      else this.push(segment);
      return;
    }
    const start = segment.start + this.offset;
    const length = Math.min(READ_BYTES, segment.end - start);
    if (length <= 0) {
      this.index += 1;
      this.offset = 0;
      this._read();
      return;
    }
    this.file.read(start, length).then(
      (block) => {
        if (block.length < length) {
          this.destroy(new Error('spool: the file is shorter than it was'));
          return;
        }
        this.offset += length;
        this.push(block);
      },
      (error: unknown) => {
        this.destroy(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }
}
