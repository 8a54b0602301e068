import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A wire to an upstream on which answers can be held back: the upstream has done its part by then. */
export interface HeldWire {
  readonly url: string;
  /** From now on holds the answers to requests whose `METHOD /path?query` contains one of these. */
  hold(...texts: readonly string[]): HeldAnswers;
  /** Holds nothing any more; what was held is thrown away with its connections. */
  clear(): void;
  close(): Promise<void>;
}

export interface HeldAnswers {
  /** How many have come and wait. */
  readonly count: number;
  /** Passes on those whose request contains the text, and holds no more of them. */
  letGo(text?: string): void;
}

interface Held {
  readonly line: string;
  readonly answer: IncomingMessage;
  readonly outgoing: ServerResponse;
}

class Hold implements HeldAnswers {
  private held: Held[] = [];

  constructor(private texts: readonly string[]) {}

  get count(): number {
    return this.held.length;
  }

  takes(one: Held): boolean {
    if (!this.texts.some((text) => one.line.includes(text))) return false;
    this.held.push(one);
    return true;
  }

  letGo(text = ''): void {
    this.texts = text === '' ? [] : this.texts.filter((one) => one !== text);
    const going = this.held.filter(({ line }) => line.includes(text));
    this.held = this.held.filter((one) => !going.includes(one));
    for (const one of going) passOn(one);
  }

  drop(): void {
    this.texts = [];
    for (const { answer, outgoing } of this.held) {
      answer.destroy();
      outgoing.destroy();
    }
    this.held = [];
  }
}

export async function startHeldWire(targetUrl: string): Promise<HeldWire> {
  const target = new URL(targetUrl);
  let holds: Hold[] = [];
  const server = createServer((incoming, outgoing) => {
    const line = `${incoming.method ?? ''} ${incoming.url ?? ''}`;
    const passed = ask(
      {
        host: target.hostname,
        port: target.port,
        method: incoming.method,
        path: incoming.url,
        headers: { ...incoming.headers, host: target.host },
        agent: false,
      },
      (answer) => {
        answer.on('error', () => outgoing.destroy());
        const one = { line, answer, outgoing };
        if (!holds.some((hold) => hold.takes(one))) passOn(one);
      },
    );
    passed.on('error', () => outgoing.destroy());
    outgoing.on('close', () => passed.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const clear = (): void => {
    for (const hold of holds) hold.drop();
    holds = [];
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: (...texts) => {
      const hold = new Hold(texts);
      holds.push(hold);
      return hold;
    },
    clear,
    close: async () => {
      clear();
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

function passOn({ answer, outgoing }: Held): void {
  outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
  answer.pipe(outgoing);
}
