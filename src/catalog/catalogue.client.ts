import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Agent, request } from 'undici';
import { guardedConnector, PrivateAddressError } from '../http/guarded-connector.js';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';

/** A list of models, and as whom it is asked for. */
export interface CatalogueSource {
  readonly url: string;
  /** `Authorization`; null: none. */
  readonly authorization: string | null;
  /** The address was entered through the API: it is judged at the connect. */
  readonly isGuarded: boolean;
}

/** The document as it came, or why there is none. */
export type FetchedCatalogue =
  | { readonly kind: 'fetched'; readonly text: string }
  /** The server has no such list. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly problem: string };

/** The public catalogue is a few MB; one that is larger is not read into memory. */
const DOCUMENT_MAX_BYTES = 32 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 5_000;
const TOTAL_TIMEOUT_MS = 20_000;
const ABSENT: ReadonlySet<number> = new Set([404, 405, 501]);

/** Fetches lists of models. Redirects are not followed. */
@Injectable()
export class CatalogueClient implements OnModuleDestroy {
  private readonly open: Agent;
  private readonly guarded: Agent;
  private readonly stopping = new AbortController();

  constructor(@Inject(CONFIG) { allowPrivateUpstreams }: Config) {
    const timeouts = {
      headersTimeout: TOTAL_TIMEOUT_MS,
      bodyTimeout: TOTAL_TIMEOUT_MS,
      keepAliveTimeout: 1_000,
    };
    this.open = new Agent({ ...timeouts, connect: { timeout: CONNECT_TIMEOUT_MS } });
    this.guarded = new Agent({
      ...timeouts,
      connect: guardedConnector({
        allowedHosts: allowPrivateUpstreams,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
      }),
    });
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await Promise.all([this.open.destroy(), this.guarded.destroy()]);
  }

  /** Never rejects. */
  async fetch({ url, authorization, isGuarded }: CatalogueSource): Promise<FetchedCatalogue> {
    try {
      const { statusCode, body } = await request(url, {
        dispatcher: isGuarded ? this.guarded : this.open,
        signal: AbortSignal.any([this.stopping.signal, AbortSignal.timeout(TOTAL_TIMEOUT_MS)]),
        headers: {
          accept: 'application/json',
          'accept-encoding': 'identity',
          ...(authorization === null ? {} : { authorization }),
        },
      });
      if (statusCode !== 200) {
        await body.dump({ limit: 64 * 1024 });
        return ABSENT.has(statusCode)
          ? { kind: 'absent' }
          : { kind: 'failed', problem: `the upstream answered ${statusCode}` };
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
  if (error instanceof PrivateAddressError) return error.message;
  if (!(error instanceof Error)) return 'the catalogue could not be read';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return `the catalogue could not be read (${code})`;
}
