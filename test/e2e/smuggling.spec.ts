import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startCountingProxy, type CountingProxy } from '../support/counting-proxy.js';
import { allEnded, startSimulated, type SimulatedService } from '../support/simulated.js';

/** One request as bytes: what no client library would send. */
interface Answer {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
  /** Everything that came, further answers included. */
  readonly text: string;
}

interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    readonly details: unknown;
  };
}

const MODEL = 'meta-llama/Llama-3.3-70B-Instruct';
const CHAT = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'x' }] });
const GIVE_UP_MS = 10_000;

let service: SimulatedService;
let wire: CountingProxy;

beforeAll(async () => {
  service = await startSimulated();
  wire = await startCountingProxy(service.simulator.url);
  await service.close();
  service = await startSimulated({ environment: { UPSTREAM_BASE_URL: wire.url } });
});
