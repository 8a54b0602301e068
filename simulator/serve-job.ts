import type { Context } from './context.js';
import type { Directives } from './directives.js';
import { providerNotSupported } from './error-answers.js';
import type { Exchange } from './exchange.js';
import type { Fault } from './faults.js';
import { interrupt, sendError } from './interruption.js';
import type { JobAnswer, JobAsk, JobProtocol, JobRequest } from './job-protocol.js';
import { jobQuantity, textOfInput } from './job-quantity.js';
import { isObject, type JsonObject } from './json.js';
import type { Job, JobOrder } from './jobs.js';
import { providerError } from './provider-errors.js';
import { hashText, SeededRandom } from './random.js';
import { sendUnitAnswer, unitDirectives, unitHeaders } from './unit-answer.js';
import { inferenceId } from './unit-lines.js';

/** One request to a provider's queue, through the router or directly. */
interface JobCall {
  readonly context: Context;
  readonly exchange: Exchange;
  readonly protocol: JobProtocol;
  readonly ask: JobAsk;
  readonly viaRouter: boolean;
}

/**
 * Serves a request that `protocol` understood. A job that was taken on gets its one line in the books
 * when it ends, whether or not anybody looks.
 */
export async function serveJob(call: JobCall, request: JobRequest, bytes: Buffer): Promise<void> {
  if (request.kind === 'submit') await submit(call, request, bytes);
  else await attend(call, request, bytes);
}

async function submit(
  call: JobCall,
  request: Extract<JobRequest, { kind: 'submit' }>,
  bytes: Buffer,
): Promise<void> {
  const { context, exchange, protocol, ask, viaRouter } = call;
  const { provider } = protocol;
  const serial = context.ids.next();
  const plain = unitHeaders(provider, `req-${serial}`, viaRouter);
  const body = parse(bytes);
  const model = request.model ?? body?.['model'] ?? body?.['version'];
  if (body === null || typeof model !== 'string') {
    sendError(exchange, providerError(provider, 'invalid', 'model: Field required'), plain);
    return;
  }
  const offer = context.unitOffers.at(provider, model);
  if (offer === null) {
    // The router answers for the provider: it resolves the model before it calls anyone.
    const unknown = providerError(provider, 'unknown_model', model);
    sendError(exchange, viaRouter ? providerNotSupported(provider) : unknown, plain);
    return;
  }
  const target = { route: 'job', provider, model: offer.model } as const;
  const asked = unitDirectives(context, exchange, target, bytes);
  if ('body' in asked) {
    sendError(exchange, asked, plain);
    return;
  }
  const input = protocol.input(body);
  const hash = hashText(textOfInput(input).slice(-256), context.seed ^ model.length);
  if (!(await passes(call, asked, hash, model))) return;
  const order: JobOrder = {
    offer,
    input,
    asked,
    hash,
    quantity: jobQuantity(offer, input, asked.quantity, hash),
    owner: ask.req.headers.authorization ?? null,
  };
  const job = context.jobs.submit(order, protocol.idStyle, serial);
  if (await waited(exchange, job, request.waits)) {
    await answer(call, asked.faults, job, job.id, protocol.submitted(job, ask));
  }
}

/** Waits for a job as long as its caller wants to. False: the caller left, and the job was called off. */
async function waited(
  exchange: Exchange,
  job: Job,
  waits: 'not' | 'a_while' | 'until_the_end',
): Promise<boolean> {
  const { polls, runMs, end } = job.order.asked;
  if (waits === 'not' || (waits === 'a_while' && (polls !== null || end === 'never'))) return true;
  if (end === 'never') await exchange.untilGone();
  else if (runMs !== null) await exchange.sleep(runMs);
  if (exchange.isGone) {
    job.cancel();
    return false;
  }
  job.finish();
  return true;
}

/** A look at a job, the fetch of its result, or its cancellation. */
async function attend(
  call: JobCall,
  request: Extract<JobRequest, { kind: 'look' | 'fetch' | 'cancel' }>,
  bytes: Buffer,
): Promise<void> {
  const { context, exchange, protocol, ask, viaRouter } = call;
  const { provider } = protocol;
  const id = context.ids.unbilled();
  const owner = ask.req.headers.authorization ?? null;
  const job = context.jobs.find(provider, request.id, owner);
  const model = job?.order.offer.model ?? null;
  const target = { route: 'job-poll', provider, model } as const;
  const asked = unitDirectives(context, exchange, target, bytes);
  const headers = unitHeaders(provider, id, viaRouter);
  if ('body' in asked) {
    sendError(exchange, asked, headers);
    return;
  }
  if (!(await passes(call, asked, 0, model ?? ''))) return;
  const found = job === null ? null : take(call, job, request.kind);
  // A look may have been the one at which the provider forgot the job.
  if (job === null || found === null || job.state === 'lost') {
    sendError(exchange, providerError(provider, 'not_found', request.id), headers);
    return;
  }
  await answer(call, asked.faults, job, id, found);
}

function take(call: JobCall, job: Job, kind: 'look' | 'fetch' | 'cancel'): JobAnswer {
  const { protocol, ask } = call;
  switch (kind) {
    case 'look':
      job.look();
      return protocol.looked(job, ask);
    case 'fetch':
      job.fetch();
      return protocol.fetched(job, ask);
    case 'cancel': {
      const wasRunning = job.cancel();
      return protocol.cancelled(job, !wasRunning, ask);
    }
  }
}

/** Carries out the faults that strike before an answer. True: go on. */
async function passes(
  call: JobCall,
  asked: Directives,
  hash: number,
  model: string,
): Promise<boolean> {
  const { context, exchange, protocol, viaRouter } = call;
  const headers = unitHeaders(protocol.provider, context.ids.unbilled(), viaRouter);
  const random = new SeededRandom(hash);
  const { kind } = await interrupt(exchange, asked, random, model, headers);
  return kind === 'none';
}

async function answer(
  call: JobCall,
  faults: readonly Fault[],
  job: Job,
  id: string,
  { status, headers, body }: JobAnswer,
): Promise<void> {
  const { exchange, protocol, viaRouter } = call;
  const isSent = !faults.includes('no-request-id');
  const inference = inferenceId(protocol.provider, job.id);
  await sendUnitAnswer(
    exchange,
    faults,
    status,
    {
      ...unitHeaders(protocol.provider, isSent ? id : null, viaRouter),
      ...(inference !== null && { 'inference-id': inference }),
      ...headers,
    },
    Buffer.from(JSON.stringify(body)),
  );
}

function parse(bytes: Buffer): JsonObject | null {
  try {
    const body: unknown = JSON.parse(bytes.toString());
    return isObject(body) ? body : null;
  } catch {
    return null;
  }
}
