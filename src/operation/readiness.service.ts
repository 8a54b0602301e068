import { Injectable } from '@nestjs/common';
import { StoreProbe } from './store-probe.repository.js';

/** True once what it names is there; asked until it first is, and never again. */
export type ReadinessCheck = () => boolean | Promise<boolean>;

export type Readiness =
  | { readonly status: 'ready' }
  /** `waitingFor` names what is missing. */
  | { readonly status: 'starting'; readonly waitingFor: readonly string[] }
  | { readonly status: 'stopping' }
  /** Only when the store was asked now. */
  | { readonly status: 'store_down' };

/**
 * Whether a balancer should send requests here. What was once there stays counted as there: while
 * the store is away callers get our own 503 with `Retry-After`, not the balancer's page.
 */
@Injectable()
export class ReadinessService {
  private readonly missing = new Map<string, ReadinessCheck>();
  private isStarted = false;
  private isStopping = false;

  constructor(private readonly store: StoreProbe) {}

  /** Readiness waits for it; its name is shown while it does. */
  registerCheck(name: string, check: ReadinessCheck): void {
    this.missing.set(name, check);
  }

  /** The service listens and everything that the start waits for is done. */
  markReady(): void {
    this.isStarted = true;
  }

  /** From now on no balancer should send anything. */
  markStopping(): void {
    this.isStopping = true;
  }

  async current(): Promise<Readiness> {
    if (this.isStopping) return { status: 'stopping' };
    for (const [name, check] of this.missing) {
      if (await isThere(check)) this.missing.delete(name);
    }
    const waitingFor = [...(this.isStarted ? [] : ['start']), ...this.missing.keys()];
    return waitingFor.length === 0 ? { status: 'ready' } : { status: 'starting', waitingFor };
  }

  /** As `current`, and the store must answer now. */
  async currentWithStore(): Promise<Readiness> {
    const readiness = await this.current();
    if (readiness.status !== 'ready') return readiness;
    return (await this.store.answers()) ? readiness : { status: 'store_down' };
  }
}

/** A check that throws says no: what it waits for cannot be reached yet. */
async function isThere(check: ReadinessCheck): Promise<boolean> {
  try {
    return await check();
  } catch {
    return false;
  }
}
