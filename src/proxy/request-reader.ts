import type { Catalog } from '../catalog/catalog.js';
import type { RouteAsk } from '../domain/routing-ask.js';
import { estimatedTokens } from '../domain/estimate.js';
import type { Config } from '../config/config.js';
import { refusal, type Refusal } from '../domain/errors.js';
import type { Identity } from '../identity/identity.js';
import { readChatRequest } from './body/chat-request.js';
import { asksForSoundInEvents, readMediaRequest } from './body/media-request.js';
import { readUpload, uploadKindOf, uploadRefusal, type UploadKind } from './body/read-upload.js';
import { BufferedBody } from './body/request-body.js';
import type { Spool } from './body/spool.js';
import type { BufferBudget } from './buffer-budget.js';
import { webhookProblem, type MatchedRoute } from './passthrough/match.js';
import type { PassRouting } from './passthrough/pass-routing.js';
import { webhookFieldOf } from './passthrough/webhooks.js';
import type { Call, RoutedRequest } from './call.js';
import { readBody } from './read-body.js';
import * as refusals from './refusals.js';
import type { RequestMarks } from './request-headers.js';
import { isTextTask } from '../domain/tasks.js';

/** Who asks, and what he says about his request beside its body. */
export interface Asker {
  readonly identity: Identity;
  readonly secret: string;
  readonly marks: RequestMarks;
}

/** Step 3: reads the body, checks what we read of it, and finds who may serve it. */
export class RequestReader {
  constructor(
    private readonly config: Config,
    private readonly catalog: Catalog,
    private readonly buffers: BufferBudget,
    private readonly passes: PassRouting,
    private readonly spool: Spool,
  ) {}

  /** Null: the client has left. */
  async read(call: Call, asker: Asker): Promise<RoutedRequest | Refusal | null> {
    const { endpoint, request } = call;
    const kind = endpoint.body === 'upload' ? uploadKindOf(request.headers['content-type']) : null;
    return kind === null ? this.readJson(call, asker) : this.readUpload(call, asker, kind);
  }

  private async readJson(call: Call, asker: Asker): Promise<RoutedRequest | Refusal | null> {
    const { endpoint, request } = call;
    const { headers } = request;
    if (endpoint.body === 'upload' && call.pass === null) return refusals.NO_UPLOAD;
    const isJson =
      headers['content-type'] === undefined ||
      /^application\/(?:[\w.-]+\+)?json\b/i.test(headers['content-type']);
    const encoding = headers['content-encoding'] ?? 'identity';
    if (!isJson || encoding !== 'identity') return refusals.UNSUPPORTED_MEDIA_TYPE;
    const reading = await readBody(request, this.config.requestMaxBytes, this.buffers);
    if (reading.kind === 'client_gone') {
      call.response.destroy();
      return null;
    }
    if (reading.kind !== 'read')
      return refusals.bodyRefusal(reading.kind, this.config.requestMaxBytes);
    call.heldBodyBytes = reading.body.length;
    const read = readChatRequest(reading.body, {
      isModelRequired: call.pass?.route.model !== 'path',
    });
    if (!read.ok) return refusal(read.code, read.message, { param: read.field });
    const { facts } = read;
    call.body = new BufferedBody(reading.body, facts);
    if (facts.background === true) {
      return refusal(
        'invalid_request',
        '`background` is not supported here: answers must pass through.',
        { param: 'background' },
      );
    }
    const webhook = call.pass === null ? null : webhookOf(call.pass, reading.body);
    if (webhook !== null) return webhook;
    const media = readMediaRequest(reading.body, facts, endpoint.task);
    if (!media.ok) return refusal(media.code, media.message, { param: media.field });
    const isStream = endpoint.task === 'speech' && asksForSoundInEvents(reading.body, facts);
    return this.route(call, asker, {
      body: call.body,
      facts: isStream ? { ...facts, stream: true } : facts,
      media: media.media,
      textBytes: media.textBytes,
    });
  }

  private async readUpload(
    call: Call,
    asker: Asker,
    kind: UploadKind,
  ): Promise<RoutedRequest | Refusal | null> {
    const { endpoint, request } = call;
    const encoding = request.headers['content-encoding'] ?? 'identity';
    if (encoding !== 'identity') return refusals.UNSUPPORTED_MEDIA_TYPE;
    const reading = await readUpload(request, kind, {
      spool: this.spool,
      budget: this.buffers,
      maxBytes: this.config.uploadMaxBytes,
      isModelRequired: call.pass?.route.model !== 'path',
      isDigestWanted: asker.marks.idempotencyKey !== null,
    });
    if (reading.kind !== 'read') {
      const refused = uploadRefusal(reading, this.config.uploadMaxBytes);
      if (refused === null) call.response.destroy();
      return refused;
    }
    const { body, facts, media } = reading.upload;
    call.body = body;
    const isHeard = endpoint.task === 'transcription' || endpoint.task === 'inference';
    return this.route(call, asker, {
      body,
      facts,
      media: await media({ isDurationWanted: isHeard }),
      textBytes: facts.textBytes,
    });
  }

  private route(
    call: Call,
    asker: Asker,
    read: Pick<RoutedRequest, 'body' | 'facts' | 'media' | 'textBytes'>,
  ): RoutedRequest | Refusal {
    const { endpoint, request } = call;
    const { facts } = read;
    if ((facts.model?.length ?? 0) > refusals.MODEL_TEXT_MAX_CHARS) return refusals.MODEL_TOO_LONG;
    const resolution =
      call.pass === null
        ? this.catalog.resolve(askOf(call, asker, read))
        : this.passes.resolve(call.pass, facts.model, asker.identity, call.createdAt);
    if ('code' in resolution) return resolution;
    if (resolution.kind === 'not_supported') return refusals.notSupported(resolution);
    return {
      ...asker,
      ...read,
      endpoint,
      model: resolution.model,
      routes: resolution.routes,
      query: endpoint.keepsQuery ? queryOf(request.url ?? '') : '',
    };
  }
}

/** What is assumed of an answer whose length nobody bounds. */
const ASSUMED_OUTPUT_TOKENS = 1_024;

function askOf(
  { endpoint, createdAt }: Call,
  { identity, marks }: Asker,
  { facts, textBytes }: Pick<RoutedRequest, 'facts' | 'textBytes'>,
): RouteAsk {
  const { output } = endpoint;
  return {
    modelText: facts.model ?? '',
    task: endpoint.task,
    at: createdAt,
    account: { id: identity.accountId, routing: identity.routing },
    stickyKey: marks.sessionId ?? facts.sessionId ?? facts.promptCacheKey,
    estimate: {
      inputTokens: Number(estimatedTokens(textBytes)),
      outputTokens:
        output.kind === 'fixed' && output.tokens === 0
          ? 0
          : facts.outputs * (facts.callerMaxOutputTokens ?? ASSUMED_OUTPUT_TOKENS),
    },
  };
}

/** A result that is sent elsewhere has no price here. */
function webhookOf({ task }: MatchedRoute, body: Buffer): Refusal | null {
  // In the body of a text a name that lies deeper is the caller's own.
  const isText = isTextTask(task) || task === 'embedding';
  const field = webhookFieldOf(body, !isText);
  return field === null
    ? null
    : refusal('invalid_request', webhookProblem(field), { param: field });
}

function queryOf(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at);
}
