import { Agent, createServer, request } from 'node:http';

// A process of its own: node node-relay.js <port> <upstream port>. The least a relay in Node does:
// headers on, bytes piped both ways, nothing looked at.

const port = Number(process.argv[2]);
const upstreamPort = Number(process.argv[3]);
const agent = new Agent({ keepAlive: true, maxSockets: 4096, maxFreeSockets: 4096 });

const server = createServer((incoming, outgoing) => {
  const forwarded = request(
    {
      agent,
      host: '127.0.0.1',
      port: upstreamPort,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers,
    },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    },
  );
  forwarded.once('error', () => {
    outgoing.destroy();
  });
  incoming.pipe(forwarded);
});
server.keepAliveTimeout = 600_000;
server.requestTimeout = 0;
server.listen({ port, host: '127.0.0.1', backlog: 4096 });
