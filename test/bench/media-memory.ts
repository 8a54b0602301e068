/**
 * Memory of the built service while large media pass through it, one after the other and all of them
 * twice: `node dist/test/bench/media-memory.js [upload MB] [answer MB]`. Fails where an event is not
 * what the simulator billed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startSimulator, type Simulator } from '../../simulator/server.js';
import { PER_IMAGE, TRANSCRIPTION } from '../../simulator/unlisted-models.js';
import { unlistedOffers } from '../../simulator/unlisted-prices.js';
import { formatUsd } from '../../src/domain/money.js';
import { ADMIN_TOKEN, freePort, ServiceProcess } from '../faults/service-process.js';
import { wavHeader } from '../support/wav.js';
import { residentBytes } from './meters.js';

const MB = 1_000_000;
const PIECE_BYTES = 64 * 1024;
const SAMPLE_EVERY_MS = 5;
const BOUNDARY = 'media-memory';
const WARM_UPS = 5;
const ROUNDS = 2;
const SLOW_PIECE_MS = 5;

/** Resident memory of the service around one piece of work. */
export interface MemoryFigure {
  readonly name: string;
  readonly sizeBytes: number;
  readonly durationMs: number;
  readonly beforeBytes: number;
  readonly peakBytes: number;
}

interface Stage {
  readonly simulator: Simulator;
  readonly service: ServiceProcess;
  readonly token: string;
}

export async function measureMediaMemory(
  uploadBytes: number,
  answerBytes: number,
): Promise<readonly MemoryFigure[]> {
  const directory = await mkdtemp(join(tmpdir(), 'tollgate-media-memory-'));
  const simulator = await startSimulator({ apiKey: 'harness-key', cachedPrices: false });
  const service = new ServiceProcess({
    port: await freePort(),
    environment: { DATA_DIR: join(directory, 'data'), UPSTREAM_BASE_URL: simulator.url },
    logPath: join(directory, 'service.log'),
  });
  try {
    await service.start();
    const stage: Stage = { simulator, service, token: await prepare(service, simulator) };
    for (let index = 0; index < WARM_UPS; index += 1) {
      await upload(stage, MB);
      await picture(stage, MB);
    }
    const figures: MemoryFigure[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      figures.push(await watched(service, 'upload', uploadBytes, () => upload(stage, uploadBytes)));
      figures.push(
        await watched(service, 'picture', answerBytes, () => picture(stage, answerBytes)),
      );
      figures.push(
        await watched(service, 'picture, read slowly', answerBytes, () =>
          picture(stage, answerBytes, SLOW_PIECE_MS),
        ),
      );
    }
    return figures;
  } finally {
    await service.stop();
    await simulator.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function watched(
  service: ServiceProcess,
  name: string,
  sizeBytes: number,
  work: () => Promise<void>,
): Promise<MemoryFigure> {
  const pid = service.pid ?? 0;
  const startedAt = performance.now();
  const beforeBytes = residentBytes(pid);
  let peakBytes = beforeBytes;
  const sample = (): void => {
    peakBytes = Math.max(peakBytes, residentBytes(pid));
  };
  const timer = setInterval(sample, SAMPLE_EVERY_MS);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  sample();
  const durationMs = Math.round(performance.now() - startedAt);
  return { name, sizeBytes, durationMs, beforeBytes, peakBytes };
}

/** Posts the prices and makes an organization; its token. */
async function prepare(service: ServiceProcess, simulator: Simulator): Promise<string> {
  const api = async (method: string, path: string, body: unknown): Promise<unknown> => {
    const response = await fetch(`${service.url}/api${path}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  for (const price of unlistedOffers(simulator.catalogue)) {
    if (price.model !== PER_IMAGE && price.model !== TRANSCRIPTION) continue;
    await api('POST', '/prices', { ...price, source: 'manual' });
  }
  await api('POST', '/organizations', { name: 'Media', slug: 'media', plan: 'pro' });
  await api('PUT', '/organizations/media/limits', {
    monthlySpendLimitUsd: '1000',
    payAsYouGo: true,
  });
  const made = await api('POST', '/organizations/media/tokens', { name: 'media' });
  return (made as { token: string }).token;
}

/** A recording of so many bytes, sent as fast as it is taken; none of it is whole in memory here. */
async function upload({ service, simulator, token }: Stage, sizeBytes: number): Promise<void> {
  const head = Buffer.concat([
    Buffer.from(
      `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n` +
        'content-type: audio/wav\r\n\r\n',
    ),
    wavHeader(sizeBytes),
  ]);
  const tail = Buffer.from(
    `\r\n--${BOUNDARY}\r\ncontent-disposition: form-data; name="model"\r\n\r\n${TRANSCRIPTION}` +
      `\r\n--${BOUNDARY}--\r\n`,
  );
  const request = httpRequest(`${service.url}/v1/audio/transcriptions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
      'content-length': head.length + sizeBytes + tail.length,
    },
  });
  const answered = answerTo(request);
  request.write(head);
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let left = sizeBytes; left > 0; left -= PIECE_BYTES) {
    if (!request.write(left < PIECE_BYTES ? piece.subarray(0, left) : piece)) {
      await new Promise((drained) => request.once('drain', drained));
    }
  }
  request.end(tail);
  await check(service, simulator, await answered);
}

