import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contiguousRuns, type SseEvent, SseSplitter } from './sse-splitter.js';

function splitAll(bytes: Buffer, cuts: readonly number[], maxEventBytes?: number): SseEvent[] {
  const splitter = new SseSplitter(maxEventBytes);
  const events: SseEvent[] = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    events.push(...splitter.push(Buffer.from(bytes.subarray(from, cut))));
    from = cut;
  }
  const rest = splitter.end();
  if (rest !== null) events.push(rest);
  return events;
}

function seen(events: readonly SseEvent[]): unknown[] {
  return events.map((event) => [
    event.raw.toString('latin1'),
    event.name,
    event.dataText(),
    event.hasData,
    event.isPartial,
  ]);
}

/** The standard's rules, written down again in the plainest way (without lone carriage returns). */
function referenceSplit(text: string): unknown[] {
  const events: unknown[] = [];
  let raw = '';
  let lines: string[] = [];
  const close = (isPartial: boolean): void => {
    const own = lines.map((line, index) =>
      events.length === 0 && index === 0 ? line.replace(/^\u00ef\u00bb\u00bf/, '') : line,
    );
    const utf8 = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('utf8');
    const valuesOf = (name: string): string[] =>
      own
        .filter((line) => line === name || line.startsWith(`${name}:`))
        .map((line) => line.slice(name.length + 1).replace(/^ /, ''));
    const data = valuesOf('data');
    const name = valuesOf('event').at(-1);
    events.push([
      raw,
      name === undefined ? null : utf8(name),
      utf8(data.join('\n')),
      data.length > 0,
      isPartial,
    ]);
    raw = '';
    lines = [];
  };
  for (const piece of text.split(/(?<=\n)/)) {
    raw += piece;
    if (!piece.endsWith('\n')) {
      lines.push(piece.replace(/\r$/, ''));
      break;
    }
    const line = piece.slice(0, -1).replace(/\r$/, '');
    const isFirstLine = events.length === 0 && lines.length === 0;
    if (line === '' || (isFirstLine && line === '\u00ef\u00bb\u00bf')) close(false);
    else lines.push(line);
  }
  if (raw !== '') close(true);
  return events;
}

const pieces = fc.constantFrom(
  'data: x',
  'data:',
  'data',
  'dat',
  'data:  two',
  'event: error',
  'event:e',
  ': note',
  'id: 1',
  '\n',
  '\n\n',
  '\r\n',
  '\r\n\r\n',
  '\r',
  ' ',
  '\u00ef\u00bb\u00bf',
  'é',
);

describe('SseSplitter', () => {
  it('splits any text as the plain rules say, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(pieces, { maxLength: 20 }),
        fc.array(fc.nat({ max: 60 }), { maxLength: 8 }),
        (parts, at) => {
          const bytes = Buffer.from(parts.join(''), 'latin1');
          const cuts = at.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b);
          const expected = referenceSplit(bytes.toString('latin1'));
          expect(seen(splitAll(bytes, cuts))).toEqual(expected);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('hands on every byte of random bytes exactly once, in order', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.nat({ max: 300 }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 40 }),
        (random, at, maxEventBytes) => {
          const bytes = Buffer.from(random);
          const cuts = at.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b);
          const events = splitAll(bytes, cuts, maxEventBytes);
          expect(Buffer.concat(events.map((event) => event.raw)).equals(bytes)).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('calls the same events unread wherever the bytes are cut', () => {
    const events = ['data: short\n\n', `data: ${'x'.repeat(30)}\n\n`, 'data: 67890123\n\n'];
    const bytes = Buffer.from(events.join(''));
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const split = splitAll(bytes, [cut], 16);
      const unread = split.filter((event) => event.isUnread).map((event) => event.raw);
      expect(Buffer.concat(unread).toString()).toBe(events[1]);
      const read = split.filter((event) => !event.isUnread).map((event) => event.raw.toString());
      expect(read).toEqual([events[0], events[2]]);
    }
  });

  it('relays a chunk of whole events as one window on it, without a copy', () => {
    const chunk = Buffer.from('data: 1\n\ndata: 2\n\n: c\n\n');
    const splitter = new SseSplitter();
    const runs = contiguousRuns(splitter.push(chunk));
    expect(runs).toHaveLength(1);
    expect(runs[0]?.buffer).toBe(chunk.buffer);
    expect(runs[0]?.equals(chunk)).toBe(true);
  });

  it('starts a new run where an event was taken out', () => {
    const events = new SseSplitter().push(Buffer.from('data: 1\n\ndata: 2\n\ndata: 3\n\n'));
    const runs = contiguousRuns(events.filter((_event, index) => index !== 1));
    expect(runs.map(String)).toEqual(['data: 1\n\n', 'data: 3\n\n']);
  });

  it('keeps a carried event intact while the next one is carried', () => {
    const splitter = new SseSplitter();
    splitter.push(Buffer.from('data: fir'));
    const [first] = splitter.push(Buffer.from('st\n\ndata: sec'));
    const [second] = splitter.push(Buffer.from('ond\n\n'));
    expect(first?.dataText()).toBe('first');
    expect(second?.dataText()).toBe('second');
  });

  it('gives back what is left at the end once, and is empty afterwards', () => {
    const splitter = new SseSplitter();
    splitter.push(Buffer.from('event: message_stop\ndata: {}'));
    const rest = splitter.end();
    expect(rest?.isPartial).toBe(true);
    expect(rest?.name).toBe('message_stop');
    expect(rest?.dataText()).toBe('{}');
    expect(splitter.end()).toBeNull();
  });

  it('takes linear time for a long event in tiny chunks, and bounded memory for an endless one', () => {
    const splitter = new SseSplitter();
    const tiny = Buffer.from('xy');
    const started = process.cpuUsage();
    let handedOn = 0;
    for (let sent = 0; sent < 10 * 1024 * 1024; sent += tiny.length) {
      for (const event of splitter.push(tiny)) handedOn += event.sizeBytes;
    }
    const spent = process.cpuUsage(started);
    // All but nothing is held: the event was over the limit and passes as it comes.
    expect(handedOn).toBe(10 * 1024 * 1024);
    expect(spent.user + spent.system).toBeLessThan(15_000_000);
  });
});
