import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Agent, request } from 'undici';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { Hub, type HubAnswer } from './hub.js';
import { readHubNames } from './hub-names.js';

const DOCUMENT_MAX_BYTES = 256 * 1024;
const CONNECT_TIMEOUT_MS = 3_000;
const TOTAL_TIMEOUT_MS = 5_000;

/** Asks the Hub about one model. Without a key: what it is asked is public. Redirects are not followed. */
@Injectable()
export class HubClient extends Hub implements OnModuleDestroy {
  private readonly agent = new Agent({
    headersTimeout: TOTAL_TIMEOUT_MS,
    bodyTimeout: TOTAL_TIMEOUT_MS,
    keepAliveTimeout: 1_000,
    connect: { timeout: CONNECT_TIMEOUT_MS },
  });

  constructor(@Inject(CONFIG) private readonly config: Config) {
    super();
  }

  async onModuleDestroy(): Promise<void> {
    await this.agent.destroy();
  }

  override async namesOf(model: string, signal: AbortSignal): Promise<HubAnswer> {
    const { hubUrl } = this.config;
    if (hubUrl === null) return failed('there is no Hub');
    try {
      const url = `${hubUrl}/api/models/${model}?expand[]=inferenceProviderMapping`;
      const { statusCode, body } = await request(url, {
        dispatcher: this.agent,
        signal: AbortSignal.any([signal, AbortSignal.timeout(TOTAL_TIMEOUT_MS)]),
        headers: { accept: 'application/json', 'accept-encoding': 'identity' },
      });
      if (statusCode !== 200) {
        await body.dump({ limit: 64 * 1024 });
        return failed(`the Hub answered ${statusCode}`);
      }
      const chunks: Buffer[] = [];
      let sizeBytes = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        if (sizeBytes > DOCUMENT_MAX_BYTES) {
          return failed(`the answer is over ${DOCUMENT_MAX_BYTES} bytes`);
        }
        chunks.push(chunk);
      }
      const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
      const names = readHubNames(text);
      return names === null ? failed('the answer is unreadable') : { kind: 'named', names };
    } catch (error) {
      return failed(problemOf(error));
    }
  }
}

function failed(problem: string): HubAnswer {
  return { kind: 'failed', problem };
}

/** Names the failure without the address. */
function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return 'the Hub could not be asked';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return `the Hub could not be asked (${code})`;
}
