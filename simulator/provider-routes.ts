import { serveDirect } from './direct.js';
import { withKey } from './credentials.js';
import { falAtRouter } from './fal-queue.js';
import { sendError } from './interruption.js';
import type { JobProtocol } from './job-protocol.js';
import { serveMediaFile } from './media-files.js';
import { blackForest, novitaMinimax } from './more-polled-jobs.js';
import { novitaTasks, togetherVideos, wavespeedPredictions, zaiTasks } from './polled-jobs.js';
import { providerError } from './provider-errors.js';
import { replicatePredictions } from './replicate-predictions.js';
import type { Route, Routed } from './routes.js';
import { serveJob } from './serve-job.js';
import { SERVERLESS_ROUTE, serveServerless } from './serverless.js';

/** The queues that the router passes through to; the group is the path at the provider. */
const queues: readonly (readonly [pattern: RegExp, protocol: JobProtocol])[] = [
  [/^\/fal-ai(\/.+)$/, falAtRouter],
  [/^\/together(\/v2\/videos(?:\/.*)?)$/, togetherVideos],
  [/^\/novita(\/v3\/async\/.+)$/, novitaTasks],
  [/^\/novita(\/v3\/minimax\/.+)$/, novitaMinimax],
  [/^\/black-forest-labs(\/v1\/.+)$/, blackForest],
  [/^\/replicate(\/v1\/.+)$/, replicatePredictions],
  [/^\/zai-org(\/api\/paas\/v4\/(?:async\/images|videos|async-result)\/.+)$/, zaiTasks],
  [/^\/wavespeed(\/api\/v3\/.+)$/, wavespeedPredictions],
];

/** Single providers: files of results, providers called directly, the serverless tier, jobs. */
export const providerRoutes: readonly Route[] = [
  {
    method: 'GET',
    pattern: /^\/_media\/[\w-]+\/\d+\.([a-z0-9]+)$/,
    serve: ({ exchange, groups }) => {
      serveMediaFile(exchange, groups[0] ?? '');
    },
  },
  {
    method: '*',
    pattern: /^\/_direct\/([a-z0-9-]+)(\/.*)$/,
    serve: async (request) => {
      await serveDirect(request, await request.bytes());
    },
  },
  {
    method: 'POST',
    pattern: SERVERLESS_ROUTE,
    serve: (request) => withKey(request, (bytes) => serveServerless(request, bytes)),
  },
  ...queues.map(([pattern, protocol]): Route => ({
    method: '*',
    pattern,
    serve: (request) => withKey(request, (bytes) => serveQueue(request, protocol, bytes)),
  })),
];

async function serveQueue(request: Routed, protocol: JobProtocol, bytes: Buffer): Promise<void> {
  const { context, exchange, url, groups } = request;
  const { req } = exchange;
  const [path = ''] = groups;
  const ask = { req, method: req.method ?? '', path, query: url.searchParams };
  const understood = protocol.read(ask);
  if (understood === null) {
    const headers = { 'x-request-id': context.ids.unbilled() };
    sendError(exchange, providerError(protocol.provider, 'not_found', path), headers);
    return;
  }
  await serveJob({ context, exchange, protocol, ask, viaRouter: true }, understood, bytes);
}
