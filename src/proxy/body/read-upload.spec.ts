import fc from 'fast-check';
import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BufferBudget } from '../buffer-budget.js';
import {
  readUpload,
  type Upload,
  uploadKindOf,
  type UploadOptions,
  type UploadReading,
  uploadRefusal,
} from './read-upload.js';
import { Spool } from './spool.js';

const BUDGET_BYTES = 8 * 1024 * 1024;
const SPOOL_BYTES = 64 * 1024 * 1024;

let directory = '';
let spool: Spool;
let budget: BufferBudget;
let server: Server;
let port = 0;
let options: Partial<UploadOptions> = {};
let onReading: (reading: UploadReading) => void = () => undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'spool-'));
  spool = new Spool(directory, SPOOL_BYTES);
  budget = new BufferBudget(BUDGET_BYTES);
  server = createServer((request, response) => {
    void readHere(request).then((reading) => {
      response.end();
      onReading(reading);
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  port = (server.address() as AddressInfo).port;
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  await rm(directory, { recursive: true });
});

function readHere(request: IncomingMessage): Promise<UploadReading> {
  const kind = uploadKindOf(request.headers['content-type']);
  if (kind === null) throw new Error('no upload');
  return readUpload(request, kind, {
    spool,
    budget,
    maxBytes: 16 * 1024 * 1024,
    isModelRequired: true,
    isDigestWanted: false,
    ...options,
  });
}

interface Sent {
  readonly chunks: readonly Buffer[];
  readonly type: string;
  readonly with?: Partial<UploadOptions>;
  /** Sends no length, so that it is only found out while it arrives. */
  readonly isChunked?: boolean;
  /** What is done instead of ending the body. */
  readonly then?: (socket: Socket) => void;
}

/** Sends a body over a socket of its own and gives what was read of it. */
async function send({
  chunks,
  type,
  with: own = {},
  isChunked = false,
  then,
}: Sent): Promise<UploadReading> {
  options = own;
  const size = chunks.reduce((sum, { length }) => sum + length, 0) + (then === undefined ? 0 : 10);
  const reading = new Promise<UploadReading>((resolve) => {
    onReading = resolve;
  });
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined).resume();
  const framing = isChunked ? 'transfer-encoding: chunked' : `content-length: ${size}`;
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\n${framing}\r\n\r\n`);
  for (const chunk of chunks) {
    if (chunk.length === 0) continue;
    const bytes = isChunked ? [`${chunk.length.toString(16)}\r\n`, chunk, '\r\n'] : [chunk];
    for (const one of bytes) socket.write(one);
  }
  if (then !== undefined) then(socket);
  else if (isChunked) socket.write('0\r\n\r\n');
  try {
    return await reading;
  } finally {
    socket.destroy();
  }
}

const BOUNDARY = '----b0undary';
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

function field(name: string, value: Buffer | string, extra = ''): Buffer {
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${extra}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(value), Buffer.from('\r\n')]);
}

function file(content: Buffer, type = 'audio/wav'): Buffer {
  return field('file', content, `; filename="a.wav"\r\nContent-Type: ${type}`);
}

function form(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

async function taken(sent: Sent): Promise<Upload> {
  const reading = await send(sent);
  if (reading.kind !== 'read') throw new Error(JSON.stringify(reading));
  return reading.upload;
}

async function bytesOf(body: Buffer | AsyncIterable<Buffer>): Promise<Buffer> {
  if (Buffer.isBuffer(body)) return body;
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function expectNothingIsLeft(): Promise<void> {
  expect(await readdir(directory)).toEqual([]);
  expect(budget.take(BUDGET_BYTES)).toBe(true);
  budget.give(BUDGET_BYTES);
  const all = await spool.create();
  // Nothing is counted that is not there.
  expect((spool as unknown as { usedBytes: number }).usedBytes).toBe(0);
  await all.close();
}

/** A second of silence, 16 bit mono at 8 kHz, behind a true header. */
function wavOf(seconds: number): Buffer {
  const dataBytes = seconds * 16_000;
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + dataBytes, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8_000, 24);
  head.writeUInt32LE(16_000, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(dataBytes, 40);
  return Buffer.concat([head, Buffer.alloc(dataBytes)]);
}

describe('an upload', () => {
  it('is forwarded as it came, as often as wanted, wherever the model stands', async () => {
    const body = form(
      field('language', 'en'),
      file(wavOf(1)),
      field('model', 'openai/whisper'),
      field('response_format', 'verbose_json'),
      field('stream', 'false'),
    );
    const upload = await taken({ chunks: [body.subarray(0, 99), body.subarray(99)], type: TYPE });
    expect(upload.facts).toMatchObject({ model: 'openai/whisper', stream: false });
    expect(upload).toMatchObject({ responseFormat: 'verbose_json', audioBytes: 16_044 });
    expect(upload.body.sizeBytes).toBe(body.length);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const opened = upload.body.open({});
      expect((await bytesOf(opened.body)).equals(body)).toBe(true);
      expect(opened.sizeBytes).toBe(body.length);
    }
    const other = upload.body.open({ model: 'openai/whisper:provider-ü' });
    const wanted = body.toString('latin1').replace(/whisper/, 'whisper:provider-Ã¼');
    const sent = await bytesOf(other.body);
    expect(sent.toString('latin1')).toBe(wanted);
    expect(other.sizeBytes).toBe(sent.length);
    await upload.body.close();
    await upload.body.close();
    await expectNothingIsLeft();
  });

  it('is never given a model that would be another form', async () => {
    const upload = await taken({ chunks: [form(field('model', 'm'))], type: TYPE });
    for (const model of [`x--${BOUNDARY}`, 'a\r\nb', 'a\0']) {
      expect(() => upload.body.open({ model })).toThrow(/model/);
    }
    await upload.body.close();
  });

  it('reaches a provider through undici with its length, again after a broken attempt', async () => {
    const body = form(file(Buffer.alloc(3_000_000, 7)), field('model', 'm'));
    const upload = await taken({ chunks: [body], type: TYPE });
    const bodies: Buffer[] = [];
    const provider = createServer((request, response) => {
      if (bodies.length === 0) {
        bodies.push(Buffer.alloc(0));
        request.socket.destroy();
        return;
      }
      void bytesOf(request).then((bytes) => {
        bodies.push(bytes);
        response.end(request.headers['content-length']);
      });
    });
    await new Promise<void>((listening) => provider.listen(0, '127.0.0.1', listening));
    const pool = new Pool(`http://127.0.0.1:${(provider.address() as AddressInfo).port}`);
    const post = async (): Promise<string> => {
      const opened = upload.body.open({ model: 'other' });
      const headers = { 'content-type': TYPE, 'content-length': String(opened.sizeBytes) };
      const answer = await pool.request({ method: 'POST', path: '/', headers, body: opened.body });
      return answer.body.text();
    };
    await expect(post()).rejects.toThrow();
    expect(await post()).toBe(String(body.length + 4));
    expect(bodies[1]?.includes('name="model"\r\n\r\nother\r\n')).toBe(true);
    await pool.close();
    provider.closeAllConnections();
    await new Promise((closed) => provider.close(closed));
    await upload.body.close();
    await expectNothingIsLeft();
  });

  it('has no name on disk, and nobody else may read it', async () => {
    const opened = await spool.create();
    await opened.write(Buffer.from('secret'));
    expect(await readdir(directory)).toEqual([]);
    expect((await opened.read(0, 99)).toString()).toBe('secret');
    await opened.close();
    await expect(bytesOf(opened.stream([{ start: 0, end: 6 }]))).rejects.toThrow();
  });

  it('of a process that died is removed when the next one starts', async () => {
    const stale = join(directory, 'x.upload');
    await writeFile(stale, 'old');
    await utimes(stale, new Date(0), new Date(0));
    await writeFile(join(directory, 'y.upload'), 'new');
    await new Spool(directory, SPOOL_BYTES).prepare();
    expect(await readdir(directory)).toEqual(['y.upload']);
    await rm(join(directory, 'y.upload'));
    const fresh = new Spool(join(directory, 'not', 'there'), SPOOL_BYTES);
    await fresh.prepare();
    expect((await stat(join(directory, 'not', 'there'))).mode & 0o777).toBe(0o700);
    await rm(join(directory, 'not'), { recursive: true });
  });

  it('that is a file and nothing else needs no form', async () => {
    const body = wavOf(2);
    const type = 'audio/wav';
    const own = { isModelRequired: false };
    const upload = await taken({ chunks: [body], type, with: own });
    expect(upload.facts.model).toBeNull();
    expect(upload.audioBytes).toBe(body.length);
    expect(await upload.media({ isDurationWanted: true })).toMatchObject({ audioMs: 2_000n });
    expect((await bytesOf(upload.body.open({ model: 'ignored' }).body)).equals(body)).toBe(true);
    await upload.body.close();
    expect(await send({ chunks: [body], type })).toMatchObject({ kind: 'invalid', field: 'model' });
    await expectNothingIsLeft();
  });

  it('is bound to its key by what it says, not by its boundary', async () => {
    const own = { isDigestWanted: true };
    const digestOf = async (body: Buffer, type = TYPE): Promise<string> => {
      const upload = await taken({ chunks: [body], type, with: own });
      await upload.body.close();
      return upload.body.digest.toString('hex');
    };
    const body = form(file(Buffer.from('abc')), field('model', 'm'));
    const again = Buffer.from(body.toString('latin1').replaceAll(BOUNDARY, 'other'), 'latin1');
    const digest = await digestOf(body);
    expect(digest).toHaveLength(64);
    expect(await digestOf(again, 'multipart/form-data; boundary=other')).toBe(digest);
    expect(await digestOf(form(file(Buffer.from('abd')), field('model', 'm')))).not.toBe(digest);
    expect(await digestOf(form(field('model', 'm'), file(Buffer.from('abc'))))).not.toBe(digest);
  });
});

