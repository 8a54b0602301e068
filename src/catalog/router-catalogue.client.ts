import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Agent, request } from 'undici';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';

/** The document as it came, or why there is none. */
export type FetchedCatalogue =
  | { readonly kind: 'fetched'; readonly text: string }
  | { readonly kind: 'failed'; readonly problem: string };

/** The public catalogue is a few MB; one that is larger is not read into memory. */
const DOCUMENT_MAX_BYTES = 32 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 5_000;
const TOTAL_TIMEOUT_MS = 20_000;

/** `GET /v1/models` of the router in front of which we stand. Redirects are not followed. */
@Injectable()
export class RouterCatalogueClient implements OnModuleDestroy {
  private readonly agent = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: TOTAL_TIMEOUT_MS,
    bodyTimeout: TOTAL_TIMEOUT_MS,
    keepAliveTimeout: 1_000,
  });
  private readonly stopping = new AbortController();

  constructor(@Inject(CONFIG) private readonly config: Config) {}

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.agent.destroy();
  }

  async fetch(): Promise<FetchedCatalogue> {
    const { baseUrl, apiKey } = this.config.upstream;
    try {
      const { statusCode, body } = await request(`${baseUrl}/v1/models`, {
        dispatcher: this.agent,
        signal: AbortSignal.any([this.stopping.signal, AbortSignal.timeout(TOTAL_TIMEOUT_MS)]),
        headers: {
          accept: 'application/json',
          'accept-encoding': 'identity',
          ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
        },
      });
      if (statusCode !== 200) {
        await body.dump({ limit: 64 * 1024 });
        return { kind: 'failed', problem: `the upstream answered ${statusCode}` };
      }
      const chunks: Buffer[] = [];
      let sizeBytes = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        if (sizeBytes > DOCUMENT_MAX_BYTES) {
          return { kind: 'failed', problem: `the catalogue is over ${DOCUMENT_MAX_BYTES} bytes` };
        }
        chunks.push(chunk);
      }
      // What is not UTF-8 is no JSON either.
      const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
      return { kind: 'fetched', text };
    } catch (error) {
      return { kind: 'failed', problem: problemOf(error) };
    }
  }
}

/** Names the failure without the address: the base URL may carry a secret. */
function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return 'the catalogue could not be read';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return `the catalogue could not be read (${code})`;
}
