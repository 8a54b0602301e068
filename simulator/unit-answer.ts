import type { OutgoingHttpHeaders } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { Context } from './context.js';
import {
  type Directives,
  DirectiveError,
  directivesInBytes,
  directivesInHeaders,
  noDirectives,
} from './directives.js';
import { type ErrorAnswer, htmlPage, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import type { FaultRoute } from './fault-rules.js';
import type { Fault } from './faults.js';

/** Where a request went, as standing orders match it. */
export interface UnitTarget {
  readonly route: FaultRoute;
  readonly provider: string;
  readonly model: string | null;
}

/** A standing order first, then headers, then the body: the nearer to the request wins. */
export function unitDirectives(
  context: Context,
  exchange: Exchange,
  target: UnitTarget,
  bytes: Buffer,
): Directives | ErrorAnswer {
  try {
    return {
      ...noDirectives,
      ...context.faults.take({ ...target, stream: false }),
      ...directivesInHeaders(exchange.req.headers),
      ...directivesInBytes(bytes),
    };
  } catch (error) {
    if (!(error instanceof DirectiveError)) throw error;
    return jsonError(400, { error: `simulator: ${error.message}` });
  }
}

/** The headers of every answer; `requestId` null: none is sent. */
export function unitHeaders(
  provider: string,
  requestId: string | null,
  viaRouter: boolean,
): OutgoingHttpHeaders {
  return {
    'content-type': 'application/json',
    // A proxy has no business passing this on: it belongs to the upstream's own domain.
    'set-cookie': 'sim-upstream=1; Path=/',
    ...(requestId !== null && { 'x-request-id': requestId }),
    ...(viaRouter && { 'x-inference-provider': provider }),
  };
}

/** Sends a whole answer through whichever faults were asked of it. */
export async function sendUnitAnswer(
  exchange: Exchange,
  faults: readonly Fault[],
  status: number,
  headers: OutgoingHttpHeaders,
  body: Buffer,
): Promise<void> {
  if (faults.includes('html-200')) {
    exchange.answer(200, { ...headers, ...htmlPage.headers }, htmlPage.body);
    return;
  }
  let bytes = faults.includes('invalid-json') ? body.subarray(0, body.length >> 1) : body;
  const packing = faults.includes('gzip') ? { 'content-encoding': 'gzip' } : {};
  if (faults.includes('gzip')) bytes = gzipSync(bytes);
  const sent = { ...headers, ...packing };
  const breaks = faults.includes('reset-mid-stream');
  if (!breaks && !faults.includes('hang-mid-stream')) {
    exchange.answer(status, sent, bytes);
    return;
  }
  exchange.head(status, { ...sent, 'content-length': bytes.length });
  await exchange.write(bytes.subarray(0, bytes.length >> 1));
  await exchange.settle();
  if (breaks) exchange.reset();
  else await exchange.untilGone();
}
