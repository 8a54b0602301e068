import type { OutgoingHttpHeaders } from 'node:http';
import type { Outcome } from './books.js';
import type { Call, Extent, Generated } from './call.js';
import { OVERSIZE_BYTES, sendWhole } from './plain.js';
import type { StreamEvent } from './dialects.js';
import { htmlPage } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { drawMs } from './interruption.js';
import type { JsonObject } from './json.js';
import { renderEvent, Wire } from './sse.js';
import { wireOptions } from './wire-options.js';

/** A streamed answer before any fault struck it. */
export interface StreamedAnswer {
  readonly events: readonly StreamEvent[];
  /** How the stream ends where nothing breaks it: `faulted` where the provider itself reports a failure. */
  readonly outcome: 'complete' | 'faulted';
  /** The event by which this route says that it cannot go on. */
  readonly error: StreamEvent;
  /** An event that means nothing, with this text in it. */
  padding(text: string): JsonObject;
}

/** One write of a stream, and what was generated once it was sent. */
interface Frame extends Generated {
  readonly text: string;
}

/** A stream as it will be sent, and how its line in the books reads once it was. */
interface Script {
  readonly frames: readonly Frame[];
  readonly outcome: Outcome;
  readonly extent: Extent;
}

/** After how many events a fault in mid-stream strikes unless `after=` says otherwise. */
const STRIKE_AFTER = 2;

/** Sends a streamed answer with the faults asked of it. */
export async function sendStream(
  exchange: Exchange,
  call: Call,
  answer: StreamedAnswer,
): Promise<void> {
  if (call.has('html-200')) {
    call.record('faulted', 200, 'nothing');
    exchange.answer(200, { ...call.headers, ...htmlPage.headers }, htmlPage.body);
    return;
  }
  const script = scriptOf(call, answer);
  const headers: OutgoingHttpHeaders = {
    ...call.headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
  };
  if (call.has('content-length-longer') || call.has('content-length-shorter')) {
    const text = script.frames.map((frame) => frame.text).join('');
    await sendWhole(exchange, call, headers, Buffer.from(text));
    return;
  }
  if (call.has('gzip')) headers['content-encoding'] = 'gzip';
  exchange.head(200, headers);
  const wire = new Wire(exchange, wireOptions(call), call.random);
  try {
    await play(exchange, call, script, wire);
  } finally {
    wire.discard();
  }
}

async function play(exchange: Exchange, call: Call, script: Script, wire: Wire): Promise<void> {
  const { frames } = script;
  const strikes = call.has('reset-mid-stream') || call.has('hang-mid-stream');
  const strikeAt = strikes ? strikeIndex(call, frames.length) : -1;
  let generated = before(frames);
  for (const [index, frame] of frames.entries()) {
    if (exchange.isGone) break;
    if (index === strikeAt) {
      await wire.flush();
      await strike(exchange, call, generated);
      return;
    }
    const isLast = index === frames.length - 1;
    // Before the last bytes leave: whoever has seen the whole answer finds its line in the books.
    if (isLast) call.record(script.outcome, 200, script.extent);
    await wire.send(frame.text);
    generated = frame;
    if (!isLast) await pause(exchange, call);
  }
  if (exchange.isGone) call.recordAbort(200, generated);
  else await wire.end();
}

async function strike(exchange: Exchange, call: Call, generated: Generated): Promise<void> {
  exchange.flushHeaders();
  if (call.has('hang-mid-stream')) {
    await exchange.untilGone();
    call.recordAbort(200, generated);
    return;
  }
  await exchange.settle();
  call.record('faulted', 200, generated);
  exchange.reset();
}

async function pause(exchange: Exchange, call: Call): Promise<void> {
  const { asked } = call;
  if (asked.chunkDelay !== null && !call.has('slow-drip')) {
    await exchange.sleep(drawMs(asked.chunkDelay, call.random));
  } else if (!asked.burst) {
    await exchange.turn();
  }
}

function strikeIndex(call: Call, frames: number): number {
  return Math.min(call.asked.after ?? STRIKE_AFTER, frames - 1);
}

function scriptOf(call: Call, answer: StreamedAnswer): Script {
  const events = withDone(answer.events, call.asked.done);
  const framing = { crlf: call.has('crlf'), multiLine: call.has('multi-line-data') };
  const frames: Frame[] = events.map((event) => ({
    text: renderEvent(event, framing),
    ...generatedAt(event),
  }));
  const error = (generated: Generated): Frame => ({
    ...generated,
    text: renderEvent(answer.error, { crlf: false, multiLine: false }),
  });
  if (call.has('error-first-event')) {
    return { frames: [error(before(frames))], outcome: 'faulted', extent: 'nothing' };
  }
  const at = strikeIndex(call, frames.length);
  const extent: Generated = frames[at - 1] ?? before(frames);
  if (call.has('error-mid-stream')) {
    return { frames: [...frames.slice(0, at), error(extent)], outcome: 'faulted', extent };
  }
  if (call.has('end-mid-stream')) {
    // An empty last frame keeps a stream that ends at once a stream: it still has a line in the books.
    const cut = [...frames.slice(0, at), { ...extent, text: '' }];
    return { frames: cut, outcome: 'faulted', extent };
  }
  if (call.has('invalid-json')) {
    frames.splice(at, 0, { ...extent, text: 'data: {"id":"chatcmpl-\n\n' });
  }
  const last = frames.at(-1);
  if (call.has('no-last-blank-line') && last !== undefined) {
    frames.splice(-1, 1, { ...last, text: last.text.trimEnd() });
  }
  if (call.has('oversize-event')) {
    const padding = answer.padding('x'.repeat(call.asked.sizeBytes ?? OVERSIZE_BYTES));
    frames.splice(at, 0, { ...extent, text: `data: ${JSON.stringify(padding)}\n\n` });
  }
  return { frames, outcome: answer.outcome, extent: 'whole' };
}

/** What was generated before the first event: nothing, where events say what they use. */
function before(frames: readonly Frame[]): Generated {
  return { tokens: 0, units: (frames[0]?.units ?? null) === null ? null : {} };
}

function generatedAt(event: StreamEvent): Generated {
  const units = event.kind === 'data' ? (event.units ?? null) : null;
  return { tokens: event.tokens, units };
}

/** `[[sim done=yes|no]]` overrules whether the provider ends its streams in `[DONE]`. */
function withDone(events: readonly StreamEvent[], wanted: boolean | null): readonly StreamEvent[] {
  const last = events.at(-1);
  if (wanted === null || last === undefined || (last.kind === 'done') === wanted) return events;
  return wanted ? [...events, { kind: 'done', tokens: last.tokens }] : events.slice(0, -1);
}
