/** Event streams of media: the same figures however they are cut, however long an event is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Task } from '../../domain/tasks.js';
import { SSE_EVENT_MAX_BYTES, SseSplitter } from '../dialects/sse-splitter.js';
import { meterFor, type AnswerMeter, type MediaReading } from './answer-meter.js';
import { JsonProbe } from './json-probe.js';
import { LongEvent } from './long-event.js';

const HELD_BYTES = 64 * 1024;

const streamMeter = (task: Task): AnswerMeter =>
  meterFor(task, { status: 200, headers: { 'content-type': 'text/event-stream; charset=utf-8' } });

function meter(task: Task, text: string, cuts: readonly number[] = []): MediaReading {
  const bytes = Buffer.from(text);
  const reader = streamMeter(task);
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...at, bytes.length]) {
    // A copy of its own: nothing may be read behind the end of a chunk, or after it is gone.
    const chunk = Buffer.from(bytes.subarray(from, to));
    reader.push(chunk);
    chunk.fill(0x22);
    from = to;
  }
  return reader.end();
}

interface Event {
  readonly name: string;
  readonly padding: number;
  readonly tokens: number | null;
  readonly isNamedAbove: boolean;
  readonly isUsageFirst: boolean;
  readonly lines: 'one' | 'many' | 'crlf';
}

const IMAGE_EVENTS = ['image_generation.partial_image', 'image_generation.completed'] as const;

const event = fc.record<Event>({
  name: fc.constantFrom(...IMAGE_EVENTS),
  // Around the length from which an event is read in passing.
  padding: fc.oneof(fc.nat(300), fc.integer({ min: HELD_BYTES - 400, max: HELD_BYTES + 400 })),
  tokens: fc.option(fc.nat(1_000_000)),
  isNamedAbove: fc.boolean(),
  isUsageFirst: fc.boolean(),
  lines: fc.constantFrom('one', 'many', 'crlf'),
});

function written({ name, padding, tokens, isNamedAbove, isUsageFirst, lines }: Event): string {
  const picture = { b64_json: `\\"}\n\n${'A'.repeat(padding)}` };
  const details = { text_tokens: tokens, image_tokens: 0 };
  const usage =
    tokens === null
      ? {}
      : { usage: { input_tokens: tokens, output_tokens: tokens, input_tokens_details: details } };
  const type = isNamedAbove ? {} : { type: name };
  const payload = isUsageFirst
    ? { ...usage, ...picture, ...type }
    : { ...type, ...picture, ...usage };
  const json = JSON.stringify(payload, null, lines === 'many' ? 1 : 0).replace(/^/gm, 'data: ');
  const text = `${isNamedAbove ? `event: ${name}\n` : ''}${json}\n\n`;
  return lines === 'crlf' ? text.replaceAll('\n', '\r\n') : text;
}

describe('a stream of pictures', () => {
  it('has the same figures however it is cut and however long its events are', () => {
    const cuts = fc.array(fc.nat(400_000), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 5 }), cuts, (events, at) => {
        const { report, reading } = meter('image', events.map(written).join(''), at);
        const done = events.filter(({ name }) => name === 'image_generation.completed');
        const tokens = events.flatMap(({ tokens: stated }) => (stated === null ? [] : [stated]));
        const most = BigInt(Math.max(...tokens, 0));
        expect(report.quantities).toEqual({ image: BigInt(done.length) });
        expect(reading.hasContent).toBe(true);
        expect(report.usage).toMatchObject(
          tokens.length === 0
            ? { kind: 'none' }
            : { kind: 'reported', quantities: { input: most, output: most } },
        );
      }),
      { numRuns: 300 },
    );
  });

  it('is read byte by byte like at once', () => {
    const text = IMAGE_EVENTS.map((name) =>
      written({
        ...{ name, padding: HELD_BYTES, tokens: 7 },
        ...{ isNamedAbove: true, isUsageFirst: false, lines: 'crlf' },
      }),
    ).join('');
    const everywhere = Array.from({ length: text.length }, (_, at) => at);
    expect(meter('image', text, everywhere)).toEqual(meter('image', text));
  });

  it('may begin with a byte-order mark', () => {
    const [small, large] = [10, HELD_BYTES].map((padding) => {
      const text = `{"type":"${IMAGE_EVENTS[1]}","b64_json":"${'A'.repeat(padding)}"}`;
      return meter('image', `\ufeffdata: ${text}\n\n`).report;
    });
    expect(small?.quantities).toEqual({ image: 1n });
    expect(large).toEqual(small);
  });

  it('that was not finished made none, whatever was shown of it', () => {
    const shown = 'data: {"type":"image_generation.partial_image","b64_json":"AAAA"}\n\n';
    expect(meter('image', shown)).toMatchObject({
      report: { quantities: { image: 0n }, usage: { kind: 'none' } },
      reading: { hasContent: true },
    });
    const half = `data: {"type":"image_generation.completed","b64_json":"${'A'.repeat(300_000)}`;
    // Shorter than what the relay holds together: nothing of it has passed.
    expect(meter('image', half).reading.hasContent).toBe(false);
    const passed = `${half}${'A'.repeat(SSE_EVENT_MAX_BYTES)}`;
    expect(meter('image', passed)).toMatchObject({
      report: { quantities: { image: 0n } },
      reading: { hasContent: true },
    });
  });

  it('in words that nobody knows is counted by what was asked for', () => {
    const text = `data: {"kind":"done","picture":"${'A'.repeat(300_000)}"}\n\n`;
    const { report, reading } = meter('image', text);
    expect(report.quantities).toEqual({});
    expect(reading.hasContent).toBe(true);
  });

  it('may end in a long error, which is no content', () => {
    const error = { type: 'error', padding: 'x'.repeat(300_000), error: { message: 'no' } };
    expect(meter('image', `event: error\ndata: ${JSON.stringify(error)}\n\n`)).toMatchObject({
      reading: { hasContent: false, firstError: { message: 'no' } },
    });
  });

  it('of 200 MB in one event takes no memory', () => {
    const reader = streamMeter('image');
    const chunk = Buffer.alloc(HELD_BYTES, 'A');
    const before = process.memoryUsage().arrayBuffers;
    reader.push(Buffer.from('data: {"type":"image_generation.completed","b64_json":"'));
    let most = 0;
    for (let count = 0; count < 3_200; count += 1) {
      reader.push(chunk);
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    reader.push(Buffer.from('","usage":{"input_tokens":3,"output_tokens":4}}\n\n'));
    expect(most).toBeLessThan(1024 * 1024);
    expect(reader.end().report).toMatchObject({
      quantities: { image: 1n },
      usage: { quantities: { input: 3n, output: 4n } },
    });
  });
});

describe('a long event', () => {
  it('is read as one that is held together, however it is cut', () => {
    const line = fc.oneof(
      fc.constantFrom(
        'event: a',
        'event:b',
        'id: 1',
        ': x',
        'data',
        'data:{"a":1',
        'data: ,"b":2}',
      ),
      fc.string({ maxLength: 12 }).filter((text) => !/[\r\n]/.test(text) && text !== ''),
    );
    const cuts = fc.array(fc.nat(200), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(line), fc.constantFrom('\n', '\r\n'), cuts, (lines, end, at) => {
        const bytes = Buffer.from(`${lines.join(end)}${lines.length > 0 ? end : ''}${end}`);
        const whole = new LongEvent();
        whole.push(bytes);
        const cut = new LongEvent();
        const places = [...new Set(at.map((one) => one % (bytes.length + 1)))].sort(
          (a, b) => a - b,
        );
        let from = 0;
        for (const to of [...places, bytes.length]) {
          cut.push(bytes.subarray(from, to));
          from = to;
        }
        const told = ({ isOver, name, members }: LongEvent) => ({ isOver, name, members });
        expect(told(cut)).toEqual(told(whole));
        const held = new SseSplitter().push(bytes)[0];
        const probe = new JsonProbe();
        probe.push(held?.dataBytes() ?? Buffer.alloc(0));
        expect(told(whole)).toEqual({
          isOver: true,
          name: held?.name ?? null,
          members: probe.isComplete ? probe.members : null,
        });
      }),
      { numRuns: 1_000 },
    );
  });
});
