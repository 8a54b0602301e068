/** Bodies of media, as bytes on the wire: long ones, broken ones, and what they leave in the books. */
import { request } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BookEntry } from './books.js';
import { png } from './png.js';
import { startSimulator, type Simulator } from './server.js';
import { call, eventually } from './spec-client.js';
import { PER_IMAGE, SPEECH, TRANSCRIPTION } from './unlisted-models.js';
import { wavLengthMs } from './wav.js';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ seed: 3 });
});
afterAll(() => simulator.close());
beforeEach(() => {
  simulator.books.reset();
  simulator.faults.clear();
});

const MEGABYTE = 1024 * 1024;

function line(): BookEntry | undefined {
  return simulator.books.since().at(-1);
}

function image(sim: string, more: Record<string, unknown> = {}) {
  const body = { model: `${PER_IMAGE}:nebius`, prompt: `[[sim ${sim}]]`, ...more };
  return call(simulator, 'POST', '/v1/images/generations', body);
}

function speech(sim: string) {
  const body = { model: SPEECH, input: `[[sim ${sim}]]`, voice: 'alloy' };
  return call(simulator, 'POST', '/v1/audio/speech', body);
}

describe('an answer of 30 MB', () => {
  it('is valid JSON around valid pictures', async () => {
    const { text, headers, bytes } = await image('bytes=30000000', { n: 2 });
    expect(Math.abs(bytes.length - 30_000_000)).toBeLessThan(200);
    expect(headers['content-length']).toBe(String(bytes.length));
    const { data } = JSON.parse(text) as { data: { b64_json: string }[] };
    const picture = Buffer.from(data[1]?.b64_json ?? '', 'base64');
    expect(picture.subarray(-8, -4).toString()).toBe('IEND');
    expect(line()).toMatchObject({ billed: true, units: { image: 2n } });
  });

  it('is never whole in memory', () => {
    const { pieces, length } = png({ width: 8, height: 8, color: 0x102030 }, 30_000_000);
    let sum = 0;
    let longest = 0;
    for (const piece of pieces) {
      sum += piece.length;
      longest = Math.max(longest, piece.length);
    }
    expect(sum).toBe(length);
    expect(longest).toBeLessThan(64 * 1024);
  });

  it('waits for a client that does not read', async () => {
    const body = JSON.stringify({ model: SPEECH, input: '[[sim bytes=300000000]]' });
    const path = `${simulator.url}/v1/audio/speech`;
    const asked = request(path, { method: 'POST', agent: false }, (response) => response.pause());
    asked.on('error', () => undefined);
    asked.end(body);
    await eventually(() => simulator.books.since().length === 1);
    // A twin that is read to its end is done; the one that nobody reads still is not.
    await speech('bytes=1000000');
    await eventually(() => simulator.openRequests() < 2);
    expect(simulator.openRequests()).toBe(1);
    asked.destroy();
    await eventually(() => simulator.openRequests() === 0);
  });
});

describe('faults', () => {
  it.each(['reset-mid-stream', 'content-length-longer'])('%s breaks a picture', async (fault) => {
    const broken = await image(`fault=${fault}`);
    expect(broken.error).not.toBeNull();
    expect(line()?.billed).toBe(true);
  });

  it('breaks 30 MB in their middle', async () => {
    const broken = await image('bytes=30000000 fault=reset-mid-stream');
    expect(broken.error).toBe('ECONNRESET');
    expect(line()).toMatchObject({ outcome: 'faulted', units: { image: 1n } });
  });

  it.each([
    ['fault=500', 500],
    ['fault=503-loading', 503],
    ['fault=html-200', 200],
  ])('%s is billed to nobody', async (sim, status) => {
    for (const answer of [await image(sim), await speech(sim)]) {
      expect(answer.status).toBe(status);
      expect(line()).toMatchObject({ billed: false, units: {}, costPicoUsd: 0n });
    }
  });

  it('strike by standing order, of one task alone where told so', async () => {
    const order = { match: { route: 'speech' }, fault: '429' };
    await call(simulator, 'POST', '/_sim/faults', order);
    expect((await image('tag=a')).status).toBe(200);
    expect((await speech('tag=b')).status).toBe(429);
    expect((await speech('tag=c')).status).toBe(200);
  });
});

