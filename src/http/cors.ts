import type { FastifyReply, FastifyRequest } from 'fastify';

/** Ours of an answer that a page may read, beside the few that browsers always show. */
const EXPOSED = [
  'x-request-id',
  'request-id',
  'inference-id',
  'x-upstream-request-id',
  'x-inference-provider',
  'x-tollgate-model',
  'x-tollgate-attempts',
  'x-tollgate-max-tokens',
  'x-tollgate-dropped',
  'x-tollgate-cost-usd',
  'x-tollgate-demo',
  'retry-after',
  'x-should-retry',
  'ratelimit',
  'ratelimit-policy',
  'openai-processing-ms',
].join(', ');
const METHODS = 'GET, POST';
/** For how long a browser need not ask again; no browser believes more. */
const MAX_AGE_S = 7200;

/**
 * Lets pages of these origins call `/v1`, and nothing else of ours. A hook before routing's result
 * counts: what it sets on the raw answer is sent with whatever head follows, also where the proxy
 * writes it past Fastify. No credentials: a token is a header that the page sends, never a cookie.
 */
export function corsHook(
  origins: readonly string[],
): (request: FastifyRequest, reply: FastifyReply, done: () => void) => void {
  const allowed = new Set(origins);
  const isOpen = allowed.has('*');
  return (request, reply, done) => {
    if (!/^\/v1(?:[/?]|$)/.test(request.url)) {
      done();
      return;
    }
    const { raw } = reply;
    if (!isOpen) raw.setHeader('vary', 'Origin');
    const { origin } = request.headers;
    if (origin === undefined || !(isOpen || allowed.has(origin))) {
      done();
      return;
    }
    raw.setHeader('access-control-allow-origin', isOpen ? '*' : origin);
    const { 'access-control-request-method': asksFor, 'access-control-request-headers': headers } =
      request.headers;
    if (request.method !== 'OPTIONS' || asksFor === undefined) {
      raw.setHeader('access-control-expose-headers', EXPOSED);
      done();
      return;
    }
    raw.setHeader('access-control-allow-methods', METHODS);
    // Any: clients add headers of their own, and none of them can do more than the token may.
    if (headers !== undefined) raw.setHeader('access-control-allow-headers', headers);
    raw.setHeader('access-control-max-age', MAX_AGE_S);
    void reply.code(204).send();
  };
}