describe('an upload is refused', () => {
  const model = field('model', 'm');

  it.each<[string | null, string, Buffer]>([
    ['model', 'no model', form(file(wavOf(1)))],
    ['model', 'an empty model', form(field('model', ''))],
    ['model', 'two models', form(model, field('model', 'other'))],
    ['model', 'two equal models', form(model, file(wavOf(1)), model)],
    ['model', 'a model as a file', form(field('model', 'm', '; filename="m"'))],
    ['model', 'a long model', form(field('model', 'm'.repeat(257)))],
    ['model', 'spaces around the model', form(field('model', ' m'))],
    ['model', 'a line end in the model', form(field('model', 'm\r\nx'))],
    ['model', 'a model that is no UTF-8', form(field('model', Buffer.from([0xff])))],
    [
      'model',
      'another charset',
      form(field('model', 'm', '\r\nContent-Type: text/plain; charset=utf-16')),
    ],
    ['prompt', 'two prompts', form(model, field('prompt', 'a'), field('prompt', 'b'))],
    ['prompt', 'a huge prompt', form(model, field('prompt', Buffer.alloc(1_048_577, 97)))],
    [
      'other',
      'a huge field of another name',
      form(model, field('other', Buffer.alloc(1_048_577, 97))),
    ],
    ['n', 'no number', form(model, field('n', 'two'))],
    ['stream', 'neither true nor false', form(model, field('stream', 'maybe'))],
    [
      'file',
      'too many files',
      form(model, ...Array.from({ length: 33 }, () => file(Buffer.alloc(1)))),
    ],
    [null, 'too many parts', form(model, ...Array.from({ length: 128 }, () => field('a', '')))],
    [null, 'no end', model],
  ])('naming %s: %s', async (name, _why, body) => {
    const reading = await send({ chunks: [body], type: TYPE });
    expect(reading).toMatchObject({ kind: 'invalid', field: name });
    if (reading.kind !== 'invalid') return;
    expect(reading.message).toMatch(/\.$/);
    expect(uploadRefusal(reading, 1)).toMatchObject({ code: 'invalid_request' });
    await expectNothingIsLeft();
  });

  it('without a boundary', async () => {
    for (const type of ['multipart/form-data', 'multipart/form-data; boundary=a; boundary=b']) {
      const reading = await send({ chunks: [form(model)], type });
      expect(reading).toMatchObject({ kind: 'invalid', field: null });
    }
  });

  it('when it is too large, declared or not', async () => {
    const body = form(model, file(Buffer.alloc(200_000)));
    const own = { maxBytes: 100_000 };
    for (const isChunked of [false, true]) {
      const reading = await send({ chunks: [body], type: TYPE, with: own, isChunked });
      expect(reading.kind).toBe('too_large');
    }
    await expectNothingIsLeft();
  });

  it('when it stalls, and when the client leaves', async () => {
    const chunks = [model];
    const stallMs = 50;
    const stalled = await send({ chunks, type: TYPE, with: { stallMs }, then: () => undefined });
    expect(stalled.kind).toBe('stalled');
    const gone = await send({
      chunks,
      type: TYPE,
      then: (socket) => {
        socket.end();
      },
    });
    expect(gone.kind).toBe('client_gone');
    await expectNothingIsLeft();
  });

  it('with 503 when the disk is full, or memory is', async () => {
    const body = form(model, file(Buffer.alloc(200_000)));
    const small = new Spool(directory, 100_000);
    const full = await send({ chunks: [body], type: TYPE, with: { spool: small } });
    expect(full.kind).toBe('no_room');
    if (full.kind === 'no_room')
      expect(uploadRefusal(full, 1)).toMatchObject({ code: 'overloaded' });
    const path = join(directory, 'a-file');
    await writeFile(path, '');
    const nowhere = new Spool(path, SPOOL_BYTES);
    expect((await send({ chunks: [body], type: TYPE, with: { spool: nowhere } })).kind).toBe(
      'no_room',
    );
    await rm(path);
    const tiny = new BufferBudget(1_000);
    expect((await send({ chunks: [body], type: TYPE, with: { budget: tiny } })).kind).toBe(
      'no_memory',
    );
    await expectNothingIsLeft();
  });

  it.skipIf(process.platform !== 'linux')(
    'with 503 when a write fails for want of room',
    async () => {
      // /dev/full is a disk without room.
      const { open } = await import('node:fs/promises');
      const handle = await open('/dev/full', 'r+');
      const { SpoolFile } = await import('./spool.js');
      const room = { take: () => true, give: () => undefined };
      const full = { create: () => Promise.resolve(new SpoolFile(handle, room)) };
      const own = { spool: full as unknown as Spool };
      const reading = await send({ chunks: [form(model)], type: TYPE, with: own });
      expect(reading.kind).toBe('no_room');
      await expectNothingIsLeft();
    },
  );
});

