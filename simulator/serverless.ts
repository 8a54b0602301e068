import { createHash } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Outcome } from './books.js';
import type { Context } from './context.js';
import type { Directives } from './directives.js';
import { jsonError, modelLoading, providerNotSupported } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { interrupt, sendError } from './interruption.js';
import { alteredQuantity, unixSeconds } from './job-protocol.js';
import { isObject, type JsonObject } from './json.js';
import { type PipelineInput, type PipelineOutput, runPipeline } from './pipelines.js';
import { hashText, SeededRandom } from './random.js';
import type { Routed } from './routes.js';
import { sendUnitAnswer, unitDirectives, unitHeaders } from './unit-answer.js';
import { unitLine } from './unit-lines.js';
import { baseQuantity, publishedQuantity } from './unit-money.js';
import type { UnitOffer } from './unit-offers.js';

const PROVIDER = 'hf-inference';
/** `/hf-inference/models/{model}[/pipeline/{task}]`; chat there is chat like any other. */
export const SERVERLESS_ROUTE =
  /^\/hf-inference\/models\/([\w.-]+(?:\/[\w.-]+)?)(?:\/pipeline\/([\w-]+)|\/v1\/(completions))?$/;
/** A model that does one does the other. */
const SENTENCE_TASKS = ['feature-extraction', 'sentence-similarity'];

/** What is asked of the serverless tier. */
interface ServerlessRequest {
  readonly model: string;
  /** Null: the model's own. */
  readonly task: string | null;
  /** Text generation in OpenAI's shape. */
  readonly isCompletion: boolean;
}

/**
 * Waits for a model that is not loaded if the caller wants to (`x-wait-for-model: true`), else answers
 * 503. True: answered, or the caller left.
 */
export async function refusedAsCold(
  context: Context,
  exchange: Exchange,
  model: string,
  headers: OutgoingHttpHeaders,
): Promise<boolean> {
  const { coldStarts } = context;
  if (isOn(exchange.req, 'x-wait-for-model', false)) {
    const ms = coldStarts.waitMs(model);
    if (ms === 0) return false;
    await exchange.sleep(ms);
    coldStarts.warm(model);
    return exchange.isGone;
  }
  const refusal = coldStarts.refuse(model);
  if (refusal === null) return false;
  sendError(exchange, modelLoading(model, refusal.estimatedS), headers);
  return true;
}

/** One call of the serverless tier (`SERVERLESS_ROUTE`): one line in the books, billed by compute time. */
export async function serveServerless(routed: Routed, bytes: Buffer): Promise<void> {
  const { context, exchange, groups } = routed;
  const [model = '', task = '', completions = ''] = groups;
  const request = { model, task: task === '' ? null : task, isCompletion: completions !== '' };
  const serial = context.ids.next();
  const offer = context.unitOffers.at(PROVIDER, model);
  const plain = unitHeaders(PROVIDER, `req-${serial}`, true);
  if (offer === null || !fits(offer, request)) {
    sendError(exchange, providerNotSupported(PROVIDER), plain);
    return;
  }
  const target = { route: 'serverless', provider: PROVIDER, model: offer.model } as const;
  const asked = unitDirectives(context, exchange, target, bytes);
  if ('body' in asked) {
    sendError(exchange, asked, plain);
    return;
  }
  await new ServerlessCall(context, exchange, offer, request, bytes, asked, serial).serve();
}

class ServerlessCall {
  private readonly requestId: string;
  private readonly headers: OutgoingHttpHeaders;
  private readonly input: PipelineInput;
  private readonly hash: number;
  /** Seconds, as the provider states them. */
  private readonly computeTime: string;
  private readonly computeMs: number;

  constructor(
    private readonly context: Context,
    private readonly exchange: Exchange,
    private readonly offer: UnitOffer,
    private readonly request: ServerlessRequest,
    private readonly bytes: Buffer,
    private readonly asked: Directives,
    private readonly serial: string,
  ) {
    const repeat = asked.faults.includes('duplicate-request-id');
    this.requestId = context.ids.requestId(serial, asked.requestId, repeat);
    this.headers = unitHeaders(PROVIDER, this.isIdSent ? this.requestId : null, true);
    this.input = { json: parse(bytes), bytes };
    this.hash = hashText(bytes.toString('latin1', 0, 256), context.seed ^ bytes.length);
    this.computeTime = asked.quantity ?? publishedQuantity(offer.price, 50 + (this.hash % 950));
    this.computeMs = baseQuantity(offer.price, this.computeTime) ?? 0;
  }

