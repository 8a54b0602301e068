import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { BufferBudget } from './buffer-budget.js';
import { Call, type RoutedRequest, type Served } from './call.js';
import { CHAT_COMPLETIONS, ENDPOINTS, type Endpoint } from './endpoints.js';
import { PlainRelay, type PlainOptions } from './plain-relay.js';
import { UpstreamExchange } from './upstream-exchange.js';

const CHUNK_BYTES = 64 * 1024;
const HOLD_MAX_BYTES = 1024 * 1024;

class CountedBudget extends BufferBudget {
  held = 0;
  most = 0;

  override take(bytes: number): boolean {
    this.held += bytes;
    this.most = Math.max(this.most, this.held);
    return super.take(bytes);
  }

  override give(bytes: number): void {
    this.held -= bytes;
    super.give(bytes);
  }
}

/** Passes so many chunks of one answer; what of it was held at the end, and at most. */
function pass(endpoint: Endpoint | undefined, chunks: number): { held: number; most: number } {
  if (endpoint === undefined) throw new Error('no such endpoint');
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  response.assignSocket(
    new Writable({
      write: (_bytes, _encoding, done) => {
        done();
      },
    }) as Socket,
  );
  const budget = new CountedBudget(1024 * 1024 * 1024);
  const served = { status: 200, headers: { 'content-type': 'application/json' } };
  const options = {
    encoding: null,
    holdMaxBytes: HOLD_MAX_BYTES,
    budget,
    sendHead: () => undefined,
  };
  const relay = new PlainRelay(
    new Call('id', endpoint, request, response),
    { endpoint } as RoutedRequest,
    served as unknown as Served,
    new UpstreamExchange(),
    options as unknown as PlainOptions,
  );
  for (let index = 0; index < chunks; index += 1) relay.data(Buffer.alloc(CHUNK_BYTES, 'x'));
  return { held: budget.held, most: budget.most };
}

it('keeps nothing of a large answer that is metered in passing', () => {
  const image = ENDPOINTS['/v1/images/generations'];
  expect(pass(image, 40)).toEqual({ held: 0, most: HOLD_MAX_BYTES + CHUNK_BYTES });
  expect(pass(image, 10)).toEqual({ held: 10 * CHUNK_BYTES, most: 10 * CHUNK_BYTES });
});

it('keeps a large answer of text, to read its usage at its end, but not one too long to read', () => {
  expect(pass(CHAT_COMPLETIONS, 40).held).toBe(40 * CHUNK_BYTES);
  expect(pass(CHAT_COMPLETIONS, 200)).toEqual({ held: 0, most: 8 * 1024 * 1024 });
});