describe('the duration of a sound file', () => {
  const durationOf = async (...sounds: readonly Buffer[]): Promise<bigint | null> => {
    const chunks = [form(...sounds.map((sound) => file(sound)), field('model', 'm'))];
    const upload = await taken({ chunks, type: TYPE });
    try {
      return (await upload.media({ isDurationWanted: true })).audioMs;
    } finally {
      await upload.body.close();
    }
  };

  it('is read from the file where it lies in the form', async () => {
    expect(await durationOf(wavOf(3))).toBe(3_000n);
    expect(await durationOf(wavOf(1), wavOf(2))).toBeNull();
  });

  it('is unknown where the file says nothing, or nonsense', async () => {
    expect(await durationOf(Buffer.alloc(0))).toBeNull();
    expect(await durationOf(Buffer.from('not a sound'))).toBeNull();
    const tag = Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0x7f, 0x7f, 0x7f, 0x7f]);
    expect(await durationOf(Buffer.concat([tag, Buffer.alloc(1_000)]))).toBeNull();
    const lying = wavOf(1);
    lying.writeUInt32LE(0xffff_ffff, 40);
    lying.writeUInt32LE(0, 28);
    expect(await durationOf(lying)).not.toBeNaN();
  });

  it('never throws and ends soon, whatever is in the file', async () => {
    const heads = fc.constantFrom(
      'RIFF',
      'ID3',
      'OggS',
      'fLaC',
      'ftyp',
      '\xff\xfb',
      '\x1aE\xdf\xa3',
      'FORM',
      'MAC ',
    );
    const bytes = fc
      .tuple(heads, fc.uint8Array({ maxLength: 400 }), fc.nat(3_000))
      .map(([head, tail, length]) =>
        Buffer.concat([Buffer.from(head, 'latin1'), tail, Buffer.alloc(length)]),
      );
    await fc.assert(
      fc.asyncProperty(bytes, async (content) => {
        const duration = await durationOf(content);
        expect(duration === null || duration >= 0n).toBe(true);
      }),
      { numRuns: 60 },
    );
    await expectNothingIsLeft();
  });
});
