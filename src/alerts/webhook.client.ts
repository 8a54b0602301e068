import { Inject, Injectable, Optional, type OnModuleDestroy } from '@nestjs/common';
import { Webhook } from 'standardwebhooks';
import { Client, type buildConnector } from 'undici';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { guardedConnector, PrivateAddressError } from '../http/guarded-connector.js';
import type { SendResult } from './alert.js';

export interface WebhookMessage {
  /** The same at every attempt: the receiver knows it by this. */
  readonly id: string;
  /** JSON. */
  readonly body: string;
  /** `whsec_...`. */
  readonly secret: string;
}

/** Injection token of another timeout (ms) than the usual one; for tests. */
export const WEBHOOK_TIMEOUT_MS = Symbol('WEBHOOK_TIMEOUT_MS');

const USUAL_TIMEOUT_MS = 5_000;
const ANSWER_MAX_BYTES = 64 * 1024;
const HEADERS_MAX_BYTES = 16 * 1024;

/**
 * POSTs signed messages (Standard Webhooks) to addresses that customers chose: one connection each,
 * judged when it is opened; no redirect; the answer read within bounds and forgotten.
 */
@Injectable()
export class WebhookClient implements OnModuleDestroy {
  private readonly connect: buildConnector.connector;
  private readonly stopping = new AbortController();

  constructor(
    @Inject(CONFIG) { allowPrivateUpstreams }: Config,
    @Optional() @Inject(WEBHOOK_TIMEOUT_MS) private readonly timeoutMs: number = USUAL_TIMEOUT_MS,
  ) {
    this.connect = guardedConnector({
      allowedHosts: allowPrivateUpstreams,
      connectTimeoutMs: timeoutMs,
    });
  }

  onModuleDestroy(): void {
    this.stopping.abort();
  }

  /** Never rejects. */
  async post(url: string, message: WebhookMessage): Promise<SendResult> {
    const { origin, pathname, search } = new URL(url);
    const client = new Client(origin, {
      connect: this.connect,
      headersTimeout: this.timeoutMs,
      bodyTimeout: this.timeoutMs,
      maxHeaderSize: HEADERS_MAX_BYTES,
    });
    const signal = AbortSignal.any([this.stopping.signal, AbortSignal.timeout(this.timeoutMs)]);
    try {
      const { statusCode, body } = await client.request({
        method: 'POST',
        path: pathname + search,
        headers: headersOf(message),
        body: message.body,
        signal,
      });
      // Its status is the answer; the rest is read so that the receiver is done, within bounds.
      await body.dump({ limit: ANSWER_MAX_BYTES, signal }).catch(() => undefined);
      return resultOf(statusCode);
    } catch (error) {
      return { kind: 'failed', problem: this.problemOf(error) };
    } finally {
      await client.destroy();
    }
  }

  private problemOf(error: unknown): string {
    if (this.stopping.signal.aborted) return 'the service stopped before there was an answer';
    if (error instanceof PrivateAddressError) return error.message;
    if (!(error instanceof Error)) return 'no answer';
    if (error.name === 'TimeoutError' || /_TIMEOUT$|^ETIMEDOUT$/.test(codeOf(error))) {
      return `no answer within ${this.timeoutMs} ms`;
    }
    return `no answer (${codeOf(error)})`;
  }
}

function headersOf({ id, body, secret }: WebhookMessage): Record<string, string> {
  // The receiver compares it with its own clock.
  const at = new Date();
  return {
    'content-type': 'application/json',
    'user-agent': 'Tollgate-Webhooks/1',
    'webhook-id': id,
    'webhook-timestamp': Math.floor(at.getTime() / 1000).toString(),
    'webhook-signature': new Webhook(secret).sign(id, at, body),
  };
}

function resultOf(statusCode: number): SendResult {
  if (statusCode >= 200 && statusCode < 300) return { kind: 'delivered' };
  const hint = statusCode >= 300 && statusCode < 400 ? ': a redirect is not followed' : '';
  return { kind: 'failed', problem: `the receiver answered ${statusCode}${hint}` };
}

/** A code of the system or the library: never a text, which may quote what was read. */
function codeOf(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return /^[A-Za-z0-9_]{1,60}$/.test(code) ? code : 'unknown';
}
