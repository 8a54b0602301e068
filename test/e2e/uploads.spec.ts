/** Uploads as curl sends them: forms in any order, wrong forms, and files that are sent twice. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TRANSCRIPTION } from '../../simulator/unlisted-models.js';
import { bookedAs, startSelling } from '../support/books.js';
import { pennilessToken } from '../support/penniless.js';
import { allEnded, type SimulatedService } from '../support/simulated.js';
import { wavOf } from '../support/wav.js';

const UPLOAD_MAX_BYTES = 1024 * 1024;
const run = promisify(execFile);

let service: SimulatedService;
let directory = '';
let recording = '';
/** Long enough to come in many pieces; not a format that states its length. */
let noise = '';
let tooLarge = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tollgate-uploads-'));
  recording = join(directory, 'three.wav');
  noise = join(directory, 'noise.bin');
  tooLarge = join(directory, 'large.wav');
  await writeFile(recording, wavOf(3_000));
  await writeFile(noise, Buffer.alloc(800_000, 'noise'));
  await writeFile(tooLarge, Buffer.alloc(UPLOAD_MAX_BYTES + 1));
  service = await startSelling([TRANSCRIPTION], {
    environment: {
      UPLOAD_MAX_BYTES: String(UPLOAD_MAX_BYTES),
      DATA_DIR: join(directory, 'data'),
    },
  });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
  await rm(directory, { recursive: true, force: true });
});

interface CurlAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

async function curl(...args: readonly string[]): Promise<CurlAnswer> {
  return curlAs(service.token, ...args);
}

async function curlAs(token: string, ...args: readonly string[]): Promise<CurlAnswer> {
  const { stdout } = await run('curl', [
    ...['-s', '-S', '-i', '-m', '30'],
    ...['-H', `Authorization: Bearer ${token}`],
    ...args,
    `${service.url}/v1/audio/transcriptions`,
  ]);
  const at = stdout.lastIndexOf('HTTP/1.1 ');
  const [head = '', ...rest] = stdout.slice(at).split('\r\n\r\n');
  const [line = '', ...lines] = head.split('\r\n');
  const headers = lines.map((text) => {
    const colon = text.indexOf(':');
    return [text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim()];
  });
  return {
    status: Number(line.split(' ')[1]),
    headers: Object.fromEntries(headers) as Record<string, string>,
    body: rest.join('\r\n\r\n'),
  };
}

/** A form as curl builds it, in this order: `@` before a path sends the file. */
function form(...fields: readonly string[]): string[] {
  return fields.flatMap((field) => ['-F', field]);
}

function errorIn({ body }: CurlAnswer): { code: string; param: string | null; message: string } {
  return (JSON.parse(body) as { error: { code: string; param: string | null; message: string } })
    .error;
}

describe('a form', () => {
  it('may name the model behind the file or before it', async () => {
    const file = `file=@${recording}`;
    const model = `model=${TRANSCRIPTION}:groq`;
    for (const fields of [
      [file, model, 'language=en'],
      [model, file],
    ]) {
      const answer = await curl(...form(...fields));
      expect(answer.status, answer.body).toBe(200);
      const { event, line } = await bookedAs(service, answer.headers['x-request-id']);
      expect(line).toMatchObject({ provider: 'groq', units: { audio_ms: 3_000n } });
      expect(event.units).toEqual({ audio_ms: '3000' });
    }
  });

  it('may come without a length, in chunks', async () => {
    const answer = await curl(
      ...['-H', 'Transfer-Encoding: chunked'],
      ...form(`file=@${noise}`, `model=${TRANSCRIPTION}`),
    );
    expect(answer.status, answer.body).toBe(200);
    const { line } = await bookedAs(service, answer.headers['x-request-id']);
    expect(line.units).toEqual({ audio_ms: 50_000n });
  });

  it('costs the file’s own length, as an estimate, where no answer states one', async () => {
    const answer = await curl(
      ...form(`file=@${recording}`, `model=${TRANSCRIPTION}:openai`, 'prompt=[[sim states=none]]'),
    );
    expect(answer.status, answer.body).toBe(200);
    const { event } = await bookedAs(service, answer.headers['x-request-id']);
    expect(event).toMatchObject({ units: { audio_ms: '3000' }, usageSource: 'estimated' });
  });

  it('whose answer states no possible length is for a person, with what was written', async () => {
    const answer = await curl(
      ...form(
        `file=@${recording}`,
        `model=${TRANSCRIPTION}:openai`,
        'prompt=[[sim fault=usage-negative]]',
      ),
    );
    expect(answer.status, answer.body).toBe(200);
    const written = /"seconds":\s*([^,}]+)/.exec(answer.body)?.[1] ?? 'nothing';
    const [row] = await service.database.query<{ state: string; raw_usage: string }>(
      'SELECT state, raw_usage FROM usage_events WHERE id = $1',
      [answer.headers['x-request-id']],
    );
    expect(row?.state).toBe('quarantined');
    expect(row?.raw_usage).toContain(`usage.seconds: ${written}`);
  });

  it('without a file is the provider’s to refuse, and costs nothing', async () => {
    const answer = await curl(...form(`model=${TRANSCRIPTION}`));
    expect(answer.status).toBe(400);
    expect(await stateOf(answer)).toMatchObject({ state: 'released', status: 400 });
  });
});

