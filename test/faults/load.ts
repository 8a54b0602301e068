import { Asks } from './asks.js';
import { Client, type Receipt } from './client.js';

/** Pause of a client that was turned away or found nobody, so that an outage is not a busy loop. */
const BACK_OFF_MS = 25;

export interface LoadOptions {
  readonly seed: number;
  /** Start of every request's id. */
  readonly prefix: string;
  /** Clients that each send one request after the other. */
  readonly clients: number;
  /** The callers' tokens: each request takes one of them. */
  readonly tokens: readonly string[];
}

/** A closed-loop mixed load on the services that are up; notes what every client received. */
export class Load {
  readonly receipts: Receipt[] = [];
  private readonly asks: Asks;
  private readonly client = new Client();
  private readonly targets = new Set<string>();
  private arrived: (() => void)[] = [];
  private isOver = false;
  private turn = 0;
  private running: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: LoadOptions) {
    this.asks = new Asks(options.seed, options.prefix, options.tokens.length);
  }

  start(): void {
    const clients = Array.from({ length: this.options.clients }, () => this.runClient());
    this.running = Promise.all(clients);
  }

  /** Requests may go to this service from now on. */
  addTarget(url: string): void {
    this.targets.add(url);
    this.release();
  }

  /** No new requests go there; those under way meet what comes. */
  removeTarget(url: string): void {
    this.targets.delete(url);
  }

  /** One plain request that nothing is asked to go wrong with. */
  async probe(url: string): Promise<Receipt> {
    const receipt = await this.client.send(url, this.options.tokens[0]!, this.asks.plain());
    this.receipts.push(receipt);
    return receipt;
  }

  /** Sends nothing new and waits for the answers under way. */
  async finish(): Promise<void> {
    this.isOver = true;
    this.release();
    await this.running;
    await this.client.close();
  }

  private async runClient(): Promise<void> {
    while (!this.isOver) {
      const url = await this.nextTarget();
      if (url === null) continue;
      const ask = this.asks.next();
      const receipt = await this.client.send(url, this.options.tokens[ask.tokenIndex]!, ask);
      this.receipts.push(receipt);
      if (receipt.code !== null || receipt.kind === 'not_sent') {
        await new Promise((wake) => setTimeout(wake, BACK_OFF_MS));
      }
    }
  }

  /** The targets in turn; while there is none, waits for one. Null when the load is over. */
  private async nextTarget(): Promise<string | null> {
    const targets = [...this.targets];
    const target = targets[this.turn++ % Math.max(1, targets.length)];
    if (target !== undefined || this.isOver) return target ?? null;
    await new Promise<void>((resolve) => this.arrived.push(resolve));
    return null;
  }

  private release(): void {
    const waiting = this.arrived;
    this.arrived = [];
    for (const resolve of waiting) resolve();
  }
}
