import type { IncomingMessage } from 'node:http';
import { jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { sendError } from './interruption.js';

/** What a result is made of. */
export type Product = 'image' | 'video' | 'audio' | 'text';

interface FileKind {
  readonly extension: string;
  readonly contentType: string;
  readonly bytes: Buffer;
}

const WAV_HEADER_BYTES = 44;
const WAV_BYTES_PER_SECOND = 16_000;

/** One second of silence: 8,000 samples of 16 bits. */
function silence(): Buffer {
  const wav = Buffer.alloc(WAV_HEADER_BYTES + WAV_BYTES_PER_SECOND);
  wav.write('RIFF', 0);
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write('WAVEfmt ', 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(8_000, 24);
  wav.writeUInt32LE(WAV_BYTES_PER_SECOND, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36);
  wav.writeUInt32LE(WAV_BYTES_PER_SECOND, 40);
  return wav;
}

/** A picture of one pixel, whatever size was asked for. */
export const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

const kinds: Readonly<Record<Exclude<Product, 'text'>, FileKind>> = {
  image: { extension: 'png', contentType: 'image/png', bytes: PICTURE },
  // An `ftyp` box and an empty `mdat`: enough to be recognized as a film.
  video: {
    extension: 'mp4',
    contentType: 'video/mp4',
    bytes: Buffer.from('AAAAGGZ0eXBtcDQyAAAAAG1wNDJpc29tAAAACG1kYXQ=', 'base64'),
  },
  audio: { extension: 'wav', contentType: 'audio/wav', bytes: silence() },
};

/** A finished result's file as answers describe it. */
export interface MediaFile {
  readonly url: string;
  readonly contentType: string;
  readonly name: string;
  readonly size: number;
}

/** The `n`-th file of a job, at this simulator under the host name that the caller used. */
export function mediaFile(
  req: IncomingMessage,
  product: Exclude<Product, 'text'>,
  jobId: string,
  n: number,
): MediaFile {
  const { extension, contentType, bytes } = kinds[product];
  const name = `${n}.${extension}`;
  const url = `http://${req.headers.host ?? 'localhost'}/_media/${jobId}/${name}`;
  return { url, contentType, name, size: bytes.length };
}

/** `GET /_media/{job}/{n}.{extension}`: no key needed, as with any provider's delivery host. */
export function serveMediaFile(exchange: Exchange, extension: string): void {
  const kind = Object.values(kinds).find((known) => known.extension === extension);
  if (kind === undefined) sendError(exchange, jsonError(404, { error: 'Not Found' }), {});
  else exchange.answer(200, { 'content-type': kind.contentType }, kind.bytes);
}