/** A picture of so many bytes, read and thrown away. */
async function picture(
  { service, simulator, token }: Stage,
  sizeBytes: number,
  pauseMs = 0,
): Promise<void> {
  const request = httpRequest(`${service.url}/v1/images/generations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  const answered = answerTo(request, pauseMs);
  request.end(
    JSON.stringify({ model: PER_IMAGE, prompt: `A toll gate [[sim bytes=${sizeBytes}]]` }),
  );
  const answer = await answered;
  if (answer.sizeBytes < sizeBytes * 0.99) throw new Error(`only ${answer.sizeBytes} bytes came`);
  await check(service, simulator, answer);
}

interface Answer {
  readonly status: number;
  readonly requestId: string;
  readonly sizeBytes: number;
}

/** Reads an answer, with a pause after each piece of it. */
function answerTo(request: ReturnType<typeof httpRequest>, pauseMs = 0): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request.on('error', reject).on('response', (response: IncomingMessage) => {
      let sizeBytes = 0;
      response
        .on('data', (chunk: Buffer) => {
          sizeBytes += chunk.length;
          if (pauseMs === 0) return;
          response.pause();
          setTimeout(() => response.resume(), pauseMs);
        })
        .on('error', reject)
        .on('end', () => {
          const requestId = String(response.headers['x-request-id']);
          resolve({ status: response.statusCode ?? 0, requestId, sizeBytes });
        });
    });
  });
}

async function check(service: ServiceProcess, simulator: Simulator, answer: Answer): Promise<void> {
  const response = await fetch(`${service.url}/api/requests/${answer.requestId}`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  const event = (await response.json()) as { state: string; costUsd: string | null };
  const line = simulator.books.since().at(-1);
  const isBooked =
    event.state === 'settled' && event.costUsd === formatUsd(line?.costPicoUsd ?? 0n);
  if (answer.status !== 200 || !isBooked) {
    throw new Error(`not what was billed: ${JSON.stringify({ answer, event })}`);
  }
}

const megabytes = (bytes: number): string => (bytes / MB).toFixed(1).padStart(7);

async function main(): Promise<void> {
  const [uploadMb = 200, answerMb = 30] = process.argv.slice(2).map(Number);
  for (const figure of await measureMediaMemory(uploadMb * MB, answerMb * MB)) {
    const { name, sizeBytes, durationMs, beforeBytes, peakBytes } = figure;
    process.stdout.write(
      `${name.padEnd(20)} ${megabytes(sizeBytes)} MB in ${durationMs} ms: ` +
        `resident before ${megabytes(beforeBytes)} MB, peak ${megabytes(peakBytes)} MB, ` +
        `more by ${megabytes(peakBytes - beforeBytes)} MB\n`,
    );
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
