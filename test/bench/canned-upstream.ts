import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  CONTENT_EVENT,
  LAST_EVENTS,
  MODELS_JSON,
  PLAIN_JSON,
  PROVIDER,
  readStreamMark,
} from './canned-answers.js';

// A process of its own: node canned-upstream.js <port>. Answers without thinking; every answer has
// an id of its own, because no two answers may be charged as one.

let count = 0;

function headersOf(contentType: string): Record<string, string> {
  count += 1;
  return {
    'content-type': contentType,
    'x-request-id': `bench-${process.pid}-${count}`,
    'x-inference-provider': PROVIDER,
  };
}

function answerPlain(response: ServerResponse, json: string): void {
  const headers = { ...headersOf('application/json'), 'content-length': json.length };
  response.writeHead(200, headers).end(json);
}

function answerStream(response: ServerResponse, chunks: number, tickMs: number): void {
  response.writeHead(200, headersOf('text/event-stream; charset=utf-8'));
  let left = chunks;
  const timer = setInterval(() => {
    if (left > 0) {
      left -= 1;
      response.write(CONTENT_EVENT);
      return;
    }
    clearInterval(timer);
    response.end(LAST_EVENTS);
  }, tickMs);
  response.once('close', () => {
    clearInterval(timer);
  });
}

const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.once('end', () => {
    if (request.method === 'GET') {
      answerPlain(response, MODELS_JSON);
      return;
    }
    const mark = readStreamMark(Buffer.concat(parts));
    if (mark === null) answerPlain(response, PLAIN_JSON);
    else answerStream(response, mark.chunks, mark.tickMs);
  });
});
server.keepAliveTimeout = 600_000;
server.requestTimeout = 0;
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
