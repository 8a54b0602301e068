import type { Catalog } from '../catalog/catalog.js';
import type { Config } from '../config/config.js';
import { refusal, type Refusal } from '../domain/errors.js';
import type { Identity } from '../identity/identity.js';
import { readChatRequest } from './body/chat-request.js';
import { readMediaRequest } from './body/media-request.js';
import type { BufferBudget } from './buffer-budget.js';
import type { Call, RoutedRequest } from './call.js';
import { readBody } from './read-body.js';
import * as refusals from './refusals.js';
import type { RequestMarks } from './request-headers.js';

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
  ) {}

  /** Null: the client has left. */
  async read(call: Call, asker: Asker): Promise<RoutedRequest | Refusal | null> {
    const { endpoint, request } = call;
    const { headers } = request;
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
    const read = readChatRequest(reading.body);
    if (!read.ok) return refusal(read.code, read.message, { param: read.field });
    const { facts } = read;
    if (facts.background === true) {
      return refusal(
        'invalid_request',
        '`background` is not supported here: answers must pass through.',
        { param: 'background' },
      );
    }
    const media = readMediaRequest(reading.body, facts, endpoint.task);
    if (!media.ok) return refusal(media.code, media.message, { param: media.field });
    const resolution = this.catalog.resolve(facts.model ?? '', call.createdAt);
    if (resolution.kind === 'not_supported') return refusals.notSupported(resolution);
    return {
      ...asker,
      endpoint,
      body: reading.body,
      facts,
      model: resolution.model,
      routes: resolution.routes,
      media: media.media,
      textBytes: media.textBytes,
      query: endpoint.keepsQuery ? queryOf(request.url ?? '') : '',
    };
  }
}

function queryOf(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at);
}
