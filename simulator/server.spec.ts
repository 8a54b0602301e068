import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { startSimulator } from './server.js';
import { chat, chatBody, eventually, openChat } from './spec-client.js';
import { EVERY_DIALECT, ROUND_PRICES } from './special-models.js';

describe('a simulator', () => {
  it('ends hanging requests and frees its port on close', async () => {
    const simulator = await startSimulator();
    const hanging = ['fault=hang-before-headers', 'delay=60000', 'chunk_delay=60000'].map((sim) =>
      openChat(simulator, { model: ROUND_PRICES, sim, stream: true }),
    );
    await eventually(() => simulator.openRequests() === hanging.length);
    await simulator.close();
    await eventually(() => simulator.openRequests() === 0);
    for (const open of hanging) expect((await open.received).error).toBe('ECONNRESET');
    const next = await startSimulator({ port: simulator.port });
    await next.close();
  });

  it('rejects when the port is taken', async () => {
    const simulator = await startSimulator();
    await expect(startSimulator({ port: simulator.port })).rejects.toThrow('EADDRINUSE');
    await simulator.close();
  });

  it('bills an aborted answer whole through the router when told that the router does', async () => {
    const simulator = await startSimulator({ routerBillsAborted: true });
    const sim = 'output=8 fault=hang-before-headers';
    const open = openChat(simulator, { model: `${EVERY_DIALECT}:together`, sim });
    await eventually(() => simulator.openRequests() === 1);
    open.request.destroy();
    await eventually(() => simulator.openRequests() === 0);
    expect(simulator.books.since()).toMatchObject([{ billed: true, completionTokens: 8 }]);
    await simulator.close();
  });

  it('stops generating while the client does not read', async () => {
    const simulator = await startSimulator();
    // Some 13 MB: more than the sockets in between hold.
    const model = `${EVERY_DIALECT}:together`;
    const ask = { model, stream: true, sim: 'output=60000 chunks=60000 burst' };
    const body = chatBody(ask);
    const socket = connect(simulator.port, '127.0.0.1');
    socket.pause();
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await eventually(() => simulator.openRequests() === 1);
    // A twin that is read to its end is done; the one that nobody reads still is not.
    await chat(simulator, ask);
    expect(simulator.books.since()).toMatchObject([{ outcome: 'complete' }]);
    socket.destroy();
    await eventually(() => simulator.books.since().length === 2);
    const line = simulator.books.since().at(-1);
    expect(line?.outcome).toBe('client_aborted');
    expect(line?.completionTokens).toBeGreaterThan(0);
    expect(line?.completionTokens).toBeLessThan(60_000);
    await simulator.close();
  });

  it('is deterministic from its seed, but for the ids', async () => {
    const answers = await Promise.all(
      [5, 5, 6].map(async (seed) => {
        const simulator = await startSimulator({ seed, now: () => new Date(0) });
        const { text } = await chat(simulator, { model: ROUND_PRICES });
        await simulator.close();
        return text.replace(/chatcmpl-[\w-]+/, '');
      }),
    );
    expect(answers[0]).toBe(answers[1]);
    expect(answers[0]).not.toBe(answers[2]);
  });
});