describe('what is no form that everybody reads alike', () => {
  it('is 400 and names the field, before anything is forwarded', async () => {
    const seq = service.simulator.books.seq;
    const file = `file=@${recording}`;
    const model = `model=${TRANSCRIPTION}`;
    const cases: readonly (readonly [field: string, fields: readonly string[]])[] = [
      ['model', [file]],
      ['model', [file, 'model=']],
      ['model', [file, model, 'model=other/model']],
      ['model', [file, `model=@${recording}`]],
      ['model', [file, 'model=nobody/knows']],
      ['stream', [file, model, 'stream=perhaps']],
      ['response_format', [file, model, 'response_format=json', 'response_format=text']],
    ];
    for (const [field, fields] of cases) {
      const answer = await curl(...form(...fields));
      expect(answer.status, answer.body).toBe(400);
      expect(errorIn(answer).param, answer.body).toBe(field);
      expect(errorIn(answer).message).toContain(field);
    }
    expect(service.simulator.books.seq).toBe(seq);
  });

  it('is 400 where it is cut short or has no boundary', async () => {
    const cut = join(directory, 'cut.txt');
    await writeFile(
      cut,
      `--b\r\ncontent-disposition: form-data; name="model"\r\n\r\n${TRANSCRIPTION}\r\n--b\r\n`,
    );
    for (const type of ['multipart/form-data; boundary=b', 'multipart/form-data']) {
      const answer = await curl('-H', `Content-Type: ${type}`, '--data-binary', `@${cut}`);
      expect(answer.status, answer.body).toBe(400);
      expect(errorIn(answer).code).toBe('invalid_request');
    }
  });

  it('is 415 where it is JSON', async () => {
    const answer = await curl(
      ...['-H', 'Content-Type: application/json', '-d', `{"model":"${TRANSCRIPTION}"}`],
    );
    expect(answer.status).toBe(415);
    expect(errorIn(answer).code).toBe('unsupported_media_type');
    expect(errorIn(answer).message).toContain('multipart/form-data');
  });

  it('is 402 where there is no credit, and 401 where nobody is known', async () => {
    const seq = service.simulator.books.seq;
    const fields = form(`file=@${recording}`, `model=${TRANSCRIPTION}`);
    const poor = await curlAs(await pennilessToken(service), ...fields);
    expect(poor.status).toBe(402);
    expect(errorIn(poor).code).toBe('credit_exhausted');
    const stranger = await curlAs('tg_unknown', ...fields);
    expect(stranger.status).toBe(401);
    expect(service.simulator.books.seq).toBe(seq);
  });

  it('is 413 where it is too large, whether it says so first or not', async () => {
    const fields = form(`file=@${tooLarge}`, `model=${TRANSCRIPTION}`);
    for (const headers of [[], ['-H', 'Transfer-Encoding: chunked', '-H', 'Expect:']]) {
      const answer = await curl(...headers, ...fields);
      expect(answer.status).toBe(413);
      expect(errorIn(answer).code).toBe('request_too_large');
    }
  });
});

describe('Idempotency-Key', () => {
  it('knows a form again under the new boundary of a second try', async () => {
    const key = ['-H', 'Idempotency-Key: upload'];
    const fields = [`file=@${recording}`, `model=${TRANSCRIPTION}`];
    const seq = service.simulator.books.seq;
    const first = await curl(...key, ...form(...fields));
    expect(first.status).toBe(200);
    const again = await curl(...key, ...form(...fields));
    expect(again.status).toBe(409);
    expect(errorIn(again)).toMatchObject({
      code: 'request_already_processed',
      details: { requestId: first.headers['x-request-id'] },
    });
    const other = await curl(...key, ...form(...fields, 'language=de'));
    expect(other.status).toBe(422);
    expect(errorIn(other).code).toBe('idempotency_key_reused');
    expect(service.simulator.books.seq).toBe(seq + 1);
  });
});

describe('failover', () => {
  it('sends the whole file once more to the next provider', async () => {
    service.simulator.faults.add({
      match: { route: 'transcription' },
      directives: { faults: ['503'] },
      times: 1,
    });
    const answer = await curl(...form(`file=@${noise}`, `model=${TRANSCRIPTION}`));
    expect(answer.status, answer.body).toBe(200);
    expect(answer.headers['x-tollgate-attempts']).toBe('2');
    const { event, line } = await bookedAs(service, answer.headers['x-request-id']);
    // 16 bytes are a millisecond to the simulator: it has had every one of them.
    expect(line.units).toEqual({ audio_ms: 50_000n });
    const providers = event.attempts?.map(({ provider }) => provider);
    expect(new Set(providers).size).toBe(2);
    service.simulator.faults.clear();
  });

  it('leaves nothing on the disk, nor does anything before it', async () => {
    const names = await readdir(join(directory, 'data'), { recursive: true });
    expect(names.filter((name) => name.endsWith('.upload'))).toEqual([]);
  });
});

async function stateOf(answer: CurlAnswer): Promise<unknown> {
  const { body } = await service.api<unknown>(`/requests/${answer.headers['x-request-id'] ?? ''}`);
  return body;
}
