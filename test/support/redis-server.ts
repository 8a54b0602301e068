import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * The few commands of Redis that the limiter's library sends, over a real socket. It runs no Lua: a
 * script is taken to be the library's "add and tell the time to live".
 */
export interface RedisServer {
  readonly url: string;
  /** Sent since the start, by name. */
  readonly commands: readonly string[];
  /** Takes commands and answers them all when it is over, as a machine that swaps. */
  hang(isHanging: boolean): void;
  /** Closes every connection and listens no more. */
  stop(): Promise<void>;
  /** On the port it had, empty, as after a restart. */
  start(): Promise<void>;
}

type Reply = string | number | null | Error | readonly Reply[];

interface Counter {
  value: number;
  readonly expiresAtMs: number;
}

export async function startRedisServer(): Promise<RedisServer> {
  const commands: string[] = [];
  const counters = new Map<string, Counter>();
  const scripts = new Set<string>();
  const sockets = new Set<Socket>();
  let isHanging = false;
  let late: (() => void)[] = [];
  let port = 0;

  const get = (key: string): Counter | undefined => {
    const counter = counters.get(key);
    if (counter !== undefined && counter.expiresAtMs <= Date.now()) counters.delete(key);
    return counters.get(key);
  };
  const msLeft = (key: string): number => (get(key)?.expiresAtMs ?? Date.now() - 2) - Date.now();
  const add = (key: string, points: number, seconds: number): Reply => {
    const counter = get(key) ?? { value: 0, expiresAtMs: Date.now() + seconds * 1000 };
    counter.value += points;
    counters.set(key, counter);
    return [counter.value, msLeft(key)];
  };
  const run = (name: string, args: readonly string[]): Reply => {
    const [first = '', , key = '', points, seconds] = args;
    switch (name) {
      case 'evalsha':
        if (!scripts.has(first)) return new Error('NOSCRIPT No matching script.');
        return add(key, Number(points), Number(seconds));
      case 'eval':
        scripts.add(createHash('sha1').update(first).digest('hex'));
        return add(key, Number(points), Number(seconds));
      case 'get':
        return get(first)?.value.toString() ?? null;
      case 'pttl':
        return msLeft(first);
      case 'info':
        return 'redis_version:7.0.0\r\nloading:0';
      case 'client':
        return 'OK';
      default:
        return new Error(`ERR unknown command '${name}'`);
    }
  };

  const server = createServer((socket) => {
    socket.setNoDelay(true);
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    let unread = '';
    let transaction: Reply[] | null = null;
    const answer = (name: string, args: readonly string[]): Reply => {
      if (name === 'multi') {
        transaction = [];
        return 'OK';
      }
      if (name === 'exec') {
        const replies = transaction;
        transaction = null;
        return replies;
      }
      if (transaction === null) return run(name, args);
      transaction.push(run(name, args));
      return 'QUEUED';
    };
    socket.on('data', (bytes) => {
      unread += bytes.toString('latin1');
      for (;;) {
        const read = readCommand(unread);
        if (read === null) return;
        unread = unread.slice(read.length);
        const [name = '', ...args] = read.words;
        commands.push(name.toLowerCase());
        const reply = (): void => {
          if (!socket.destroyed) socket.write(written(answer(name.toLowerCase(), args)));
        };
        if (isHanging) late.push(reply);
        else reply();
      }
    });
  });
  const start = async (): Promise<void> => {
    await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
    ({ port } = server.address() as AddressInfo);
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    commands,
    hang: (hangs) => {
      isHanging = hangs;
      if (isHanging) return;
      for (const reply of late) reply();
      late = [];
    },
    start,
    stop: async () => {
      counters.clear();
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`; null when it has not arrived whole. */
function readCommand(text: string): { words: string[]; length: number } | null {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return null;
  let at = head[0].length;
  const words: string[] = [];
  for (let left = Number(head[1]); left > 0; left -= 1) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at));
    if (size === null) return null;
    const from = at + size[0].length;
    const to = from + Number(size[1]);
    if (text.length < to + 2) return null;
    words.push(text.slice(from, to));
    at = to + 2;
  }
  return { words, length: at };
}

function written(reply: Reply): string {
  if (reply === null) return '$-1\r\n';
  if (typeof reply === 'number') return `:${reply}\r\n`;
  if (typeof reply === 'string') return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`;
  if (reply instanceof Error) return `-${reply.message}\r\n`;
  return `*${reply.length}\r\n${reply.map(written).join('')}`;
}