describe('the books', () => {
  it('show units as text and can be asked for a tag', async () => {
    await image('tag=shown');
    const { text } = await call(simulator, 'GET', '/_sim/books?tag=shown');
    const { entries } = JSON.parse(text) as { entries: unknown[] };
    expect(entries).toMatchObject([{ task: 'image', units: { image: '1', pixel: '1048576' } }]);
  });
});

describe('an upload of 200 MB', () => {
  it('passes by without being kept', async () => {
    const boundary = 'b0undary';
    const part = (head: string) =>
      `--${boundary}\r\ncontent-disposition: form-data; ${head}\r\n\r\n`;
    const piece = Buffer.alloc(MEGABYTE, 7);
    // The file first and the model last, as the client sends them.
    const asked = request(`${simulator.url}/v1/audio/transcriptions`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    });
    const answered = new Promise<string>((resolve, reject) => {
      asked.once('error', reject);
      asked.once('response', (response) => {
        let text = '';
        response.on('data', (bytes: Buffer) => (text += bytes.toString()));
        response.once('end', () => {
          resolve(text);
        });
      });
    });
    const before = process.memoryUsage().arrayBuffers;
    let highest = before;
    asked.write(part('name="file"; filename="long.mp3"'));
    for (let sent = 0; sent < 200; sent += 1) {
      if (!asked.write(piece)) await new Promise((resolve) => asked.once('drain', resolve));
      highest = Math.max(highest, process.memoryUsage().arrayBuffers);
    }
    asked.write(`\r\n${part('name="prompt"')}[[sim tag=long]]\r\n`);
    asked.end(`${part('name="model"')}${TRANSCRIPTION}\r\n--${boundary}--\r\n`);
    // 200 MB at 16 bytes a millisecond
    expect(JSON.parse(await answered)).toMatchObject({ usage: { seconds: 13_107.2 } });
    expect(line()).toMatchObject({ tag: 'long', units: { audio_ms: 13_107_200n } });
    expect(highest - before).toBeLessThan(60 * MEGABYTE);
  });

  it('that breaks off leaves nothing', async () => {
    const asked = request(`${simulator.url}/v1/audio/transcriptions`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'multipart/form-data; boundary=b0undary' },
    });
    asked.on('error', () => undefined);
    asked.write(
      '--b0undary\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
    );
    await eventually(() => simulator.openRequests() === 1);
    asked.destroy();
    await eventually(() => simulator.openRequests() === 0);
    expect(simulator.books.since()).toEqual([]);
  });

  it('that is no form, has no file or no model is refused', async () => {
    const refused = await call(simulator, 'POST', '/v1/audio/transcriptions', { model: 'm' });
    expect(refused.status).toBe(400);
    for (const missing of ['file', 'model']) {
      const form = new FormData();
      if (missing !== 'file') form.set('file', new Blob(['abc']), 'a.mp3');
      if (missing !== 'model') form.set('model', TRANSCRIPTION);
      const init = { method: 'POST', body: form };
      const answer = await fetch(`${simulator.url}/v1/audio/transcriptions`, init);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({ error: { param: missing } });
    }
    expect(simulator.books.since()).toEqual([]);
  });
});

describe('a WAV file', () => {
  it('is as long as its samples, not as a header that promises more', () => {
    const head = Buffer.alloc(60);
    head.write('RIFF', 0);
    head.write('WAVEfmt ', 8);
    head.writeUInt32LE(16, 16);
    head.writeUInt32LE(16_000, 28);
    // A chunk of odd length stands before the samples.
    head.write('LIST', 36);
    head.writeUInt32LE(3, 40);
    head.write('data', 48);
    head.writeUInt32LE(0xffff_ffff, 52);
    expect(wavLengthMs(head, 56 + 8_000)).toBe(500);
    head.writeUInt32LE(1_600, 52);
    expect(wavLengthMs(head, 56 + 8_000)).toBe(100);
    expect(wavLengthMs(Buffer.from('ID3'), 1_000)).toBeNull();
  });
});
