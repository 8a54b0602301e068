import { crc32, deflateSync } from 'node:zlib';
import type { Body } from './lying-body.js';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const CHUNK_OVERHEAD_BYTES = 12;
const PIECE_BYTES = 48 * 1024;

/** What a picture looks like. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 0xRRGGBB. */
  readonly color: number;
}

/**
 * A valid PNG of one color in its true size, a few hundred bytes long; filled up with a chunk that
 * readers skip to `bytes` where that is more. Only one piece is ever in memory.
 */
export function png(picture: Picture, bytes: number): Body {
  const { width, height, color } = picture;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // One bit per pixel, the color out of a palette.
  header.set([1, 3, 0, 0, 0], 8);
  const palette = Buffer.from([color >> 16, (color >> 8) & 255, color & 255]);
  const rows = deflateSync(Buffer.alloc((1 + Math.ceil(width / 8)) * height));
  const head = Buffer.concat([SIGNATURE, chunk('IHDR', header)]);
  const tail = Buffer.concat([
    chunk('PLTE', palette),
    chunk('IDAT', rows),
    chunk('IEND', Buffer.alloc(0)),
  ]);
  const missing = bytes - head.length - tail.length - CHUNK_OVERHEAD_BYTES;
  if (missing < 0) return { length: head.length + tail.length, pieces: [head, tail] };
  return {
    length: bytes,
    pieces: concatenated([[head], fillerChunk(missing, color), [tail]]),
  };
}

function chunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type), content]);
  return Buffer.concat([uint32(content.length), named, uint32(crc32(named))]);
}

/** A private chunk: lower case in its name tells readers that they may skip it. */
function* fillerChunk(length: number, seed: number): Iterable<Buffer> {
  const name = Buffer.from('siMp');
  yield Buffer.concat([uint32(length), name]);
  const piece = Buffer.alloc(PIECE_BYTES, `${seed.toString(16)}-tollgate-`);
  let sum = crc32(name);
  for (let left = length; left > 0; left -= piece.length) {
    const part = piece.subarray(0, left);
    sum = crc32(part, sum);
    yield part;
  }
  yield uint32(sum);
}

function* concatenated(parts: readonly Iterable<Buffer>[]): Iterable<Buffer> {
  for (const part of parts) yield* part;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The same bytes in base64, piece by piece. */
export function base64({ length, pieces }: Body): Body {
  return { length: 4 * Math.ceil(length / 3), pieces: base64Pieces(pieces) };
}

function* base64Pieces(pieces: Iterable<Buffer>): Iterable<Buffer> {
  let carry: Buffer = Buffer.alloc(0);
  for (const piece of pieces) {
    const bytes = carry.length === 0 ? piece : Buffer.concat([carry, piece]);
    const whole = bytes.length - (bytes.length % 3);
    if (whole > 0) yield Buffer.from(bytes.toString('base64', 0, whole), 'latin1');
    carry = bytes.subarray(whole);
  }
  if (carry.length > 0) yield Buffer.from(carry.toString('base64'), 'latin1');
}