  async serve(): Promise<void> {
    const { context, exchange, offer, asked } = this;
    const random = new SeededRandom(this.hash);
    const struck = await interrupt(exchange, asked, random, offer.model, this.headers);
    switch (struck.kind) {
      case 'client_gone':
        // It computes to the end, whoever is still there to see.
        this.record('client_aborted', 0, true);
        return;
      case 'reset':
        this.record('faulted', 0, false);
        return;
      case 'answered':
        this.record('faulted', struck.status, false);
        return;
      case 'none':
    }
    if (await refusedAsCold(context, exchange, offer.model, this.headers)) {
      this.record('faulted', exchange.isGone ? 0 : 503, false);
      return;
    }
    await this.compute();
  }

  private async compute(): Promise<void> {
    const { context, exchange, offer, asked } = this;
    const isPlain = asked.faults.length === 0;
    const key = this.cacheKey();
    const cached = isPlain && isOn(exchange.req, 'x-use-cache', true);
    const known = cached ? context.results.get(key) : null;
    const output = known ?? this.run();
    if (output === null) {
      const error = { error: `Invalid inputs for the task ${this.task}` };
      sendError(exchange, jsonError(400, error), this.headers);
      this.record('faulted', 400, false);
      return;
    }
    if (isPlain) context.results.put(key, output);
    const breaks = asked.faults.includes('reset-mid-stream');
    // The line is written first: whoever has seen the whole answer finds it in the books.
    this.record(breaks ? 'faulted' : 'complete', 200, known === null);
    const time = known === null ? alteredQuantity(asked.faults, this.computeTime) : '0.000';
    const headers = {
      ...this.headers,
      'content-type': output.kind === 'json' ? 'application/json' : output.contentType,
      'x-compute-type': known !== null ? 'cache' : computeType(offer),
      ...(time !== null && { 'x-compute-time': time }),
    };
    const body = output.kind === 'json' ? Buffer.from(JSON.stringify(output.body)) : output.bytes;
    await sendUnitAnswer(exchange, asked.faults, 200, headers, body);
  }

  private run(): PipelineOutput | null {
    const { offer, request, input } = this;
    if (request.isCompletion) return { kind: 'json', body: this.completion() };
    return runPipeline(this.task, offer.model, input);
  }

  /** What the JavaScript client takes text generation for. */
  private completion(): JsonObject {
    const { context, offer, input, serial } = this;
    const prompt = input.json?.['prompt'];
    const promptTokens = typeof prompt === 'string' ? Math.ceil(prompt.length / 4) : 1;
    const text = ' The toll is paid.';
    return {
      id: `cmpl-${serial}`,
      object: 'text_completion',
      created: unixSeconds(context.now()),
      model: offer.providerModelId,
      choices: [{ index: 0, text, logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: promptTokens, completion_tokens: 5, total_tokens: promptTokens + 5 },
    };
  }

  private get task(): string {
    return this.request.task ?? this.offer.task;
  }

  private get isIdSent(): boolean {
    return !this.asked.faults.includes('no-request-id');
  }

  private cacheKey(): string {
    const hash = createHash('sha256').update(`${this.offer.model} ${this.task} `);
    return hash.update(this.bytes).digest('hex');
  }

  private record(outcome: Outcome, status: number, billed: boolean): void {
    const { context, offer, asked } = this;
    context.books.append(
      unitLine({
        offer,
        requestId: this.requestId,
        requestIdSent: this.isIdSent && status !== 0,
        time: context.now(),
        status,
        outcome,
        billed: asked.bill ?? billed,
        quantity: this.computeMs,
        tag: asked.tag,
        stream: false,
      }),
    );
  }
}

function fits({ task }: UnitOffer, request: ServerlessRequest): boolean {
  if (request.isCompletion) return task === 'text-generation';
  if (request.task === null || request.task === task) return true;
  return SENTENCE_TASKS.includes(request.task) && SENTENCE_TASKS.includes(task);
}

function computeType({ task }: UnitOffer): string {
  return task === 'text-to-image' || task === 'automatic-speech-recognition'
    ? 'gpu'
    : 'cpu+optimized';
}

/** A header that says yes or no; `otherwise` when it is not there. */
function isOn(req: IncomingMessage, header: string, otherwise: boolean): boolean {
  const value = req.headers[header];
  return typeof value === 'string' ? value === 'true' || value === '1' : otherwise;
}

function parse(bytes: Buffer): JsonObject | null {
  try {
    const body: unknown = JSON.parse(bytes.toString());
    return isObject(body) ? body : null;
  } catch {
    return null;
  }
}
