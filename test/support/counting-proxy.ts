import { createServer, request as ask } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A wire to an upstream that notes every request that goes over it. */
export interface CountingProxy {
  readonly url: string;
  /** `METHOD /path?query`, but for the catalogue, which a service reads by itself. */
  readonly requests: string[];
  /** Their bodies, in the order in which they had come whole. */
  readonly bodies: string[];
  close(): Promise<void>;
}

export async function startCountingProxy(targetUrl: string): Promise<CountingProxy> {
  const target = new URL(targetUrl);
  const requests: string[] = [];
  const bodies: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const url = incoming.url ?? '';
    if (url !== '/v1/models') requests.push(`${incoming.method ?? ''} ${url}`);
    const passed = ask(
      {
        host: target.hostname,
        port: target.port,
        method: incoming.method,
        path: url,
        headers: { ...incoming.headers, host: target.host },
        agent: false,
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
        answer.on('error', () => outgoing.destroy());
      },
    );
    passed.on('error', () => outgoing.destroy());
    outgoing.on('close', () => passed.destroy());
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      if (url !== '/v1/models') bodies.push(Buffer.concat(chunks).toString('utf8'));
    });
    incoming.pipe(passed);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    bodies,
    close: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
