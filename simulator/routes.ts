import type { IncomingMessage } from 'node:http';
import type { Context } from './context.js';
import type { Exchange } from './exchange.js';

/** A request as its route sees it. */
export interface Routed {
  readonly context: Context;
  readonly exchange: Exchange;
  readonly url: URL;
  /** The decoded groups of the route's pattern; a group that took no part is ''. */
  readonly groups: readonly string[];
  /** The body, whole in memory. A route that reads it in passing uses `exchange.req` instead. */
  bytes(): Promise<Buffer>;
}

/** One entry of the ordered list in server.ts: the first whose method and pattern fit serves. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | '*';
  /** Matched against the path as it was sent, without its query. */
  readonly pattern: RegExp;
  serve(request: Routed): Promise<void> | void;
}

/** The body of a request, whole. Rejects when the client leaves before its end. */
export async function readBody(req: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    req.on('data', (part: Buffer) => parts.push(part));
    req.once('end', resolve);
    req.once('error', reject);
  });
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}
