import { createServer, connect, type Socket } from 'node:net';

/** A wire between a client and a server that can be cut where it hurts. */
export interface TcpProxy {
  readonly port: number;
  /**
   * At the next client message that contains `text`: `before` cuts without passing it on, `after`
   * passes it on, waits for the server's answer and cuts instead of passing that back.
   */
  cutAt(text: string, when: 'before' | 'after'): void;
  /** How often it has cut. */
  readonly cuts: number;
  close(): Promise<void>;
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  let armed: { text: string; when: 'before' | 'after' } | null = null;
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(targetPort, '127.0.0.1');
    let isSwallowing = false;
    const cut = (): void => {
      cuts += 1;
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (chunk) => {
      if (armed !== null && chunk.includes(armed.text)) {
        const { when } = armed;
        armed = null;
        if (when === 'before') {
          cut();
          return;
        }
        isSwallowing = true;
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (isSwallowing) cut();
      else client.write(chunk);
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    port: address.port,
    cutAt: (text, when) => {
      armed = { text, when };
    },
    get cuts() {
      return cuts;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((closed) =>
        server.close(() => {
          closed();
        }),
      );
    },
  };
}
